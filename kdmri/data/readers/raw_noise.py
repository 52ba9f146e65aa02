"""Noise acquisitions of ISMRMRD raw data, and what makes the noise of all coils white by them."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

SINGULAR = 1e-6
"""Below this eigenvalue of the noise's correlation, samples do not tell coils apart."""


class Noise(NamedTuple):
    """What noise acquisitions tell.

    Attributes:
        whitening: complex64 (coils, coils): times the samples of all coils, their noise has unit
            power in each coil, at the dwell time of the noise acquisitions, and no correlation.
            None where they do not tell it.
        dwell: time of a sample in microseconds; 0 where the heads do not say.
        note: what was done, a sentence.
    """

    whitening: np.ndarray | None
    dwell: float
    note: str

    def at(self, dwell: float, bandwidth: float) -> np.ndarray | None:
        """Scale to lines that were sampled at another rate.

        The power of white noise grows with the bandwidth, one over the dwell time.

        Args:
            dwell: of the lines, in microseconds; 0 where unknown, which scales nothing.
            bandwidth: `relativeReceiverNoiseBandwidth` of the header, the power that the receiver's
                filter leaves of white noise; 1 where unknown.
        """
        if self.whitening is None:
            return None
        ratio = dwell / self.dwell if min(dwell, self.dwell) > 0 else 1.0
        return self.whitening * np.float32(np.sqrt(ratio * bandwidth))


def read_noise(records: Iterable[np.void], coils: int) -> Noise | None:
    """Find what whitens the coils, the inverse Cholesky factor of the noise's covariance.

    Args:
        records: noise acquisitions with `head` and `data`.
        coils: number of coils of the scan.

    Returns:
        None where there are none.

    Raises:
        ValueError: they are of another number of coils, or hold NaN or infinite values.
    """
    blocks, dwell = [], 0.0
    for record in records:
        head = record["head"]
        found = int(head["active_channels"])
        if found != coils:
            raise ValueError(
                f"its noise acquisitions are of {found} coils, its lines of {coils}: noise of "
                "other coils cannot whiten them; leave the noise acquisitions out of the file"
            )
        blocks.append(record["data"].view(np.complex64).reshape(coils, -1))
        dwell = dwell or float(head["sample_time_us"])
    if not blocks:
        return None
    return noise_of(np.concatenate(blocks, axis=1), dwell)


def noise_of(samples: np.ndarray, dwell: float) -> Noise:
    """Find the same from samples of noise.

    Args:
        samples: complex (coils, samples).
        dwell: time of a sample in microseconds; 0 where unknown.

    Raises:
        ValueError: they hold NaN or infinite values.
    """
    coils = len(samples)
    samples = samples.astype(np.complex128)
    if not np.isfinite(samples).all():
        raise ValueError("its noise acquisitions hold NaN or infinite values; leave them out")
    matrix = _whitening(samples)
    if matrix is None:
        return Noise(
            None,
            dwell,
            f"its noise acquisitions, {samples.shape[1]} samples, do not tell the noise of its "
            f"{coils} coils apart; they are not whitened",
        )
    return Noise(
        matrix,
        dwell,
        f"its {coils} coils are whitened by {samples.shape[1]} samples of noise, to unit power",
    )


def _whitening(samples: np.ndarray) -> np.ndarray | None:
    """Invert the Cholesky factor of the covariance of noise (coils, samples).

    A coil without any noise is a dead one and stays as it is.
    """
    power = (np.abs(samples) ** 2).mean(axis=1)
    alive = power > 0
    if not alive.any():
        return None
    scaled = samples[alive] / np.sqrt(power[alive])[:, None]
    correlation = scaled @ scaled.conj().T / samples.shape[1]
    if np.linalg.eigvalsh(correlation)[0] < SINGULAR:
        return None
    inverse = np.linalg.inv(np.linalg.cholesky(correlation)) / np.sqrt(power[alive])
    matrix = np.eye(len(samples), dtype=np.complex64)
    matrix[np.ix_(alive, alive)] = inverse
    return matrix

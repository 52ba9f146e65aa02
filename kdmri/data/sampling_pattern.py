"""What of k-space was measured: the one judgement of what may become a target.

Stored k-space is exactly zero where nothing was measured. Readers judge it before any crop; complex
images are judged by their Fourier transform, whose zeros are rounded.
"""

from typing import NamedTuple

import numpy as np

NO_TARGET = "its k-space is undersampled: no target can be made of it"
NO_CENTRE = (
    "the zero frequency was never measured (was the scan stopped, or is k-space shifted?): no "
    "image can be made of its k-space"
)

CHANCE = 0.01
"""Share of samples between others that may be zero by chance, in integers for example."""

RAGGED = 0.05
"""Share of samples that may lack at a border that is not quite straight or round."""

RUN = 8
"""So many missing samples in a row are neither."""

ROUNDING = 5e-6
"""k-space of an image counts as zero below this share of its root mean square: single precision."""

SURE = 20 * ROUNDING
"""Above this share it counts as measured; k-space of smooth images may be anything in between."""

STRONG = 2 / 3
"""Where less than this share of an axis was acquired, the zeros around it are told."""


class Measured(NamedTuple):
    """Samples of a plane of k-space, zero frequency in the middle (index N//2).

    Attributes:
        samples: whether each was measured, bool (H, W).
        sure: those of them that are no rounding errors; the same for stored k-space.
    """

    samples: np.ndarray
    sure: np.ndarray


def measured(kspace: np.ndarray, centred: bool = True) -> Measured:
    """Tell what was measured of a slice of stored k-space from the samples that are not zero.

    Args:
        kspace: complex (..., H, W); what one coil measured counts for all.
        centred: whether its zero frequency lies in the middle, else at index (0, 0).
    """
    samples = np.any(kspace != 0, axis=tuple(range(kspace.ndim - 2)))
    samples = samples if centred else np.fft.fftshift(samples)
    return Measured(samples, samples)


def measured_by_mask(mask: np.ndarray) -> Measured:
    """Tell the same from a mask (H, W) with the zero frequency at index (0, 0)."""
    samples = np.fft.fftshift(mask) > 0
    return Measured(samples, samples)


def corner_mask(found: Measured) -> np.ndarray:
    """Return the mask of what was measured, uint8 (H, W), zero frequency at index (0, 0)."""
    return np.fft.ifftshift(found.samples).astype(np.uint8)


def measured_in_image(image: np.ndarray) -> Measured:
    """Tell what was measured of k-space from a complex image (H, W)."""
    strength = np.fft.fftshift(np.abs(np.fft.fft2(image, norm="ortho")))
    typical = np.sqrt((strength**2).mean())
    return Measured(strength > ROUNDING * typical, strength > SURE * typical)


def fault(found: Measured, exact: bool = False, declared: bool = False) -> str | None:
    """Say why no target can be made of a slice of k-space.

    The zero frequency has to be measured, and everything between measured samples. Edges alone may
    be missing: those of a partial Fourier scan, of an elliptical one, or of an image that was
    interpolated.

    Args:
        found: what was measured of it.
        exact: no sample is zero by chance.
        declared: the source says that it is undersampled, which counts where so much of its edges
            is missing that samples do not tell.

    Returns:
        The reason, or None where it is fully sampled, or empty.
    """
    if not found.samples.any():
        return None
    inside, bordering = _holes(found)
    among = int(found.samples.sum())
    if inside.any() and (exact or not by_chance(inside, among)):
        return NO_TARGET
    if not by_chance(bordering, among, RAGGED) or (declared and zero_filling(found)):
        return NO_TARGET
    height, width = found.samples.shape
    return None if found.samples[height // 2, width // 2] else NO_CENTRE


def check_target(found: Measured, number: int, exact: bool = False, declared: bool = False) -> str:
    """See that a target can be made of a slice of k-space.

    Args:
        found: what was measured of it.
        number: of the slice.
        exact: as for `fault`.
        declared: as for `fault`.

    Returns:
        What the user should know of it, see `zero_filling`; empty for nothing.

    Raises:
        ValueError: no target can be made of it; says why.
    """
    reason = fault(found, exact, declared)
    if reason is None:
        return zero_filling(found) or ""
    raise ValueError(f"{reason} (slice {number})")


def judge(
    found: Measured,
    number: int,
    undersampled: bool,
    exact: bool = False,
    declared: bool = False,
) -> str | None:
    """Check the same, unless undersampled k-space was asked for.

    Args:
        found: what was measured of a slice.
        number: of the slice.
        undersampled: whether a slice that is no target is wanted, too.
        exact: as for `fault`.
        declared: as for `fault`.

    Returns:
        As for `check_target`; None for a slice that is undersampled.

    Raises:
        ValueError: no target can be made of it, or no image at all; says why.
    """
    if undersampled and fault(found, exact, declared) == NO_TARGET:
        return None
    return check_target(found, number, exact, declared)


def by_chance(missing: np.ndarray, among: int, share: float = CHANCE) -> bool:
    """Tell whether samples are missing by chance: few of them, and not in a row.

    Args:
        missing: bool (H, W).
        among: number of samples that could be.
        share: how many of those are few.
    """
    if int(missing.sum()) > share * among:
        return False
    return not any(_has_run(missing, axis) for axis in (0, 1))


def differ(one: Measured, other: Measured, exact: bool) -> bool:
    """Tell whether two slices were sampled otherwise.

    Args:
        one: what was measured of it.
        other: what was measured of it.
        exact: samples are zero where nothing was measured, and nowhere else. In k-space of images
            what is weak at the edges is zero as well: only holes count, which the other has not.
    """
    missing = []
    for found, beside in ((one, other), (other, one)):
        inside, bordering = _holes(found)
        missing.append(beside.sure & (~found.samples if exact else inside | bordering))
    return not by_chance(missing[0] | missing[1], int(one.samples.sum()))


def zero_filling(found: Measured) -> str | None:
    """Say by how much k-space was filled up with zeros beyond what was acquired, if by much.

    Half of an axis counts as acquired as far as the other half was (partial Fourier).
    """
    shape = found.samples.shape
    acquired = [_acquired(lines) for lines in _lines(found.samples)]
    strong = any(have < STRONG * size for have, size in zip(acquired, shape, strict=True))
    if not strong or not any(acquired):
        return None
    return (
        f"its k-space is zero outside the central {acquired[0]}x{acquired[1]} of "
        f"{shape[0]}x{shape[1]} samples: images were interpolated, finer detail was never measured"
    )


def whole_lines(samples: np.ndarray) -> np.ndarray | None:
    """Return the measured columns (W,) where whole columns were measured, else None.

    Args:
        samples: bool (H, W); columns may lack their ends (asymmetric echo).
    """
    rows, columns = _lines(samples)
    missing = rows[:, None] & columns & ~samples
    if rows.any() and not _is_gapless(rows):
        return None
    return columns if by_chance(missing, int(samples.sum())) else None


def _holes(found: Measured) -> tuple[np.ndarray, np.ndarray]:
    """Return missing samples that lie between others along both axes, and along one of them alone.

    The latter are a line that was left out or cut short, or a border that is not straight.
    """
    between = []
    for axis in (0, 1):
        before = np.logical_or.accumulate(found.sure, axis=axis)
        behind = np.flip(np.logical_or.accumulate(np.flip(found.sure, axis), axis=axis), axis)
        between.append(before & behind & ~found.samples)
    return between[0] & between[1], between[0] ^ between[1]


def _has_run(missing: np.ndarray, axis: int) -> bool:
    """Tell whether so many samples in a row are missing along an axis that it is no chance."""
    length = min(RUN, missing.shape[axis])
    counted = np.cumsum(missing, axis=axis, dtype=np.int32)
    counted = np.insert(counted, 0, 0, axis=axis)
    first = np.take(counted, range(counted.shape[axis] - length), axis=axis)
    last = np.take(counted, range(length, counted.shape[axis]), axis=axis)
    return bool((last - first == length).any())


def _acquired(lines: np.ndarray) -> int:
    """Return the size of the matrix that lines (N,), DC in the middle, were made for."""
    distance = np.arange(len(lines)) - len(lines) // 2
    reached = np.where(distance < 0, -distance, distance + 1)[lines]
    return min(len(lines), 2 * int(reached.max(initial=0)))


def _lines(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows (H,) and columns (W,) that hold samples."""
    return np.asarray(samples.any(axis=1)), np.asarray(samples.any(axis=0))


def _is_gapless(lines: np.ndarray) -> bool:
    places = np.flatnonzero(lines)
    return len(places) > places[-1] - places[0]

"""Whether an exported network still does what the network does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from kdmri.data.batch import Batch
from kdmri.errors import KdmriError
from kdmri.physics import seen, truth

Runner = Callable[[Batch], np.ndarray]
"""Reconstructs a batch: (B, C, H, W)."""


@dataclass(frozen=True)
class Agreement:
    """An exported network beside the network, on the same slices.

    Attributes:
        difference: largest absolute difference of an output, in units of the network, in which the
            largest magnitude of a volume is 1.
        psnr: against the fully sampled slices, dB, mean over slices.
        reference: of the network itself.
        finite: whether all outputs are numbers.
    """

    difference: float
    psnr: float
    reference: float
    finite: bool

    @property
    def change(self) -> float:
        """PSNR gained, dB; below 0 where it was lost."""
        return self.psnr - self.reference

    def describe(self) -> str:
        """Say it in one sentence."""
        return (
            f"largest difference {self.difference:.2g}, PSNR {self.psnr:.2f} dB "
            f"({self.change:+.4f} dB)"
        )


@dataclass(frozen=True)
class Bound:
    """What an export may differ by.

    Attributes:
        difference: largest absolute difference; None: any.
        psnr: largest loss of PSNR, dB.
    """

    difference: float | None
    psnr: float

    def check(self, compared: Agreement, what: str) -> None:
        """Refuse what differs by more.

        Raises:
            KdmriError: says the figures and the bounds.
        """
        too_far = self.difference is not None and not compared.difference <= self.difference
        if compared.finite and not too_far and compared.change >= -self.psnr:
            return
        limit = "" if self.difference is None else f"difference up to {self.difference:g}, "
        raise KdmriError(
            f"{what}: differs from the network by more than allowed: {compared.describe()}; "
            f"bounds: {limit}loss up to {self.psnr:g} dB"
        )


def compare_outputs(
    run: Runner, reference: Runner, batches: Sequence[Batch], magnitudes: bool = False
) -> Agreement:
    """Compare outputs on slices with targets.

    Args:
        run: the exported network.
        reference: the network.
        batches: of slices.
        magnitudes: whether the difference is that of magnitudes, of networks whose phase is of no
            account in places (see `kdmri.models.dc_cnn.with_floor`).
    """
    largest, figures, finite = 0.0, [], True
    for batch in batches:
        given, wanted = run(batch), reference(batch)
        if given.shape != wanted.shape:
            raise KdmriError(f"gives {given.shape}, where the network gives {wanted.shape}")
        finite = finite and bool(np.isfinite(given).all())
        pair = [np.linalg.norm(x, axis=1) if magnitudes else x for x in (given, wanted)]
        largest = max(largest, float(np.abs(pair[0] - pair[1]).max()))
        figures.append([_psnr(image, batch) for image in (given, wanted)])
    psnr, original = np.mean(figures, axis=0)
    return Agreement(largest, float(psnr), float(original), finite)


def _psnr(output: np.ndarray, batch: Batch) -> float:
    difference = seen(torch.from_numpy(output).float(), batch) - truth(batch)
    error = float(difference.double().square().mean())
    peak = float(batch.data_range)
    return 10 * float(np.log10(peak**2 / error)) if error else float("inf")

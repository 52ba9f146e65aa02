"""A first look at a volume, slice by slice: size, scale, and what was measured of its k-space."""

from dataclasses import dataclass

import numpy as np

from kdmri.data.prepare.slices import checked
from kdmri.data.prepare.source import Extent, SourceSlice, SourceVolume

ROUNDING = 5e-6
"""k-space of an image counts as zero below this share of its root mean square: single precision."""

DENSE = 0.9
"""A mask of whole lines from this share of samples on; the rest of them are zero by chance."""


@dataclass(frozen=True)
class Survey:
    """What a volume is.

    Attributes:
        size: (H, W) of its slices.
        count: number of slices.
        largest: largest magnitude of its images, in its own units.
        mask: what was measured, uint8 (H, W), zero frequency at the corner; None where k-space is
            fully sampled or unknown.
        has_target: whether its images are fully sampled.
        is_complex: whether its images are complex.
        asymmetry: by how much measured samples differ from the conjugate of their mirror samples,
            relative to both; 0 for a real image, 1 for one of random phase.
        nan: share of its values that were NaN and are 0 now.
    """

    size: tuple[int, int]
    count: int
    largest: float
    mask: np.ndarray | None
    has_target: bool
    is_complex: bool
    asymmetry: float
    nan: float = 0.0


def survey(volume: SourceVolume) -> Survey:
    """Read a volume once, one slice at a time.

    Raises:
        DataError: it cannot be read, holds NaN, only zeros or no magnitudes, or slices of several
            sizes.
    """
    extent, count, nan, stored = Extent(), 0, 0, False
    first: SourceSlice | None = None
    declared: np.ndarray | None = None
    support: np.ndarray | None = None
    difference = energy = 0.0
    for item in checked(volume):
        if first is None:
            first, stored = item, item.kspace is not None
        if item.mask is not None:
            declared = item.mask if declared is None else declared | item.mask
        extent.add(item.image)
        count, nan = count + 1, nan + item.nan
        kspace = measured_kspace(item)
        if kspace is None:
            continue
        found = np.abs(kspace) > (0 if stored else ROUNDING * np.sqrt((np.abs(kspace) ** 2).mean()))
        support = found if support is None else support | found
        mirrored = np.roll(kspace[::-1, ::-1], 1, axis=(0, 1)).conj()
        both = found & (mirrored != 0)
        difference += float((np.abs(kspace - mirrored)[both] ** 2).sum())
        energy += float((np.abs(kspace)[both] ** 2).sum())
    extent.check(volume.files[0])
    assert first is not None
    mask = None
    if support is not None:
        mask = declared if declared is not None and not stored else _mask(support, stored)
    return Survey(
        size=first.image.shape,
        count=count,
        largest=extent.largest,
        mask=mask,
        has_target=declared is None and (mask is None or stored),
        is_complex=np.iscomplexobj(first.image),
        asymmetry=(difference / (2 * energy)) ** 0.5 if energy else 0.0,
        nan=nan / (count * first.image.size),
    )


def measured_kspace(item: SourceSlice) -> np.ndarray | None:
    """Return the k-space of a slice, complex64 (H, W), orthonormal; None for magnitude images."""
    if item.kspace is not None:
        return item.kspace
    if not np.iscomplexobj(item.image):
        return None
    kspace = np.fft.fft2(item.image, norm="ortho").astype(np.complex64)
    return kspace if item.mask is None else kspace * item.mask


def _mask(support: np.ndarray, stored: bool) -> np.ndarray | None:
    """Tell the mask from the samples that are not zero.

    Args:
        support: bool (H, W), in any slice not zero.
        stored: whether k-space was stored, so that zeros are exact; else it counts as undersampled
            only where lines between measured lines are missing (an image that was interpolated has
            zeros at the edges of its k-space).
    """
    rows, columns = (np.asarray(support.any(axis=axis)) for axis in (1, 0))
    if not stored and not any(_has_gaps(lines) for lines in (rows, columns)):
        return None
    lines = rows[:, None] & columns
    is_lines = support.sum() >= DENSE * lines.sum()
    return (lines if is_lines else support).astype(np.uint8)


def _has_gaps(lines: np.ndarray) -> bool:
    """Tell whether lines (N,), zero frequency first, are missing between others."""
    places = np.flatnonzero(np.fft.fftshift(lines))
    return len(places) <= places[-1] - places[0]

"""A first look at a volume, slice by slice: size, scale, and what was measured of its k-space."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kdmri.data.readers.base import Extent, SourceSlice, SourceVolume
from kdmri.data.readers.slices import checked
from kdmri.data.sampling_pattern import (
    NO_CENTRE,
    Measured,
    differ,
    fault,
    measured,
    measured_by_mask,
    measured_in_image,
    zero_filling,
)
from kdmri.errors import DataError

DENSE = 0.9
"""A mask of whole lines from this share of samples on; the rest of them are zero by chance."""


@dataclass(frozen=True)
class Survey:
    """What a volume is.

    Attributes:
        size: (H, W) of its slices as a network takes them: of fully sampled ones what is shown.
        count: number of slices.
        largest: largest magnitude of its images, in its own units.
        mask: what was measured, uint8 (H, W), zero frequency at the corner; None where k-space is
            fully sampled or unknown.
        has_target: whether its images are fully sampled.
        is_complex: whether its images are complex.
        asymmetry: by how much measured samples differ from the conjugate of their mirror samples,
            relative to both; 0 for a real image, 1 for one of random phase.
        nan: share of its values that were NaN and are 0 now.
        notes: what the user should know of it, sentences.
    """

    size: tuple[int, int]
    count: int
    largest: float
    mask: np.ndarray | None
    has_target: bool
    is_complex: bool
    asymmetry: float
    nan: float = 0.0
    notes: tuple[str, ...] = ()


def survey(volume: SourceVolume) -> Survey:
    """Read a volume once, one slice at a time.

    Raises:
        DataError: it cannot be read, holds NaN, only zeros or no magnitudes, slices of several
            sizes or masks, or k-space whose zero frequency was never measured.
    """
    whole, shown, sampling = Extent(), Extent(), _Sampling(volume.files[0])
    count, nan, difference, energy = 0, 0, 0.0, 0.0
    first: SourceSlice | None = None
    for item in checked(volume):
        first = first or item
        nan += item.nan
        whole.add(item.image)
        shown.add(item.image[volume.window(item.image.shape)])
        kspace = measured_kspace(item)
        found = sampling.add(item, kspace, count)
        count += 1
        if kspace is None or found is None:
            continue
        mirrored = np.roll(kspace[::-1, ::-1], 1, axis=(0, 1)).conj()
        both = np.fft.ifftshift(found.samples) & (mirrored != 0)
        difference += float((np.abs(kspace - mirrored)[both] ** 2).sum())
        energy += float((np.abs(kspace)[both] ** 2).sum())
    mask, has_target = sampling.result()
    extent = shown if has_target else whole
    extent.check(volume.files[0])
    assert first is not None
    used = first.image[volume.window(first.image.shape)] if has_target else first.image
    return Survey(
        size=used.shape,
        count=count,
        largest=extent.largest,
        mask=mask,
        has_target=has_target,
        is_complex=np.iscomplexobj(first.image),
        asymmetry=(difference / (2 * energy)) ** 0.5 if energy else 0.0,
        notes=tuple(sampling.notes) if has_target else (),
        nan=nan / (count * first.image.size),
    )


class _Sampling:
    """What was measured of the slices of a volume."""

    def __init__(self, path: Path) -> None:
        self.notes: dict[str, None] = {}
        self._path = path
        self._support: np.ndarray | None = None
        self._first: tuple[int, Measured] | None = None
        self._other: int | None = None
        self._aliased = self._stored = self._bare = self._masked = False

    def add(self, item: SourceSlice, kspace: np.ndarray | None, number: int) -> Measured | None:
        """Look at a slice; gives what of its k-space was measured, None where that is unknown."""
        if item.note:
            self.notes[item.note] = None
        if item.kspace_coils is not None and item.mask is not None and item.note is None:
            raise DataError(
                f"{self._path}: its k-space is undersampled and of {len(item.kspace_coils)} coils: "
                "a magnitude image combined from them has no k-space with that mask, so no network "
                f"for one coil can be consistent with it (slice {number}); give a checkpoint that "
                "was trained on several coils (dataset=multicoil)"
            )
        if kspace is None:
            return None
        if item.kspace is not None:
            self._stored, self._bare = True, self._bare or item.mask is not None
            found = measured(kspace, centred=False)
        elif item.mask is not None:
            found = measured_by_mask(item.mask)
        else:
            found = measured_in_image(item.image)
        if not found.samples.any():
            return found
        self._support = found.samples if self._support is None else self._support | found.samples
        known = self._stored or item.note is not None
        reason = None if known else fault(found, declared=item.declared)
        if reason == NO_CENTRE:
            raise DataError(f"{self._path}: {reason} (slice {number})")
        self._aliased |= reason is not None
        note = None if known else zero_filling(found)
        if note is not None:
            self.notes[note] = None
        self._masked |= item.mask is not None
        exact = item.mask is not None or item.kspace is not None
        if exact or reason is not None:
            self._compare(found, number, exact)
        return found

    def _compare(self, found: Measured, number: int, exact: bool) -> None:
        """Note a slice that was sampled otherwise than the first."""
        if self._first is None:
            self._first = number, found
        if self._other is None and differ(self._first[1], found, exact):
            self._other = number

    def result(self) -> tuple[np.ndarray | None, bool]:
        """Return the mask, zero frequency at the corner, and whether images are fully sampled.

        Raises:
            DataError: slices are undersampled by several masks.
        """
        if self._support is None or not (self._aliased or self._stored):
            return None, True
        if self._aliased and not self._masked and _is_full(self._support):
            raise DataError(
                f"{self._path}: the k-space of some of its images is undersampled, that of others "
                "not; a network takes one mask a volume: give slices apart"
            )
        if self._first is not None and self._other is not None:
            raise DataError(
                f"{self._path}: its k-space is undersampled, slice {self._other} otherwise than "
                f"slice {self._first[0]}; a network takes one mask a volume: give slices apart"
            )
        support = np.fft.ifftshift(self._support)
        description = self._masked and not self._stored
        return (
            support.astype(np.uint8) if description else _mask(support)
        ), self._stored and not self._bare


def measured_kspace(item: SourceSlice) -> np.ndarray | None:
    """Return the k-space of a slice, complex64 (H, W), orthonormal; None for magnitude images."""
    if item.kspace is not None:
        return item.kspace
    if not np.iscomplexobj(item.image):
        return None
    kspace = np.fft.fft2(item.image, norm="ortho").astype(np.complex64)
    return kspace if item.mask is None else kspace * item.mask


def _is_full(support: np.ndarray) -> bool:
    return fault(Measured(support, support)) is None


def _mask(support: np.ndarray) -> np.ndarray:
    """Tell the mask, uint8 (H, W), from the samples that are in any slice not zero."""
    rows, columns = (np.asarray(support.any(axis=axis)) for axis in (1, 0))
    lines = rows[:, None] & columns
    is_lines = support.sum() >= DENSE * lines.sum()
    return (lines if is_lines else support).astype(np.uint8)

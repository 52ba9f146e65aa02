"""A slice of what coils measured: the one way from k-space as it is stored to what readers give."""

from typing import NamedTuple

import numpy as np

from kdmri.data.coils import from_middle, unit_norm
from kdmri.data.explained import explained
from kdmri.data.readers.base import SourceSlice
from kdmri.data.readers.kspace import centred_ifft2, crop_images, root_sum_of_squares
from kdmri.data.sampling_pattern import corner_mask, judge, measured


class Wanted(NamedTuple):
    """What is wanted of coils.

    Attributes:
        coils: their k-space too.
        undersampled: that, too, of what is no target, and as large as k-space.
        shown: (H, W) that images are cropped to around their centre; None shows all.
    """

    coils: bool
    undersampled: bool
    shown: tuple[int, int] | None = None


def coil_slice(
    kspace: np.ndarray, number: int, wanted: Wanted, sensitivities: np.ndarray | None = None
) -> SourceSlice:
    """Make a slice of stored k-space, in which what was not measured is exactly zero.

    Args:
        kspace: complex (coils, H, W), zero frequency in the middle.
        number: of the slice.
        wanted: of it.
        sensitivities: complex64 (coils, H, W) as displayed, where they are known.

    Returns:
        One coil: its complex image. Several: their images combined with sensitivities, complex64,
        or without them their root sum of squares, float32; and their k-space where it is wanted.

    Raises:
        ValueError: no target can be made of it, unless undersampled k-space is wanted, or no image.
    """
    found = measured(kspace)
    note = judge(found, number, wanted.undersampled)
    images = centred_ifft2(kspace)
    cornered = maps = told = None
    if sensitivities is not None:
        cornered, maps = _cornered(kspace), unit_norm(sensitivities)
        image = (sensitivities.conj() * images).sum(axis=0)
        told = None if wanted.undersampled else explained(cornered, maps)
    else:
        image = images[0] if len(images) == 1 else root_sum_of_squares(images)
    if wanted.shown is not None and not wanted.undersampled:
        image = crop_images(image, wanted.shown)
    mask = corner_mask(found) if wanted.undersampled else None
    if len(images) == 1:
        # Judged by its mask later, as k-space of one coil of every format.
        note = None if wanted.undersampled else note
        return SourceSlice(image, mask=mask, note=note, explained=told)
    if not (wanted.coils or wanted.undersampled):
        return SourceSlice(image, note=note, explained=told)
    return SourceSlice(
        image,
        kspace_coils=_cornered(kspace) if cornered is None else cornered,
        sensitivities=maps,
        mask=mask,
        note=note,
        explained=told,
    )


def _cornered(kspace: np.ndarray) -> np.ndarray:
    return from_middle(kspace.astype(np.complex64, copy=False))

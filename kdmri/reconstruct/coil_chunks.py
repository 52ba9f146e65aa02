"""Slices of a volume of several coils on the device, some at a time."""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from kdmri.data.cropping import Window
from kdmri.data.readers.base import SourceSlice, SourceVolume
from kdmri.data.readers.slices import checked
from kdmri.reconstruct.coil_survey import sampled


class Chunk(NamedTuple):
    """Some slices of a volume on the device, in the file's units.

    Attributes:
        first: number of the first slice.
        kspace: complex64 (B, coils, H, W), zero frequency at the corner.
        mask: 1 where measured, float32 (B, 1, H, W).
        reference: k-space that sensitivities are found from, complex64 (B, coils, H, W).
        stored: sensitivities of the file, complex64 (B, coils, H, W), or None.
        combined: root sum of squares of the coils as shown, float32 (B, 1, h, w), that files of
            fastMRI are measured against; of others None.
    """

    first: int
    kspace: Tensor
    mask: Tensor
    reference: Tensor
    stored: Tensor | None
    combined: Tensor | None


def chunks(
    volume: SourceVolume,
    size: int,
    device: torch.device,
    given: np.ndarray | None = None,
    shown: Window | None = None,
) -> Iterator[Chunk]:
    """Read a volume.

    Args:
        volume: of several coils.
        size: slices at a time.
        device: where they go.
        given: mask that leaves out more of what was measured, uint8 (H, W); None for none.
        shown: window of images, where they are measured against; None where they are not.

    Raises:
        DataError: as for `checked`.
    """
    items, number = checked(volume), 0
    while part := list(islice(items, size)):
        kspace, mask, reference = (
            torch.from_numpy(np.stack(arrays)).to(device)
            for arrays in zip(*(_arrays(item, given) for item in part), strict=True)
        )
        stored = [item.sensitivities for item in part if item.sensitivities is not None]
        known = torch.from_numpy(np.stack(stored)).to(device) if stored else None
        combined = None
        if shown is not None:
            images = torch.from_numpy(np.stack([item.image for item in part])[:, None])
            whole = images.shape[-2:] == kspace.shape[-2:]  # else they are cropped already
            combined = (shown.of(images) if whole else images).to(device)
        yield Chunk(number, kspace, mask[:, None], reference, known, combined)
        number += len(part)


def _arrays(
    item: SourceSlice, given: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return k-space, mask, and the k-space of reference of a slice."""
    mask = sampled(item)
    assert item.kspace_coils is not None
    kspace = np.where(mask, item.kspace_coils, np.complex64(0))
    reference = kspace
    if item.calibration is not None:
        reference = np.where(item.calibration != 0, item.calibration, kspace)
    if given is not None:
        mask = mask & (given > 0)
        kspace = np.where(mask, kspace, np.complex64(0))
    return kspace, mask.astype(np.float32), reference

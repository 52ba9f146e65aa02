"""Random changes of training slices, before anything is made of them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from kdmri.data.batch import Slice

AXES = (-2, -1)
"""H and W."""


def flipped(slices: Slice, axes: Sequence[int] = AXES) -> Slice:
    """Mirror each slice with even odds along each axis, by PyTorch's generator of the CPU.

    Args:
        slices: collated; stored k-space becomes that of the mirrored image.
        axes: -2 (H), -1 (W) or both. Along an undersampled axis, the lines that stored k-space has
            would be mirrored, too, and its mask would not be theirs.

    Returns:
        The same with new targets, k-space and variants.
    """
    drawn = torch.rand(len(slices.target), 2) < 0.5
    drawn &= torch.tensor([axis in axes for axis in AXES])
    wanted = [[axis for axis, yes in zip(AXES, row, strict=True) if yes] for row in drawn.tolist()]
    targets = [t.flip(along) for t, along in zip(slices.target, wanted, strict=True)]
    kspace = slices.kspace
    if kspace is not None:
        kspace = torch.stack([_mirrored(k, along) for k, along in zip(kspace, wanted, strict=True)])
    variant = (drawn * torch.tensor([1, 2])).sum(dim=1).to(slices.volume)
    return slices._replace(target=torch.stack(targets), kspace=kspace, variant=variant)


def free_axes(mask: Tensor) -> tuple[int, ...]:
    """Give the axes along which a mask (..., H, W) is the same everywhere."""
    return tuple(axis for axis in AXES if torch.equal(mask, mask.roll(1, axis)))


def _mirrored(kspace: Tensor, axes: list[int]) -> Tensor:
    """Give the k-space (coils, H, W) of an image that is mirrored along some axes."""
    for axis in axes:
        kspace = torch.fft.fft(torch.fft.ifft(kspace, dim=axis).flip(axis), dim=axis)
    return kspace

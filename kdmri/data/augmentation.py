"""Random changes of training slices, before anything is made of them."""

import torch

from kdmri.data.batch import Slice


def flipped(slices: Slice) -> Slice:
    """Mirror each slice with even odds along H and along W, by PyTorch's generator of the CPU.

    Args:
        slices: collated; without stored k-space, whose mask would have to be mirrored as well.

    Returns:
        The same with new targets and variants.
    """
    drawn = torch.rand(len(slices.target), 2) < 0.5
    targets = [
        target.flip([axis for axis, wanted in zip((-2, -1), flip, strict=True) if wanted])
        for target, flip in zip(slices.target, drawn.tolist(), strict=True)
    ]
    variant = (drawn * torch.tensor([1, 2])).sum(dim=1).to(slices.volume)
    return slices._replace(target=torch.stack(targets), variant=variant)

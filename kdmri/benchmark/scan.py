"""Scans of several coils that the benchmark draws: ellipses, loops around them, noise."""

import torch
from torch import Tensor

from kdmri.data.masks import EquispacedLines
from kdmri.data.simulated_coils import draw_sensitivities
from kdmri.physics import fft2
from kdmri.physics.coils import expand

Size = tuple[int, int, int]
"""Coils, H, W."""

NOISE = 0.005
ELLIPSES = 6
CENTRE_LINES = 24


def kspace_of(size: Size, slices: int = 1, undersampled: bool = True) -> Tensor:
    """Draw k-space, by PyTorch's generator.

    Args:
        size: coils, H, W.
        slices: how many.
        undersampled: columns alone, 4x with a centre of 24, else all.

    Returns:
        complex64 (slices, coils, H, W), zero frequency at the corner.
    """
    coils, height, width = size
    seeds = torch.randint(2**31, (slices,)).tolist()
    maps = draw_sensitivities((height, width), coils, seeds)
    kspace = fft2(expand(_objects((height, width), slices), maps))
    kspace += NOISE * torch.randn_like(kspace)
    if not undersampled:
        return kspace
    mask = rule(width)((height, width))
    return torch.where(torch.from_numpy(mask) > 0, kspace, 0)


def rule(width: int) -> EquispacedLines:
    """Return the rule of the mask."""
    return EquispacedLines(4, axis=1, centre_fraction=CENTRE_LINES / width)


def _objects(size: tuple[int, int], count: int) -> Tensor:
    """Return sums of random ellipses with a smooth phase, complex64 (count, 1, H, W)."""
    rows, columns = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in size), indexing="ij")
    image = torch.zeros(count, 1, *size)
    for number in range(ELLIPSES):
        shape = (count, 1, 1, 1)
        share = 0.9 if number == 0 else 0.3
        middle = (torch.rand(2, *shape) - 0.5) * (1 - share)
        axes = share * (0.5 + 0.5 * torch.rand(2, *shape))
        far = ((rows - middle[0]) / axes[0]).square() + ((columns - middle[1]) / axes[1]).square()
        image += torch.rand(shape) * (far < 1)
    return torch.polar(image, (rows + columns.square()).expand_as(image))

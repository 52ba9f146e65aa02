"""Photographs as training images: edges and textures of all sizes, which few heads show as sharply.

They come with scikit-image, are free of rights or given to the public domain (as its documentation
says of each), and stand inside an ellipse as a head does, often with a bright rim and a dark gap.
"""

import math
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

NAMES = (
    "astronaut",
    "brick",
    "camera",
    "chelsea",
    "clock",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "hubble_deep_field",
    "immunohistochemistry",
    "moon",
    "retina",
    "rocket",
)
"""Of functions of `skimage.data`, whose files are part of the package: nothing is downloaded."""

LARGEST = 512
"""Pixels along the longer side, to which larger ones are reduced."""


@cache
def photographs() -> tuple[Tensor, ...]:
    """Read all photographs.

    Returns:
        Grey values in [0, 1], float32 (H, W) each, in the order of `NAMES`.
    """
    import skimage.data  # takes a while, and only some trainings need it

    return tuple(_grey(getattr(skimage.data, name)()) for name in NAMES)


def _grey(picture: np.ndarray) -> Tensor:
    values = torch.from_numpy(picture.astype(np.float32) / 255)
    if values.ndim == 3:
        values = values[..., :3].mean(dim=-1)
    step = math.ceil(max(values.shape) / LARGEST)
    return F.avg_pool2d(values[None], step)[0]


def draw_photographs(count: int, size: tuple[int, int]) -> Tensor:
    """Draw pieces of photographs inside ellipses, by PyTorch's generator of the CPU.

    Args:
        count: number of images.
        size: (H, W) of each.

    Returns:
        float32 (count, 1, H, W), at least 0, largest value 1; 0 outside of the ellipses.
    """
    return torch.stack([_inside(_piece(size), size) for _ in range(count)])[:, None]


def _piece(size: tuple[int, int]) -> Tensor:
    """Cut a random piece out of a random photograph, or its negative, float32 (H, W)."""
    known = photographs()
    picture = known[int(torch.randint(len(known), ()))]
    share = 0.4 + 0.6 * float(torch.rand(()))  # of what fits in
    scale = share * min(have / want for have, want in zip(picture.shape, size, strict=True))
    cut = [max(2, round(scale * want)) for want in size]
    top, left = (
        int(torch.randint(have - want + 1, ()))
        for have, want in zip(picture.shape, cut, strict=True)
    )
    piece = picture[top : top + cut[0], left : left + cut[1]][None, None]
    piece = F.interpolate(piece, size, mode="bicubic", antialias=True, align_corners=False)
    piece = piece[0, 0].clamp(0, 1)
    return 1 - piece if torch.rand(()) < 0.3 else piece


def _inside(piece: Tensor, size: tuple[int, int]) -> Tensor:
    """Let an image be seen in an ellipse, half of them with a rim as scalp and skull are."""
    rows, columns = (torch.linspace(-1, 1, n) for n in size)
    axes = 0.65 + 0.3 * torch.rand(2)
    power = 2 + 2 * float(torch.rand(()))  # up to a rounded rectangle
    radius = (rows.abs() / axes[0])[:, None] ** power + (columns.abs() / axes[1]) ** power
    distance = (1 - radius ** (1 / power)) * float(axes.min()) * min(size) / 2  # pixels inwards
    image = piece * (distance / 1.5).clamp(0, 1)
    if torch.rand(()) < 0.5:
        rim, gap = (2 + 6 * torch.rand(2)).tolist()
        brightness = 0.3 + 0.7 * float(torch.rand(()))
        inner = image * ((distance - rim - gap) / 1.5).clamp(0, 1)
        scalp = (distance.clamp(0, 1.5) / 1.5) * ((rim - distance) / 1.5).clamp(0, 1)
        image = inner + brightness * scalp
    return image / image.max().clamp(min=1e-6)

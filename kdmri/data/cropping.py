"""Bring slices to one size around their centre."""

import numpy as np
from torch import Tensor
from torch.nn import functional as F


def margins(have: int, wanted: int) -> tuple[int, int]:
    """Return what joins an axis before and after; below 0 where it is cut.

    Index have // 2 comes to lie at index wanted // 2: the centre stays at the centre.

    Args:
        have: pixels along the axis.
        wanted: pixels that it shall have.
    """
    before = wanted // 2 - have // 2
    return before, wanted - have - before


def fit_centre(volume: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Crop or zero-pad the first two axes so that the centre stays at the centre.

    Args:
        volume: (H, W, ...), any dtype.
        size: (H', W') wanted.

    Returns:
        (H', W', ...); index H//2 of the input lies at index H'//2, likewise for W.
    """
    for axis, wanted in enumerate(size):
        have = volume.shape[axis]
        before, after = margins(have, wanted)
        padding = [(0, 0)] * volume.ndim
        padding[axis] = (max(before, 0), max(after, 0))
        kept = slice(max(-before, 0), have - max(-after, 0))
        volume = np.pad(volume[(slice(None),) * axis + (kept,)], padding)
    return volume


def fit_centre_tensor(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Crop or zero-pad the last two axes (..., H, W) to `size` (H', W'), as `fit_centre` does."""
    (top, bottom), (left, right) = map(margins, images.shape[-2:], size)
    return F.pad(images, [left, right, top, bottom])

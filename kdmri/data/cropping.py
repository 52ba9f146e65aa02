"""Bring slices to one size around their centre."""

from typing import NamedTuple, TypeVar

import numpy as np
from torch import Tensor
from torch.nn import functional as F

Images = TypeVar("Images", np.ndarray, Tensor)


class Window(NamedTuple):
    """Rows and columns that are shown of images.

    Attributes:
        top: first row.
        left: first column.
        height: number of rows.
        width: number of columns.
    """

    top: int
    left: int
    height: int
    width: int

    @classmethod
    def centred(cls, size: tuple[int, int], shown: tuple[int, int]) -> "Window":
        """Return the middle (h, w) of images (H, W) as `fit_centre` does, from n // 2 - m // 2."""
        top, left = (n // 2 - m // 2 for n, m in zip(size, shown, strict=True))
        return cls(top, left, *shown)

    @classmethod
    def of_fastmri(cls, size: tuple[int, int], shown: tuple[int, int]) -> "Window":
        """Return it as fastMRI has it: from (n - m) // 2, one earlier where m is odd and n is not.

        `center_crop` of `fastmri.data.transforms` 0.3.0.
        """
        top, left = ((n - m) // 2 for n, m in zip(size, shown, strict=True))
        return cls(top, left, *shown)

    @property
    def size(self) -> tuple[int, int]:
        """Size (h, w) of what is shown."""
        return self.height, self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns, to index images with."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    @property
    def is_within(self) -> bool:
        """Whether it begins within the images."""
        return self.top >= 0 and self.left >= 0

    def of(self, images: Images) -> Images:
        """Cut images (..., H, W) to it."""
        return images[(..., *self.slices)]


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

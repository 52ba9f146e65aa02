"""Masks of a file, used as they are."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kdmri.data.mask_convention import looks_shifted
from kdmri.data.npy import open_npy
from kdmri.errors import DataError


@dataclass(frozen=True)
class MaskFile:
    """A mask of one size from a `.npy` file, used as it is.

    Attributes:
        path: array (H, W) of 0 and 1, zero frequency at the corner. One of lines alone is taken
            where it is plain which ones: (H, 1) and (1, W); (N,) where rows and columns differ in
            number; and (1, 1, W, 1), columns as fastMRI writes them.
        option: which option of the command named the file, such as "mask"; None where it was found
            in its place.
    """

    path: Path
    option: str | None = field(default=None, compare=False, repr=False)

    def __call__(self, size: tuple[int, int]) -> np.ndarray:
        """Read the mask.

        Raises:
            DataError: the file is unreadable, of another size, not of 0 and 1, leaves out the zero
                frequency, or has it in the middle.
        """
        mask = self._spread(self._read(), size)
        if mask.shape != tuple(size):
            way_out = (
                "Move the file away to draw a mask by the rule of the data set, or give "
                "task.mask_file"
                if self.option is None
                else f"Give one of their size, or leave {self.option} out to draw it by the rule"
            )
            raise DataError(
                f"mask {self.path}: its shape is {mask.shape}, the slices are {tuple(size)}; a "
                f"mask of another size never applies. {way_out}"
            )
        check_mask(mask, size, str(self.path))
        if looks_shifted(mask):
            raise DataError(
                f"mask {self.path}: is densest around the middle, but the zero frequency belongs "
                "at index (0, 0); a centred mask has to be shifted with numpy.fft.ifftshift"
            )
        return mask.astype(np.uint8)

    @property
    def size(self) -> tuple[int, int] | None:
        """Size (H, W), None of a mask of lines alone; raises DataError where it is unreadable."""
        shape = self._read().shape
        return None if len(shape) != 2 or 1 in shape else shape

    def _spread(self, mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Repeat a mask of lines over the slice; others stay as they are."""
        height, width = size
        lines = mask.reshape(-1)
        if mask.ndim == 1 and height == width == len(lines):
            raise DataError(
                f"mask {self.path}: has shape {mask.shape}, which may mean rows or columns of "
                f"{size}; give it the shape ({height}, 1) for rows or (1, {width}) for columns"
            )
        if mask.shape == (height, 1) or (mask.ndim == 1 and len(lines) == height):
            return np.broadcast_to(lines[:, None], size)
        as_fastmri = mask.ndim > 2 and mask.shape[-2:] == (width, 1) and mask.size == width
        if mask.shape == (1, width) or as_fastmri or (mask.ndim == 1 and len(lines) == width):
            return np.broadcast_to(lines, size)
        return mask

    def _read(self) -> np.ndarray:
        try:
            return open_npy(self.path)
        except (OSError, ValueError) as error:
            raise DataError(f"mask {self.path}: not a readable .npy array ({error})") from error

    def __str__(self) -> str:
        return f"file {self.path.name}"


def check_mask(mask: np.ndarray, size: tuple[int, int], name: str) -> None:
    """Check that an array is a mask of a size (H, W), with the zero frequency at index (0, 0).

    Raises:
        DataError: it has another shape, other values than 0 and 1, or leaves out the zero
            frequency.
    """
    if mask.shape != tuple(size):
        raise DataError(f"mask {name}: its shape is {mask.shape}, the slices are {tuple(size)}")
    if mask.dtype.kind not in "biuf" or not np.isin(mask, (0, 1)).all():
        raise DataError(f"mask {name}: holds other values than 0 and 1")
    if mask[0, 0] != 1:
        raise DataError(
            f"mask {name}: the zero frequency, index (0, 0), is not measured; a centred "
            "mask has to be shifted with numpy.fft.ifftshift"
        )

"""Cartesian line masks by published rules from a seed, or read from a file as they are.

Every mask is a uint8 array (H, W) of 0 and 1 with the zero frequency at index (0, 0). Whole lines
are measured: along axis 0 a line is a row, along axis 1 a column.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np

from kdmri.data.mask_convention import looks_shifted
from kdmri.data.npy import open_npy
from kdmri.errors import ConfigurationError, DataError

Seed = int | tuple[int, ...]
"""Of a draw; the characters of a volume's name, where each volume has a mask of its own."""


class Drawn:
    """What all rules have in common: a seed by which they draw.

    Attributes:
        acceleration: number of lines over number of measured lines, at least 1.
        seed: of the draw.
    """

    acceleration: float
    seed: Seed

    def numbered(self, number: int) -> Self:
        """Return the rule of one of several masks; number 0 is the rule itself."""
        if not isinstance(self.seed, int):
            return replace(self, seed=(*self.seed, number))  # type: ignore[type-var]
        return replace(self, seed=self.seed + number)  # type: ignore[type-var]

    def of_volume(self, name: tuple[int, ...]) -> Self:
        """Return the rule whose seed is the name of a volume, as numbers of its characters."""
        return replace(self, seed=name)  # type: ignore[type-var]

    @property
    def entropy(self) -> tuple[int, ...]:
        """The seed as numbers."""
        return (self.seed,) if isinstance(self.seed, int) else tuple(self.seed)


@dataclass(frozen=True)
class GaussianLines(Drawn):
    """The DC-CNN rule: central lines, the rest drawn from a Gaussian density with a uniform floor.

    floor(N / acceleration) lines of N; the `centre_lines` around the zero frequency are taken, the
    others drawn without replacement with a probability proportional to
    exp(-(0.5 / (N / 10)^2) d^2) + 1 / (2 acceleration), d the distance to the zero frequency in
    lines (Schlemper et al. 2017, section III-A, and their public code).

    Attributes:
        acceleration: number of lines over number of measured lines, at least 1.
        axis: the undersampled axis, 0 or 1.
        centre_lines: fully sampled central lines, -centre_lines/2 .. centre_lines/2 - 1.
        seed: of the draw, together with the number of lines and the axis.

    >>> mask = GaussianLines(acceleration=4)((240, 200))
    >>> mask.shape, mask.dtype, int(mask[:, 0].sum())   # 60 of 240 rows
    ((240, 200), dtype('uint8'), 60)
    >>> bool(mask[:5].all() and mask[-5:].all())        # the 10 central ones among them
    True
    """

    acceleration: float
    axis: int = 0
    centre_lines: int = 10
    seed: Seed = 42

    def __call__(self, size: tuple[int, int]) -> np.ndarray:
        """Draw the mask of a size (H, W)."""
        lines = size[self.axis]
        count = max(1, int(lines / self.acceleration))
        frequency = np.rint(np.fft.fftfreq(lines) * lines).astype(int)
        half = min(self.centre_lines, count) / 2
        centre = (frequency >= -half) & (frequency < half)

        density = np.exp(-0.5 / (lines / 10) ** 2 * frequency**2) + 1 / (2 * self.acceleration)
        density[centre] = 0
        if centre.all():  # a slice of very few lines
            return _spread(centre, size, self.axis)
        drawn = np.random.default_rng((*self.entropy, lines, self.axis)).choice(
            lines, count - int(centre.sum()), replace=False, p=density / density.sum()
        )
        measured = centre.copy()
        measured[drawn] = True
        return _spread(measured, size, self.axis)

    def __str__(self) -> str:
        return f"Gaussian lines, axis {self.axis}, {self.acceleration:g}x, seed {self.seed}"


@dataclass(frozen=True)
class UniformLines(Drawn):
    """The random rule of fastMRI, as the published knee masks were made.

    The central `centre_fraction` of N lines is measured, every other line with the probability
    (N / acceleration - centre) / (N - centre), by draws of `numpy.random.RandomState(seed)`, so
    that masks of a higher acceleration are nested in those of a lower one (Zbontar et al. 2018,
    arXiv:1811.08839, section 4.9).

    Attributes:
        acceleration: number of lines over the expected number of measured lines, at least 1.
        axis: the undersampled axis, 0 or 1.
        centre_fraction: share of the lines that is fully sampled around the zero frequency.
        seed: of the uniform draws.
    """

    acceleration: float
    axis: int = 1
    centre_fraction: float = 0.08
    seed: Seed = 1

    def __call__(self, size: tuple[int, int]) -> np.ndarray:
        """Draw the mask of a size (H, W)."""
        lines = size[self.axis]
        centre = round(lines * self.centre_fraction)
        probability = (lines / self.acceleration - centre) / (lines - centre)
        # The published masks came from this legacy generator; a newer one would not reproduce them.
        draws = np.random.RandomState(self.seed).uniform(size=lines)
        measured = draws < probability
        return _spread(_with_centre(measured, centre), size, self.axis)

    def __str__(self) -> str:
        return f"uniform lines, axis {self.axis}, {self.acceleration:g}x, seed {self.seed}"


@dataclass(frozen=True)
class EquispacedLines(Drawn):
    """The equispaced rule of fastMRI, as scanners measure for parallel imaging.

    The central `centre_fraction` of N lines is measured, c of them, and others at even distances of
    (N - c) / (N / acceleration - c), rounded down to whole lines; the first is drawn. Together they
    are N / acceleration, to within two lines (Zbontar et al. 2018, arXiv:1811.08839, as their brain
    data is undersampled). Where c is N / acceleration or more, nothing else is measured.

    Attributes:
        acceleration: number of lines over number of measured lines, at least 1.
        axis: the undersampled axis, 0 or 1.
        centre_fraction: share of the lines that is fully sampled around the zero frequency; fastMRI
            takes 0.08 for 4x, 0.04 for 8x.
        seed: of the first line.

    >>> mask = EquispacedLines(acceleration=4, centre_fraction=0.08)((320, 368))
    >>> round(float(mask.size / mask.sum()), 1)         # the effective acceleration
    4.0
    """

    acceleration: float
    axis: int = 1
    centre_fraction: float = 0.08
    seed: Seed = 42

    def __call__(self, size: tuple[int, int]) -> np.ndarray:
        """Draw the mask of a size (H, W)."""
        lines = size[self.axis]
        centre = max(1, round(lines * self.centre_fraction))
        measured = np.zeros(lines, bool)
        if lines / self.acceleration > centre:
            distance = (lines - centre) / (lines / self.acceleration - centre)
            start = np.random.default_rng((*self.entropy, lines, self.axis)).uniform(0, distance)
            measured[np.arange(start, lines, distance).astype(int)] = True
        return _spread(_with_centre(measured, centre), size, self.axis)

    def __str__(self) -> str:
        return f"equispaced lines, axis {self.axis}, {self.acceleration:g}x, seed {self.seed}"


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


DrawnLines = GaussianLines | UniformLines | EquispacedLines
"""All rules; checkpoints may name these, and no others."""
MaskRule = DrawnLines | MaskFile


def check_mask(mask: np.ndarray, size: tuple[int, int], name: str) -> None:
    """Check that an array is a mask of a size (H, W), with the zero frequency at index (0, 0).

    Raises:
        DataError: it has another shape, other values than 0 and 1, or leaves out the zero
            frequency.
    """
    if mask.shape != tuple(size):
        raise DataError(f"mask {name}: its shape is {mask.shape}, the slices are {tuple(size)}")
    if not np.isin(mask, (0, 1)).all():
        raise DataError(f"mask {name}: holds other values than 0 and 1")
    if mask[0, 0] != 1:
        raise DataError(
            f"mask {name}: the zero frequency, index (0, 0), is not measured; a centred "
            "mask has to be shifted with numpy.fft.ifftshift"
        )


def mask_path(folder: str | Path, acceleration: str) -> Path:
    """Return where the original project keeps the mask of an acceleration, such as "4x"."""
    return Path(folder) / f"mask_{acceleration}.npy"


def choose(rule: MaskRule, folder: str | Path, acceleration: str, file: str | None) -> MaskRule:
    """Choose between a mask file and a rule.

    Args:
        rule: the rule of the data set.
        folder: where the mask file of the original project would lie, see `mask_path`; it is used
            when it is there.
        acceleration: its name, such as "4x".
        file: a mask file that the user named; it has to exist.

    Raises:
        ConfigurationError: `file` does not exist.
    """
    if file is not None:
        if not Path(file).is_file():
            raise ConfigurationError(f"task.mask_file={file}: there is no such file")
        return MaskFile(Path(file), option="task.mask_file")
    published = mask_path(folder, acceleration)
    return MaskFile(published) if published.is_file() else rule


def denser(rule: DrawnLines, acceleration: float | None) -> DrawnLines | None:
    """Return a rule at another acceleration, whose lines are measured besides; None for none."""
    return None if acceleration is None else replace(rule, acceleration=acceleration)


def _with_centre(measured: np.ndarray, centre: int) -> np.ndarray:
    """Measure the central lines as well, and move the zero frequency of a pattern to index 0."""
    first = (len(measured) - centre + 1) // 2
    measured[first : first + centre] = True
    return np.fft.ifftshift(measured)


def _spread(measured: np.ndarray, size: tuple[int, int], axis: int) -> np.ndarray:
    """Repeat a line pattern (N,) over the other axis of a mask (H, W)."""
    line = measured[:, None] if axis == 0 else measured[None, :]
    return np.broadcast_to(line, size).astype(np.uint8)

"""Lines at even distances, as scanners measure for parallel imaging: fastMRI's rules."""

from dataclasses import dataclass

import numpy as np

from kdmri.data.masks.drawn import Drawn, Seed, spread, with_centre
from kdmri.errors import ConfigurationError


@dataclass(frozen=True)
class EquispacedLines(Drawn):
    """The equispaced rule of fastMRI, as scanners measure for parallel imaging.

    The central `centre_fraction` of N lines is measured, c of them, and others at even distances of
    (N - c) / (N / acceleration - c), rounded to whole lines; the first is drawn. Together they are
    N / acceleration, to within two lines (Zbontar et al. 2018, arXiv:1811.08839, as their brain
    data is undersampled). Where c is N / acceleration or more, nothing else is measured.

    With the characters of a file's name as seed, masks are those of fastMRI's
    `EquispacedMaskFractionFunc` for it; with a number, the first line may lie between whole ones.

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
            measured[self._places(lines, centre)] = True
        return spread(with_centre(measured, centre), size, self.axis)

    def _places(self, lines: int, centre: int) -> np.ndarray:
        if isinstance(self.seed, int):
            distance = (lines - centre) / (lines / self.acceleration - centre)
            start = np.random.default_rng((*self.entropy, lines, self.axis)).uniform(0, distance)
            return np.arange(start, lines, distance).astype(int)
        # The same number, rounded as fastMRI rounds it.
        distance = (self.acceleration * (centre - lines)) / (centre * self.acceleration - lines)
        first = np.random.RandomState(self.seed).randint(0, round(distance))
        return np.rint(np.arange(first, lines - 1, distance)).astype(int)

    def __str__(self) -> str:
        return f"equispaced lines, axis {self.axis}, {self.acceleration:g}x, seed {self.seed}"


@dataclass(frozen=True)
class RegularLines(Drawn):
    """Every n-th line and a full centre, as a scanner measures for GRAPPA.

    Lines of the centre come on top, so that less is saved than the acceleration says: 3.3 times
    instead of 4 with 0.08. It is the rule `equispaced` of fastMRI (`EquiSpacedMaskFunc`), with the
    masks of that for the same seed.

    Attributes:
        acceleration: distance of lines beside the centre, whole.
        axis: the undersampled axis, 0 or 1.
        centre_fraction: share of the lines that is fully sampled around the zero frequency.
        seed: of the first line.

    >>> mask = RegularLines(acceleration=4)((320, 368))
    >>> round(float(mask.size / mask.sum()), 1)         # the effective acceleration
    3.3
    """

    acceleration: float
    axis: int = 1
    centre_fraction: float = 0.08
    seed: Seed = 42

    def __post_init__(self) -> None:
        _check_whole(self)

    def __call__(self, size: tuple[int, int]) -> np.ndarray:
        """Draw the mask of a size (H, W)."""
        lines, distance = size[self.axis], int(self.acceleration)
        centre = max(1, round(lines * self.centre_fraction))
        measured = np.zeros(lines, bool)
        measured[np.random.RandomState(self.seed).randint(0, distance) :: distance] = True
        return spread(with_centre(measured, centre), size, self.axis)

    def __str__(self) -> str:
        return f"every {self.acceleration:g}th line, axis {self.axis}, seed {self.seed}"


@dataclass(frozen=True)
class OffsetLines(Drawn):
    """Every n-th line on either side of a full centre, with the gaps of one mirrored by the other.

    Where k-space is nearly conjugate symmetric, a line tells of its mirror line, which the other
    side leaves out (Defazio 2019, arXiv:1912.01101). It is the rule `magic` of fastMRI
    (`MagicMaskFunc`), or `magic_fraction` where `keep_number`, with their masks for the same seed.

    Attributes:
        acceleration: distance of lines beside the centre, whole unless `keep_number`.
        axis: the undersampled axis, 0 or 1.
        centre_fraction: share of the lines that is fully sampled around the zero frequency.
        keep_number: measure so many fewer beside the centre that about N / acceleration are
            measured together; distances are rounded to whole lines, so it may be a tenth less.
        seed: of the first line.

    >>> lines = np.fft.fftshift(OffsetLines(4, centre_fraction=0.0, seed=2)((2, 16))[0])
    >>> (np.flatnonzero(lines) - 8).tolist()            # beside the zero frequency every fourth
    [-7, -3, 0, 1, 5]
    """

    acceleration: float
    axis: int = 1
    centre_fraction: float = 0.08
    keep_number: bool = False
    seed: Seed = 42

    def __post_init__(self) -> None:
        if not self.keep_number:
            _check_whole(self)

    def __call__(self, size: tuple[int, int]) -> np.ndarray:
        """Draw the mask of a size (H, W)."""
        lines = size[self.axis]
        centre, distance = max(1, round(lines * self.centre_fraction)), int(self.acceleration)
        if self.keep_number:
            wanted = round(lines / self.acceleration)
            centre = max(1, min(centre, wanted))
            distance = round(lines / (wanted - centre)) if wanted > centre else 0
        measured = np.zeros(lines, bool)
        if distance:
            first = int(np.random.RandomState(self.seed).randint(0, distance))
            above, below = (first + 1, first + 2) if first % 2 == 0 else (first + 2, first - 1)
            half = (lines + 1) // 2  # lines of the zero frequency and above it
            measured[:half][above::distance] = True
            measured[half:][::-1][below::distance] = True
        return spread(with_centre(np.fft.fftshift(measured), centre), size, self.axis)

    def __str__(self) -> str:
        return f"offset lines, axis {self.axis}, {self.acceleration:g}x, seed {self.seed}"


def _check_whole(rule: RegularLines | OffsetLines) -> None:
    if rule.acceleration != int(rule.acceleration) or rule.acceleration < 1:
        raise ConfigurationError(
            f"acceleration.factor={rule.acceleration:g}: {type(rule).__name__} measures every n-th "
            "line, so it must be whole; give another, or mask_rule@dataset.mask=equispaced_lines"
        )

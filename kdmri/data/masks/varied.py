"""Lines by rules that differ from mask to mask: for networks that are to take any scan."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from kdmri.data.masks.drawn import Drawn, spread, with_centre

CENTRES = (16, 32)
"""Fewest and most central lines of a further mask."""

LEAST = 2
"""Lines beside the centre that a further mask has at least."""


@dataclass(frozen=True)
class VariedLines(Drawn):
    """A full centre and lines beside it; every further mask has an acceleration of its own.

    The rule's own mask, which evaluation has, has `centre_lines` central ones of N lines and others
    at even distances, N / acceleration together, to within two lines. Further masks of training
    (`augmentation.masks`) differ from it in all that scans differ in: the axis, 16 to 32 central
    lines, an acceleration of 2 to 8, told over all lines or, with half of the masks, over those
    beside the centre, and whether those lie at even distances (two of three masks) or anywhere.

    Attributes:
        acceleration: number of lines over number of measured lines, at least 1.
        axis: the undersampled axis, 0 or 1.
        centre_lines: fully sampled around the zero frequency.
        seed: of the first line, or of all lines beside the centre; whole.
        on_top: whether the acceleration is that of the lines beside the centre.
        even: whether those lie at even distances.

    >>> mask = VariedLines(acceleration=4)((230, 180))
    >>> round(float(mask.size / mask.sum()), 1)         # the effective acceleration
    4.1
    """

    acceleration: float
    axis: int = 1
    centre_lines: int = 24
    seed: int = 42
    on_top: bool = False
    even: bool = True

    def __call__(self, size: tuple[int, int]) -> np.ndarray:
        """Draw the mask of a size (H, W)."""
        lines = size[self.axis]
        centre = min(self.centre_lines, lines)
        beside = lines - centre
        wanted = beside if self.on_top else lines - centre * self.acceleration
        count = max(wanted / self.acceleration, 0 if beside == 0 else LEAST)
        drawn = np.random.default_rng((self.seed, lines, self.axis))
        measured = np.zeros(lines, bool)
        if self.even and beside:
            distance = max(beside / count, 1)
            measured[np.arange(drawn.uniform(0, distance), lines, distance).astype(int)] = True
        elif beside:
            measured = drawn.uniform(size=lines) < count / beside
        return spread(with_centre(measured, centre), size, self.axis)

    def numbered(self, number: int) -> Self:
        """Return the rule of one of several masks; number 0 is the rule itself."""
        if number == 0:
            return self
        drawn = np.random.default_rng((self.seed, number))
        return replace(
            self,
            acceleration=float(np.exp(drawn.uniform(np.log(2), np.log(8)))),
            axis=int(drawn.integers(2)),
            centre_lines=int(drawn.integers(CENTRES[0], CENTRES[1] + 1)),
            seed=self.seed + number,
            on_top=bool(drawn.uniform() < 1 / 2),
            even=bool(drawn.uniform() < 2 / 3),
        )

    def of_volume(self, name: tuple[int, ...]) -> Self:
        """Return the rule whose seed is made of the name of a volume."""
        return replace(self, seed=int(np.random.SeedSequence(name).generate_state(1)[0]))

    def __str__(self) -> str:
        kind = "even" if self.even else "any"
        return (
            f"{self.centre_lines} central lines and others at {kind} distances, axis {self.axis}, "
            f"{self.acceleration:g}x, seed {self.seed}"
        )

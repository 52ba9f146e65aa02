"""What all rules that draw a mask have in common."""

from abc import abstractmethod
from dataclasses import replace
from typing import ClassVar, Self

import numpy as np

Seed = int | tuple[int, ...]
"""Of a draw; the characters of a volume's name, where each volume has a mask of its own."""


class Drawn:
    """What all rules have in common: a seed by which they draw.

    Attributes:
        acceleration: number of lines over number of measured lines, at least 1.
        seed: of the draw.
        counts_acquired: whether the acceleration is told over what the scanner acquired; else it is
            over all lines of the matrix, as fastMRI's masks are drawn.
    """

    acceleration: float
    seed: Seed
    counts_acquired: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, size: tuple[int, int]) -> np.ndarray:
        """Draw the mask of a size (H, W), uint8, zero frequency at the corner."""

    def within(self, acquired: np.ndarray) -> np.ndarray:
        """Draw the mask of a scan.

        Args:
            acquired: 1 where the scanner measured, (H, W), zero frequency at the corner.
        """
        return self((acquired.shape[0], acquired.shape[1]))

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


def with_centre(measured: np.ndarray, centre: int) -> np.ndarray:
    """Measure the central lines as well, and move the zero frequency of a pattern to index 0."""
    first = (len(measured) - centre + 1) // 2
    measured[first : first + centre] = True
    return np.fft.ifftshift(measured)


def spread(measured: np.ndarray, size: tuple[int, int], axis: int) -> np.ndarray:
    """Repeat a line pattern (N,) over the other axis of a mask (H, W)."""
    line = measured[:, None] if axis == 0 else measured[None, :]
    return np.broadcast_to(line, size).astype(np.uint8)

"""Single samples of two phase encodings that keep a distance from one another."""

from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np

from kdmri.data.masks.drawn import Drawn, Seed

SATURATED = 0.7
"""Samples in a square as wide as their least distance, once no more find room."""

SURPLUS = 0.02
"""Share of samples that may be too many, and are taken away again."""

THROWS = 12


@dataclass(frozen=True)
class PoissonDisc(Drawn):
    """Variable-density Poisson disc of a scan with two phase encodings, with a full centre.

    Samples within `centre_radius` of the zero frequency are measured. All others are asked in a
    random order, and measured where no other was within a distance (dart throwing, Cook 1986),
    which grows linearly from the zero frequency, to `falloff` times as much at the edges (Lustig et
    al. 2007 for why density falls off; Vasanawala et al. 2011). It is chosen so that exactly
    round(H W / acceleration) samples are measured, or the centre alone where that has more. Of a
    scan whose edges were not acquired, as the last 15 % of a phase encoding of Calgary-Campinas,
    the samples that were acquired are those that count and that are drawn.

    Attributes:
        acceleration: number of acquired samples over number of measured samples, at least 1.
        centre_radius: samples; 16 are those of the Calgary-Campinas challenge.
        falloff: distance of samples at the edge over that at the zero frequency, at least 1.
        seed: of the draw, together with the size.

    >>> mask = PoissonDisc(acceleration=5)((218, 170))
    >>> int(mask.sum()), 218 * 170 // 5
    (7412, 7412)
    """

    acceleration: float
    centre_radius: float = 16
    falloff: float = 2.0
    seed: Seed = 42
    counts_acquired: ClassVar[bool] = True

    def __call__(self, size: tuple[int, int]) -> np.ndarray:
        """Draw the mask of a size (H, W)."""
        return self.within(np.ones(size, np.uint8))

    def within(self, acquired: np.ndarray) -> np.ndarray:
        """Draw the mask of a scan; see `Drawn.within`."""
        size, there = acquired.shape, np.fft.fftshift(acquired > 0)
        rows, columns = (np.arange(n) - n // 2 for n in size)
        centre = np.hypot(rows[:, None], columns) <= self.centre_radius
        centre[size[0] // 2, size[1] // 2] = True
        centre &= there
        wanted = round(int(there.sum()) / self.acceleration) - int(centre.sum())
        if wanted <= 0:
            return np.fft.ifftshift(centre).astype(np.uint8)
        reach = np.hypot(*np.meshgrid(rows / (size[0] / 2), columns / (size[1] / 2), indexing="ij"))
        rng = np.random.default_rng((*self.entropy, *size))
        order = rng.permutation(np.flatnonzero(there & ~centre))
        drawn = _drawn(order, 1 + (self.falloff - 1) * reach, wanted)
        mask = centre.copy()
        mask.flat[rng.permutation(drawn)[:wanted]] = True
        return np.fft.ifftshift(mask).astype(np.uint8)

    def __str__(self) -> str:
        return f"Poisson disc, {self.acceleration:g}x, seed {self.seed}"


def _drawn(order: np.ndarray, growth: np.ndarray, wanted: int) -> np.ndarray:
    """Draw at least so many samples, and few more, by a factor of their distances."""
    low, high = 0.0, 2 * float(np.hypot(*growth.shape))  # at most all, and few
    for _ in range(40):
        factor = (low + high) / 2
        expected = np.minimum(1, SATURATED / (factor * growth.flat[order]) ** 2).sum()
        low, high = (factor, high) if expected > wanted else (low, factor)
    found = order
    for _ in range(THROWS):
        drawn = _thrown(order, factor * growth)
        if wanted <= len(drawn) < len(found):
            found = drawn
        if wanted <= len(drawn) <= (1 + SURPLUS) * wanted:
            break
        factor *= (len(drawn) / ((1 + SURPLUS / 2) * wanted)) ** 0.5
    return found


def _thrown(order: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Take samples in their order that lie no closer than their distances (H, W).

    Args:
        order: flat indices of the samples that may be taken.
        distance: within which a sample that is taken keeps all later ones away.

    Returns:
        Flat indices of those that were taken.
    """
    height, width = distance.shape
    squares = np.ceil(distance.flat[order] ** 2).astype(int)
    margin = int(np.sqrt(squares.max())) + 1
    stride = width + 2 * margin
    taken = np.zeros((height + 2 * margin) * stride, bool)
    rows, columns = np.divmod(order, width)
    places = (rows + margin) * stride + columns + margin
    found = []
    for sample, place, square in zip(
        order.tolist(), places.tolist(), squares.tolist(), strict=True
    ):
        if not taken[place]:
            found.append(sample)
            taken[place + _disc(square, stride)] = True
    return np.array(found, dtype=order.dtype)


@cache
def _disc(square: int, stride: int) -> np.ndarray:
    """Return flat offsets of what lies closer than the root of a whole number."""
    reach = np.arange(-int(square**0.5) - 1, int(square**0.5) + 2)
    rows, columns = np.meshgrid(reach, reach, indexing="ij")
    inside = rows**2 + columns**2 < square
    return (rows * stride + columns)[inside]

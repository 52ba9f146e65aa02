"""Lines that are drawn independently of one another: the DC-CNN rule and fastMRI's random rule."""

from dataclasses import dataclass

import numpy as np

from kdmri.data.masks.drawn import Drawn, Seed, spread, with_centre


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
            return spread(centre, size, self.axis)
        drawn = np.random.default_rng((*self.entropy, lines, self.axis)).choice(
            lines, count - int(centre.sum()), replace=False, p=density / density.sum()
        )
        measured = centre.copy()
        measured[drawn] = True
        return spread(measured, size, self.axis)

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
        centre = min(lines, max(1, round(lines * self.centre_fraction)))
        probability = (lines / self.acceleration - centre) / max(1, lines - centre)
        # The published masks came from this legacy generator; a newer one would not reproduce them.
        draws = np.random.RandomState(self.seed).uniform(size=lines)
        measured = draws < probability
        return spread(with_centre(measured, centre), size, self.axis)

    def __str__(self) -> str:
        return f"uniform lines, axis {self.axis}, {self.acceleration:g}x, seed {self.seed}"

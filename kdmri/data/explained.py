"""Whether sensitivities are those of the coils that measured: how much of k-space they explain.

Images of coils are their sensitivities times one image. What of the fully sampled centre of k-space
is no such product, and no noise, is left unexplained: by sensitivities of another scan, conjugated
ones, others than the coils' order, or by an object that is larger than the field of view.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

Size = tuple[int, int]

CENTRE = (24, 24)
"""Samples of the centre of fully sampled k-space that are looked at."""

GRID = 64
"""Points of the image along each axis at which energies are computed, at least, where it has so
many: enough for squares of images of so small a centre."""

DOUBTFUL = 0.03
"""Share left unexplained above which something is wrong. Sensitivities that were right left 0.4 %
at most in heads with 2 to 32 simulated coils down to an SNR of 5, 2 % where they were set to zero
outside the head (12x12 samples), 1 % in real scans that were looked at, 6 % where a head is larger
than the field of view."""

WRONG = 0.5
"""Share above which they cannot be those of the scan: 65 to 89 % conjugated with 8 and 32 coils, 78
to 99 % with the coils in another order, 85 to 99 % shifted by half the field of view."""

REASONS = "the object may be larger than the field of view, or they may be those of another scan"
"""Why some may be left unexplained, of sensitivities."""

NARROW = 10
"""Samples of a centre's shorter side from which on it tells as much; the error of a narrower one
grows with the square of its width: 7 % with four lines."""

SAMPLES = 4096
"""So many samples of each coil tell how strong noise is."""

WEAKEST = 0.05
"""Share of the samples that are the weakest; below -log(1 - WEAKEST) of its mean is the power of so
many of complex white noise."""

SURE = 1.1
"""Factor of the noise that is found, so that its error is taken for no signal."""


@dataclass(frozen=True)
class Explained:
    """Energy of the centre of k-space, of one slice or the sum of several.

    Attributes:
        whole: of all coils.
        left: what of it sensitivities leave unexplained.
        noise: what of `whole` is noise.
        noise_left: what of `left` is.
        better: what makes sensitivities explain it, such as "conjugated"; empty where nothing does
            that was tried, or they explain it.
    """

    whole: float = 0.0
    left: float = 0.0
    noise: float = 0.0
    noise_left: float = 0.0
    better: str = ""

    def __add__(self, other: "Explained") -> "Explained":
        """Add up slices; the stronger one tells what is better."""
        return Explained(
            self.whole + other.whole,
            self.left + other.left,
            self.noise + other.noise,
            self.noise_left + other.noise_left,
            (self if self.whole > other.whole else other).better,
        )

    @property
    def unexplained(self) -> float:
        """Share of the signal, 0 to 1; 0 where nearly all is noise, which tells nothing."""
        signal = self.whole - self.noise
        if signal <= 0.1 * self.whole:
            return 0.0
        return min(1.0, max(0.0, (self.left - SURE * self.noise_left) / signal))

    @property
    def is_wrong(self) -> bool:
        """Whether they cannot be those of the scan."""
        return self.unexplained > WRONG or bool(self.better)

    def described(self) -> str:
        """Say how much they explain, a predicate."""
        told = f"explain only {1 - self.unexplained:.1%} of the centre of its k-space"
        better = f" ({self.better} they would explain it)" if self.better else ""
        return f"{told}, where 99 % is usual{better}"


class _Grid(NamedTuple):
    """Points of an image, along rows and columns."""

    rows: np.ndarray
    columns: np.ndarray

    def of(self, sensitivities: np.ndarray) -> np.ndarray:
        return sensitivities[:, self.rows[:, None], self.columns]


def explained(
    kspace: np.ndarray,
    sensitivities: np.ndarray,
    centre: Size = CENTRE,
    noise: float | None = None,
) -> Explained:
    """Measure how much of a slice sensitivities explain.

    Args:
        kspace: complex64 (coils, H, W), zero frequency at the corner, 0 where nothing was measured.
        sensitivities: complex64 (coils, H, W), of unit norm over the coils or 0.
        centre: (h, w) of what is fully sampled around the zero frequency; more than the slice has
            is all of it.
        noise: power of the noise of a sample, mean of all coils; None finds it.

    Returns:
        Energies in units of k-space; where they leave much, also what would make them explain it.
    """
    size = kspace.shape[-2], kspace.shape[-1]
    rows, columns = (_lowest(count, kept) for count, kept in zip(size, centre, strict=True))
    low = kspace[:, rows[:, None], columns]
    whole = float((low.real**2 + low.imag**2).sum(dtype=np.float64))
    if not whole > 0:
        return Explained()
    grid = _Grid(*(np.arange(0, count, max(1, count // GRID)) for count in size))
    images = _images(low, (rows, columns), size, grid)
    maps = grid.of(sensitivities)
    power = (_noise(kspace) if noise is None else noise) * low[0].size
    covered = float((np.abs(maps) ** 2).sum(axis=0).mean())  # of white noise they explain one coil
    found = Explained(
        whole,
        whole * _left(images, maps),
        power * len(kspace),
        power * max(0.0, len(kspace) - covered),
    )
    least = found.unexplained
    if least <= DOUBTFUL or len(kspace) == 1:
        return found
    for words, other in _otherwise(sensitivities, grid, size):
        share = replace(found, left=whole * _left(images, other)).unexplained
        if share <= DOUBTFUL and share < least / 3:
            least, found = share, replace(found, better=words)
    return found


def limit(centre: Size) -> float:
    """Return the share that may be left unexplained of a centre (h, w) that is fully sampled."""
    return DOUBTFUL * max(1.0, NARROW / max(1, min(centre))) ** 2


def _lowest(count: int, kept: int) -> np.ndarray:
    """Index the lowest frequencies of an axis, of which there are `kept` at most."""
    kept = min(kept, count)
    return np.arange(-(kept // 2), kept - kept // 2) % count


def _images(
    low: np.ndarray, frequencies: tuple[np.ndarray, np.ndarray], size: Size, grid: _Grid
) -> np.ndarray:
    """Transform the centre of k-space (coils, h, w) to a grid of the image, without a factor."""
    turns = (
        np.exp(2j * np.pi / count * np.outer(points, frequency)).astype(np.complex64)
        for points, frequency, count in zip(grid, frequencies, size, strict=True)
    )
    along_rows, along_columns = turns
    return np.asarray(along_rows @ low @ along_columns.T)


def _left(images: np.ndarray, maps: np.ndarray) -> float:
    """Return the share of the energy of images (coils, H, W) that maps of them do not explain.

    Where they are 0 or of unit norm, what they explain is orthogonal to the rest.
    """
    combined = np.einsum("chw,chw->hw", maps.conj(), images)
    return 1 - float(np.linalg.norm(combined) ** 2 / np.linalg.norm(images) ** 2)


def _otherwise(
    sensitivities: np.ndarray, grid: _Grid, size: Size
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield what programs that disagree make of sensitivities, on a grid, with its name."""
    rows, columns = grid
    height, width = size
    places = {
        "": grid,
        "shifted by half the field of view": _Grid(
            (rows + height // 2) % height, (columns + width // 2) % width
        ),
        "mirrored along the rows' axis": _Grid(height - 1 - rows, columns),
        "mirrored along the columns' axis": _Grid(rows, width - 1 - columns),
        "turned by 180 degrees": _Grid(height - 1 - rows, width - 1 - columns),
    }
    for words, place in places.items():
        moved = place.of(sensitivities)
        if words:
            yield words, moved
        yield f"{words} and conjugated" if words else "conjugated", moved.conj()
    yield "with the coils in reverse order", grid.of(sensitivities)[::-1]


def _noise(kspace: np.ndarray) -> float:
    """Find the power of noise in a sample of all coils on average, from the weakest samples.

    Where all samples hold signal it comes out too high, but low beside the centre.
    """
    samples = kspace.reshape(len(kspace), -1)
    if samples.shape[1] > SAMPLES:
        places = np.random.default_rng(0).integers(samples.shape[1], size=SAMPLES)
        samples = samples[:, places]
    measured = samples[:, (samples != 0).any(axis=0)]
    if not measured.size:
        return 0.0
    power = measured.real**2 + measured.imag**2
    return float(-np.quantile(power, WEAKEST, axis=1).mean() / np.log(1 - WEAKEST))

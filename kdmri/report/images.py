"""Which slices of an experiment a page shows, in which size, for a given number of bytes."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np

from kdmri.analysis.experiments import Figures, Run
from kdmri.data.layout import reading
from kdmri.data.readers.naming import natural
from kdmri.errors import DataError
from kdmri.report.rebuild import Reference
from kdmri.viewer.strips import Place, Strip, ViewerContent, error_limit, make_strip, spread

REDUCTIONS = (1, 2, 3, 4)
FEWEST = 8
"""Slices that are worth a smaller picture; also the fewest of a volume, where there are many."""
SMALLEST = 80
"""Pictures are not made smaller than this many pixels, unless nothing would be shown at all."""
LEAST = 0.1
"""Bytes that a pixel of real anatomy takes at the very least."""
TOLERANCE = 0.02
"""PSNR in dB by which a stored reconstruction may miss its figure, else the data are others."""


class Gallery:
    """Reconstructions of the stages of one experiment, with targets where they are at hand."""

    def __init__(self, runs: Sequence[Run], reference: Reference | None) -> None:
        """Look at what is there; nothing is decoded.

        Args:
            runs: stages; those without results are left out.
            reference: the data that they were evaluated on.

        Raises:
            DataError: no volume is there of every stage in one shape, or the results do not belong
                to the data.
        """
        self.runs = [run for run in runs if any((run.directory / "results").glob("*.h5"))]
        self.reference = reference
        self._panes = lru_cache(maxsize=4)(self._read)
        labels = [run.label for run in self.runs]
        self._labels = [
            f"{run.label} ({run.stage})" if labels.count(run.label) > 1 else run.label
            for run in self.runs
        ]
        if not self.runs:
            raise DataError("no reconstructed volumes are kept")
        names = [{path.stem for path in self._folder(run).glob("*.h5")} for run in self.runs]
        common = set.intersection(*names)
        if reference is not None:
            common &= reference.slices.keys()
        shapes = {
            name: self._shape(name) for name in sorted(common, key=lambda name: natural(Path(name)))
        }
        self.size = next((shape[1:] for shape in shapes.values() if all(shape)), (0, 0))
        self.volumes = {name: s[0] for name, s in shapes.items() if s[1:] == self.size and all(s)}
        self.others = sum(all(shape) for shape in shapes.values()) - len(self.volumes)
        if not self.volumes:
            raise DataError("the stages have no reconstructed volume in common")

    @property
    def slices(self) -> int:
        """Number of slices of all volumes."""
        return sum(self.volumes.values())

    @property
    def pixels(self) -> int:
        """Number of pixels of all slices."""
        return self.slices * int(np.prod(self.size)) * len(self.runs)

    def check(self, figures: Figures) -> None:
        """Compare one stored reconstruction with its figure.

        Raises:
            DataError: its PSNR against the target is another one than was measured.
        """
        name, slices = next(iter(self.volumes.items()))
        measured = figures.get(self.runs[-1].stage, {}).get(name, {}).get("psnr")
        if self.reference is None or measured is None:
            return
        squared, largest = 0.0, 0.0
        for index in range(slices):
            shown = self.reference.slice(name, index)
            image = self._image(self.runs[-1], name, index)
            squared += float(np.square(image - shown.target.astype(float)).mean()) / slices
            largest = shown.data_range
        found = 10 * np.log10(largest**2 / squared) if squared else np.inf
        if abs(found - measured) > TOLERANCE:
            raise DataError(
                f"the data set there is not the one that was measured: volume {name} of "
                f"{self.runs[-1].stage} has {found:.2f} dB, its figure is {measured:.2f} dB"
            )

    def fit(self, size: int) -> ViewerContent:
        """Choose and code as many slices as there is room for.

        Args:
            size: bytes for all strips together.

        Raises:
            DataError: there is no room for a single slice.
        """
        count, reduction = 0, 1
        for reduction in REDUCTIONS:
            pixels = int(np.prod(self.size)) * len(self.runs) / reduction**2
            if size < LEAST * pixels and reduction < REDUCTIONS[-1]:
                continue  # not even one would fit: spare the trial
            probes = [self._strip(*place, reduction) for place in self._choose(3)]
            mean = np.mean([len(strip.webp) for strip in probes])
            count = min(self.slices, int(size / (1.03 * mean)))
            smaller = min(self.size) // (reduction + 1)
            if count >= min(self.slices, FEWEST) or (count and smaller < SMALLEST):
                break
        strips, used = [], 0
        for place in self._choose(count):
            strip = self._strip(*place, reduction)
            used += len(strip.webp)
            if used > size:
                break
            strips.append(strip)
        if not strips:
            raise DataError("no room was left for its pictures")
        first = self._panes(strips[0].volume, strips[0].index)
        target = ["Target"] if self.reference is not None else []
        height, width = (n // reduction for n in self.size)
        return ViewerContent(
            panes=[*target, *first[1]],
            has_target=self.reference is not None,
            size=(height, width),
            reduction=reduction,
            limit=self._limit(strips),
            strips=strips,
            slices=self.slices,
        )

    def _choose(self, count: int) -> list[tuple[str, int]]:
        """Spread a number of slices over volumes, at least `FEWEST` of each that is shown."""
        if count >= self.slices:
            return [(name, i) for name, slices in self.volumes.items() for i in range(slices)]
        usual = max(1, min(FEWEST, self.slices // len(self.volumes)))
        names = spread(list(self.volumes), min(len(self.volumes), max(1, count // usual)))
        everything = [(name, i) for name in names for i in range(self.volumes[name])]
        return spread(everything, count)

    def _strip(self, volume: str, index: int, reduction: int) -> Strip:
        target, panes, largest = self._panes(volume, index)
        place = Place(volume, index, self.volumes[volume])
        return make_strip(place, target, panes, largest, reduction)

    def _read(
        self, volume: str, index: int
    ) -> tuple[np.ndarray | None, dict[str, np.ndarray], float]:
        """Return target, other panes by label (float64, (H, W)), and the largest value."""
        networks = {
            label: self._image(run, volume, index)
            for label, run in zip(self._labels, self.runs, strict=True)
        }
        if self.reference is None:
            largest = max(float(image.max()) for image in networks.values())
            return None, networks, largest if largest > 0 else 1.0
        shown = self.reference.slice(volume, index)
        baselines = {label: image.astype(float) for label, image in shown.baselines.items()}
        return shown.target.astype(float), {**baselines, **networks}, shown.data_range

    def _limit(self, strips: Sequence[Strip]) -> float:
        """Take what half a percent of the networks' errors on three slices exceed."""
        errors: list[np.ndarray] = []
        for strip in spread(list(strips), 3):
            target, panes, largest = self._panes(strip.volume, strip.index)
            if target is not None:
                errors += [np.abs(panes[n] - target) / largest for n in self._labels]
        return error_limit(errors)

    def _image(self, run: Run, volume: str, index: int) -> np.ndarray:
        """Return a reconstructed slice, float64 (H, W); what is not finite is shown as 0."""
        path = self._folder(run) / f"{volume}.h5"
        with reading(path) as file:
            try:
                stored = _results(file)[index]
            except OSError as error:
                raise DataError(f"{path}: slice {index} is unreadable ({error})") from error
        image = np.abs(stored) if np.iscomplexobj(stored) else stored
        return np.nan_to_num(image.astype(float), posinf=0, neginf=0)

    def _shape(self, volume: str) -> tuple[int, ...]:
        """Return the shape (S, H, W) that all stages agree on; zeros where they do not."""
        shapes = set()
        for run in self.runs:
            with reading(self._folder(run) / f"{volume}.h5") as file:
                shapes.add(_results(file).shape)
        if self.reference is not None:
            shapes.add((self.reference.slices[volume], *self.reference.sizes[volume]))
        return shapes.pop() if len(shapes) == 1 else (0, 0, 0)

    @staticmethod
    def _folder(run: Run) -> Path:
        return run.directory / "results"


def _results(file: h5py.File) -> h5py.Dataset:
    found = file.get("reconstruction")
    if not isinstance(found, h5py.Dataset) or found.ndim != 3 or found.dtype.kind not in "fc":
        raise DataError(f"{file.filename}: holds no `reconstruction` of (S, H, W)")
    return found

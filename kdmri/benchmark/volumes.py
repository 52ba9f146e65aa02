"""Reading and evaluating of volumes."""

from pathlib import Path

import numpy as np
import torch

from kdmri.benchmark import reference
from kdmri.benchmark.setting import Setting
from kdmri.benchmark.works import Work
from kdmri.data.dataset import SliceDataset
from kdmri.data.layout import inspect, write_volume
from kdmri.data.masks import GaussianLines
from kdmri.data.undersampled_copies import write_undersampled
from kdmri.experiment.evaluate import reconstruct_and_measure
from kdmri.metrics.volumes import VolumeMetrics

SLICES_OF_A_VOLUME = 48
"""As a subject of MRBrainS has."""
EVALUATED_AT_ONCE = 2
"""Slices, as configs/evaluation/default.yaml has it."""
GIB = 2**30


class SuiteLoading(Work):
    """An epoch of a file of the original project, with its k-space; it fits in memory."""

    def __init__(self, setting: Setting, folder: Path) -> None:
        self._batch_size = setting.batch_size
        path = _original_file(setting, folder)
        self._dataset = SliceDataset([inspect(path, 1, "4x")], cache_bytes=GIB)
        self.slices = len(self._dataset)

    def prepare(self) -> None:
        """Shuffle the slices."""
        self.chosen = torch.randperm(self.slices).split(self._batch_size)

    def run(self) -> None:
        """Load them, step by step."""
        for items in self.chosen:
            self._dataset.__getitems__(items.tolist())


class ReferenceLoading(Work):
    """One slice of such a file."""

    def __init__(self, setting: Setting, folder: Path) -> None:
        path = _original_file(setting, folder)
        self._dataset = reference.ReferenceSlices([path])

    def prepare(self) -> None:
        """Choose a slice."""
        self.chosen = int(torch.randint(len(self._dataset), ()))

    def run(self) -> None:
        """Load it."""
        _ = self._dataset[self.chosen]


class Evaluation(Work):
    """Reading, network, all metrics and writing of a volume, as `evaluate.py` does it."""

    def __init__(self, setting: Setting, role: str, folder: Path) -> None:
        self.slices = setting.slices
        self._device = torch.device(setting.device)
        self._network, self._task = setting.network(role).eval(), setting.task
        self._path = folder / "1.h5"
        write_volume(self._path, random_volume(setting, setting.slices), {})

    @torch.inference_mode()
    def run(self) -> None:
        """Evaluate."""
        dataset = SliceDataset([inspect(self._path, 1)], cache_bytes=GIB)
        steps = torch.arange(len(dataset)).split(EVALUATED_AT_ONCE)
        slices = (dataset.__getitems__(items.tolist()).to(self._device) for items in steps)
        batches = (self._task(chosen) for chosen in slices)
        metrics = VolumeMetrics(detailed=True).to(self._device)
        results = self._path.parent / "results"
        reconstruct_and_measure(self._network, batches, ["1"], results, metrics)


def random_volume(setting: Setting, slices: int) -> np.ndarray:
    """Return a volume, uniform in [0, 1), float32 (H, W, slices)."""
    shape = (*setting.size, slices)
    return np.random.default_rng(setting.seed).random(shape, dtype=np.float32)


def _original_file(setting: Setting, folder: Path) -> Path:
    """Write a file as the original project has them: double precision, one block an array."""
    path = folder / "1.h5"
    volume = random_volume(setting, SLICES_OF_A_VOLUME)
    write_undersampled(path, volume, GaussianLines(4)(setting.size), "4x", {})
    return path

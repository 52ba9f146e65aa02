"""Evaluation of the published student on a volume of several coils."""

from pathlib import Path

import torch

from kdmri.benchmark.coil_steps import data_set_of_file, task
from kdmri.benchmark.scan import Size
from kdmri.benchmark.volumes import EVALUATED_AT_ONCE
from kdmri.benchmark.works import Work
from kdmri.experiment.evaluate import reconstruct_and_measure
from kdmri.metrics.volumes import VolumeMetrics
from kdmri.models import DCCNN


class CoilEvaluation(Work):
    """Reading, network, all metrics and writing of two slices, as `kdmri evaluate` does it."""

    slices = EVALUATED_AT_ONCE

    def __init__(self, size: Size, folder: Path) -> None:
        self._network, self._task = DCCNN(5, 3, channels=2).eval(), task(size)
        self._results = folder / "results"
        self._dataset, _ = data_set_of_file(size, folder, cache_bytes=0, slices=self.slices)

    @torch.inference_mode()
    def run(self) -> None:
        """Evaluate."""
        batches = [self._task(self._dataset.__getitems__(list(range(self.slices))))]
        metrics = VolumeMetrics(detailed=True)
        reconstruct_and_measure(self._network, batches, ["scan"], self._results, metrics)

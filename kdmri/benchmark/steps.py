"""Training steps of the published stages, and the same plainly."""

import os
from pathlib import Path

import torch

from kdmri.benchmark import reference
from kdmri.benchmark.setting import Setting
from kdmri.benchmark.volumes import random_volume
from kdmri.benchmark.works import Work
from kdmri.data.augmentation import flipped
from kdmri.data.batch import Slice
from kdmri.data.dataset import SliceDataset
from kdmri.data.layout import inspect, write_volume
from kdmri.distillation import AttentionTransfer
from kdmri.training import Distillation, Supervised
from kdmri.training.base import TrainingMethod
from kdmri.training.captured import Capture
from kdmri.training.distillation import LossWeights

WEIGHTS = {"feature": (0.0, 0.0, 1.0), "kd": (0.5, 0.5, 0.0)}
"""Of reconstruction, imitation and attention, in the stages that have a teacher."""
FILES = 4


class SuiteStep(Work):
    """A training step of the suite: undersampling, loss, gradients, Adam."""

    def __init__(self, setting: Setting, stage: str, rest: str, captured: bool = True) -> None:
        """Build the stage's method; `rest` may ask for flips, or for slices that are all new."""
        self._setting, self.slices = setting, setting.batch_size
        self._task, self._flips = setting.task, rest == "flips"
        self.method = self._build(stage).to(setting.device)
        self.method.log = lambda *_, **__: None  # type: ignore[method-assign]
        parameters = [p for p in self.method.parameters() if p.requires_grad]
        self._optimizer = torch.optim.Adam(parameters, lr=1e-3)
        self._all = setting.random_slices()
        if rest == "first visit":
            self._all = self._all._replace(variant=None)
        elif stage in WEIGHTS:
            self._show_all()
        if captured and setting.device == "cuda":
            self.method.capture = Capture(self.method, quiet=True)

    def prepare(self) -> None:
        """Choose slices."""
        self.chosen = self._setting.some(self._all)

    def run(self) -> None:
        """Learn from them."""
        self._learn(self.chosen)

    def _learn(self, slices: Slice) -> None:
        self._optimizer.zero_grad()
        batch = self._task.training_batch(flipped(slices) if self._flips else slices)
        with self._setting.autocast():
            loss = self.method.loss(batch)
        loss.backward()
        self._optimizer.step()

    def _show_all(self) -> None:
        """Let the teacher see every slice in every position, as after some epochs."""
        for variant, axes in enumerate(((), (-2,), (-1,), (-2, -1))[: 4 if self._flips else 1]):
            target = self._all.target.flip(axes)
            numbers = torch.full_like(self._all.volume, variant)
            batch = self._task(self._all._replace(target=target, variant=numbers))
            for item in range(self._setting.slices):
                self.method.loss(batch.select([item]))

    def _build(self, stage: str) -> TrainingMethod:
        if stage not in WEIGHTS:
            return Supervised(network=self._setting.network(stage), optimizer=torch.optim.Adam)
        return Distillation(
            network=self._setting.network("student"),
            teacher=self._setting.network("teacher"),
            distillation=AttentionTransfer(),
            weights=LossWeights(*WEIGHTS[stage]),
            teacher_cache_gib=1.0,
            optimizer=torch.optim.Adam,
        )


class FileStep(SuiteStep):
    """The same step with its slices read from files that the system's cache does not hold."""

    def __init__(self, setting: Setting, stage: str, folder: Path) -> None:
        super().__init__(setting, stage, "")
        self.paths = [folder / f"{number}.h5" for number in range(FILES)]
        for path in self.paths:
            write_volume(path, random_volume(setting, setting.slices), {})
        self._dataset = SliceDataset([inspect(path, 1) for path in self.paths])

    def prepare(self) -> None:
        """Choose slices, and let the system forget what it knows of the files."""
        items = torch.randperm(len(self._dataset))[: self.slices]
        self.chosen: list[int] = items.tolist()
        for path in self.paths:
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def run(self) -> None:
        """Read and learn from them."""
        slices = self._dataset.__getitems__(self.chosen)
        self._learn(slices.to(torch.device(self._setting.device)))


class ReferenceStep(Work):
    """A training step, plainly, on slices that are undersampled already."""

    def __init__(self, setting: Setting, stage: str) -> None:
        self._setting, self.slices = setting, setting.batch_size
        self._network = setting.reference("teacher" if stage == "teacher" else "student")
        self._teacher = setting.reference("teacher") if stage in WEIGHTS else None
        self._weights = reference.Losses(*WEIGHTS.get(stage, (1.0, 0.0, 0.0)))
        self._optimizer = torch.optim.Adam(self._network.parameters(), lr=1e-3)
        self._all = setting.random_slices()

    def prepare(self) -> None:
        """Choose slices."""
        self.chosen = self._setting.task(self._setting.some(self._all))

    def run(self) -> None:
        """Learn from them."""
        self._optimizer.zero_grad()
        inputs = self.chosen.inputs[:3]
        given = (self._network, self._teacher, self._weights, inputs, self.chosen.target)
        reference.loss(*given).backward()
        self._optimizer.step()

"""What is measured, one class a kind of work; `build` chooses among them."""

import os
from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kdmri.benchmark import reference
from kdmri.benchmark.setting import Setting
from kdmri.data.augmentation import flipped
from kdmri.data.batch import Slice
from kdmri.data.dataset import SliceDataset
from kdmri.data.layout import inspect, write_volume
from kdmri.data.masks import GaussianLines
from kdmri.data.undersampled_copies import write_undersampled
from kdmri.distillation import AttentionTransfer
from kdmri.experiment.evaluate import reconstruct_and_measure
from kdmri.metrics.volumes import VolumeMetrics
from kdmri.training import Distillation, Supervised
from kdmri.training.base import TrainingMethod
from kdmri.training.captured import Capture
from kdmri.training.distillation import LossWeights

WEIGHTS = {"feature": (0.0, 0.0, 1.0), "kd": (0.5, 0.5, 0.0)}
"""Of reconstruction, imitation and attention, in the stages that have a teacher."""
PEAK_CHANNELS = 64
FILES = 4
SLICES_OF_A_VOLUME = 48
"""As a subject of MRBrainS has."""
EVALUATED_AT_ONCE = 2
"""Slices, as configs/evaluation/default.yaml has it."""
GIB = 2**30


class Work:
    """Something that is done again and again.

    Attributes:
        slices: of one repetition.
        chosen: what the next repetition works on, where it is not the same each time.
        outside: whether processes of other programs do it.
    """

    slices = 1
    outside = False
    chosen: Any

    def prepare(self) -> None:
        """Choose what the next repetition works on; not timed."""

    @abstractmethod
    def run(self) -> None:
        """Do it once."""

    def close(self) -> None:
        """Let go of what it holds."""


class Inference(Work):
    """Slices through a network, one after the other."""

    def __init__(self, setting: Setting, role: str, plain: bool) -> None:
        self._setting, self._plain, self.slices = setting, plain, setting.batch_size
        network = setting.reference(role) if plain else setting.network(role)
        self._network = network.eval()
        self._all = setting.task(setting.random_slices())

    def prepare(self) -> None:
        """Choose slices."""
        chosen = torch.randint(self._setting.slices, (self.slices, 1))
        batches = [self._all.select(items) for items in chosen.tolist()]
        self.chosen = [batch.inputs[:3] for batch in batches]

    def run(self) -> None:
        """Reconstruct them."""
        if self._plain:
            with torch.no_grad():
                for inputs in self.chosen:
                    self._network(*inputs)
            return
        with torch.inference_mode(), self._setting.autocast():
            for inputs in self.chosen:
                self._network(*inputs)


class Peak(Work):
    """One 3x3 convolution between many channels: as fast as convolutions get here."""

    def __init__(self, setting: Setting) -> None:
        self.slices = setting.batch_size
        layer = torch.nn.Conv2d(PEAK_CHANNELS, PEAK_CHANNELS, 3, padding=1, device=setting.device)
        self._layer = layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        image = torch.randn(1, PEAK_CHANNELS, *setting.size, device=setting.device)
        self._image = image.to(memory_format=torch.channels_last)

    @staticmethod
    def flops(setting: Setting) -> int:
        """Count its operations."""
        return 2 * 9 * PEAK_CHANNELS**2 * setting.size[0] * setting.size[1]

    def run(self) -> None:
        """Convolve."""
        with torch.inference_mode():
            for _ in range(self.slices):
                self._layer(self._image)


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
            write_volume(path, _random_volume(setting, setting.slices), {})
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
        write_volume(self._path, _random_volume(setting, setting.slices), {})

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


def build(setting: Setting, arm: str, work: str, folder: Path) -> Work:
    """Build a work of an arm.

    Args:
        setting: what it is done on.
        arm: "suite", "reference", "bound" for what the suite cannot be faster than, or
            "uncaptured" for a step on a GPU that starts each kernel by itself.
        work: such as "teacher inference" or "kd step, flips".
        folder: for files that it needs.
    """
    kind, _, rest = work.partition(", ")
    role, _, what = kind.partition(" ")
    match arm, what:
        case "bound", "inference":
            return Peak(setting)
        case "bound", "evaluation":
            return Inference(setting, role, plain=False)
        case "bound", "step":
            return SuiteStep(setting, role, "")
        case "suite", "step":
            files = rest == "files"
            return FileStep(setting, role, folder) if files else SuiteStep(setting, role, rest)
        case "uncaptured", "step":
            return SuiteStep(setting, role, rest, captured=False)
        case _, "served":
            from kdmri.benchmark import serving  # which stands on this module

            return (serving.Served if arm == "suite" else serving.Alone)(setting, role, folder)
        case "suite", "evaluation":
            return Evaluation(setting, role, folder)
        case "reference", "step":
            return ReferenceStep(setting, role)
        case _, "inference":
            return Inference(setting, role, plain=arm == "reference")
    return (SuiteLoading if arm == "suite" else ReferenceLoading)(setting, folder)


def _random_volume(setting: Setting, slices: int) -> np.ndarray:
    shape = (*setting.size, slices)
    return np.random.default_rng(setting.seed).random(shape, dtype=np.float32)


def _original_file(setting: Setting, folder: Path) -> Path:
    """Write a file as the original project has them: double precision, one block an array."""
    path = folder / "1.h5"
    volume = _random_volume(setting, SLICES_OF_A_VOLUME)
    write_undersampled(path, volume, GaussianLines(4)(setting.size), "4x", {})
    return path

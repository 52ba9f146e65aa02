"""What is measured: one repetition of each kind of work, by the suite and by the reference."""

import tempfile
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from kdmri.benchmark import reference
from kdmri.data.batch import Batch, Slice, collate
from kdmri.data.dataset import SliceDataset
from kdmri.data.layout import inspect, write_volume
from kdmri.data.masks import GaussianLines
from kdmri.distillation import AttentionTransfer
from kdmri.evaluation import reconstruct
from kdmri.models import build_network
from kdmri.physics import CartesianUndersampling
from kdmri.training import Distillation, Supervised
from kdmri.training.base import TrainingMethod
from kdmri.training.distillation import LossWeights

WEIGHTS = {"feature": (0.0, 0.0, 1.0), "kd": (0.5, 0.5, 0.0)}
PEAK_CHANNELS = 64
GIB = 2**30


@dataclass(frozen=True)
class Setting:
    """Plain values of `configs/benchmark.yaml` that a work depends on."""

    teacher: dict[str, Any]
    student: dict[str, Any]
    size: tuple[int, int]
    batch_size: int
    slices: int
    device: str
    precision: str
    seed: int

    @property
    def rule(self) -> GaussianLines:
        """The mask's rule, 4x along the first axis."""
        return GaussianLines(4)

    def batch(self) -> Batch:
        """Make random slices, in [0, 1] and nowhere all zero, and undersample them."""
        target = torch.rand(self.slices, 1, *self.size, device=self.device)
        numbers = torch.arange(self.slices, device=self.device)
        ones, zeros = torch.ones_like(numbers).float(), torch.zeros_like(numbers)
        slices = Slice(target, None, ones, zeros, numbers, zeros)
        return CartesianUndersampling(self.rule)(slices)

    def autocast(self) -> AbstractContextManager[Any]:
        """Give the context of the precision."""
        if self.precision == "32-true":
            return nullcontext()
        return torch.autocast(self.device, dtype=torch.bfloat16)


class Work:
    """Something that is done again and again; `prepare` and `finish` are not timed.

    Attributes:
        items: slices of one repetition.
    """

    items = 1

    def prepare(self) -> None:
        """Choose what the next repetition works on."""

    @abstractmethod
    def run(self) -> None:
        """Do it once."""


class Inference(Work):
    """One slice through a network; `arm` is "suite" or "reference"."""

    def __init__(self, setting: Setting, role: str, arm: str) -> None:
        """Build the network; both arms have the same random weights."""
        self._setting = setting
        self._network: torch.nn.Module = build_network(getattr(setting, role)).to(setting.device)
        if arm == "reference":
            self._network = _plain(setting, role, self._network)
        self._network.eval()
        self._without_gradient = torch.inference_mode if arm == "suite" else torch.no_grad
        self._autocast = setting.autocast if arm == "suite" else nullcontext
        self._batch = setting.batch()

    def prepare(self) -> None:
        """Choose a slice."""
        item = int(torch.randint(self._setting.slices, ()))
        chosen = self._batch.select([item])
        self._inputs = (chosen.image, chosen.kspace, chosen.mask)

    def run(self) -> None:
        """Reconstruct it."""
        with self._without_gradient(), self._autocast():
            self._network(*self._inputs)


class Peak(Work):
    """One 3x3 convolution between many channels: as fast as convolutions get here."""

    def __init__(self, setting: Setting) -> None:
        """Draw image and weights."""
        shape = (1, PEAK_CHANNELS, *setting.size)
        layer = torch.nn.Conv2d(PEAK_CHANNELS, PEAK_CHANNELS, 3, padding=1)
        self._layer = layer.to(setting.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._image = torch.randn(shape, device=setting.device).to(
            memory_format=torch.channels_last
        )
        self.flops = 2 * 9 * PEAK_CHANNELS**2 * setting.size[0] * setting.size[1]

    def run(self) -> None:
        """Convolve."""
        with torch.inference_mode():
            self._layer(self._image)


class SuiteStep(Work):
    """A training step of the suite: losses, gradients, Adam."""

    def __init__(self, setting: Setting, stage: str, again: bool = True) -> None:
        """Build the stage's method; `again` says whether slices come again, as in training."""
        self._setting, self.items = setting, setting.batch_size
        self._method = self._build(stage).to(setting.device)
        self._method.log = lambda *_, **__: None  # type: ignore[method-assign,assignment]
        self._method.train()
        parameters = [p for p in self._method.parameters() if p.requires_grad]
        self._optimizer = torch.optim.Adam(parameters, lr=1e-3)
        whole = setting.batch()
        self._batch = whole if again else whole._replace(variant=None)
        if isinstance(self._method, Distillation) and again:
            for items in torch.arange(setting.slices).split(setting.batch_size):
                self._method.training_step(self._batch.select(items.tolist()), 0)

    def _build(self, stage: str) -> TrainingMethod:
        setting = self._setting
        if stage in ("teacher", "student"):
            network = build_network(getattr(setting, stage))
            return Supervised(network=network, optimizer=torch.optim.Adam)
        return Distillation(
            network=build_network(setting.student),
            teacher=build_network(setting.teacher).to(setting.device),
            distillation=AttentionTransfer(),
            weights=LossWeights(*WEIGHTS[stage]),
            teacher_cache_gib=1.0,
            optimizer=torch.optim.Adam,
        )

    def prepare(self) -> None:
        """Choose the slices of a step."""
        self._chosen = self._batch.select(_some(self._setting))

    def run(self) -> None:
        """Learn from them."""
        self._optimizer.zero_grad()
        with self._setting.autocast():
            loss = self._method.training_step(self._chosen, 0)
        loss.backward()
        self._optimizer.step()


class ReferenceStep(Work):
    """The same step, plainly."""

    def __init__(self, setting: Setting, stage: str) -> None:
        """Build what the stage needs."""
        self._setting, self.items = setting, setting.batch_size
        role = stage if stage == "teacher" else "student"
        self._network = _plain(setting, role)
        self._teacher = _plain(setting, "teacher") if stage in WEIGHTS else None
        self._weights = reference.Losses(*WEIGHTS.get(stage, (1.0, 0.0, 0.0)))
        self._optimizer = torch.optim.Adam(self._network.parameters(), lr=1e-3)
        self._batch = setting.batch()

    def prepare(self) -> None:
        """Choose the slices of a step."""
        chosen = self._batch.select(_some(self._setting))
        self._inputs, self._target = (chosen.image, chosen.kspace, chosen.mask), chosen.target

    def run(self) -> None:
        """Learn from them."""
        self._optimizer.zero_grad()
        given = (self._inputs, self._target)
        reference.loss(self._network, self._teacher, self._weights, *given).backward()
        self._optimizer.step()


class Loading(Work):
    """A slice of a file that carries its own k-space, as the original project ships them."""

    def __init__(self, setting: Setting, arm: str) -> None:
        """Write a file in the original's layout, unchunked, and open it as the arm does."""
        self._setting = setting
        self._folder = tempfile.TemporaryDirectory()
        path = Path(self._folder.name) / "1.h5"
        mask = setting.rule(setting.size)
        _write_original(path, np.random.default_rng(setting.seed).random((*setting.size, 32)), mask)
        self._slices: reference.ReferenceSlices | SliceDataset
        if arm == "reference":
            self._slices = reference.ReferenceSlices([path])
        else:
            self._slices = SliceDataset([inspect(path, 1, "4x")], cache_bytes=GIB)
            self.items = setting.batch_size

    def prepare(self) -> None:
        """Choose slices."""
        self._chosen = torch.randint(len(self._slices), (self.items,)).tolist()

    def run(self) -> None:
        """Load them."""
        if isinstance(self._slices, SliceDataset):
            collate(self._slices.__getitems__(self._chosen))
        else:
            _ = self._slices[self._chosen[0]]


class Evaluation(Work):
    """Reading, network, metrics and writing of a small data set, as `evaluate.py` does it."""

    def __init__(self, setting: Setting, with_all: bool) -> None:
        """Write a volume; `with_all` false runs the network alone."""
        self._setting, self.items, self._with_all = setting, setting.slices, with_all
        self._folder = tempfile.TemporaryDirectory()
        self._path = Path(self._folder.name) / "1.h5"
        values = np.random.default_rng(setting.seed).random((*setting.size, setting.slices))
        write_volume(self._path, values, {})
        self._task = CartesianUndersampling(setting.rule)
        self._network = build_network(setting.teacher).to(setting.device).eval()
        self._batch = setting.batch()

    def run(self) -> None:
        """Evaluate the teacher."""
        with torch.inference_mode():
            if self._with_all:
                results = Path(self._folder.name) / "results"
                reconstruct(self._network, self._batches(), ["1"], results, detailed=False)
                return
            for item in range(self._setting.slices):
                chosen = self._batch.select([item])
                self._network(chosen.image, chosen.kspace, chosen.mask)

    def _batches(self) -> Iterator[Batch]:
        dataset = SliceDataset([inspect(self._path, 1)], cache_bytes=GIB)
        for item in range(len(dataset)):
            slices = dataset.__getitems__([item])
            yield self._task(slices.to(torch.device(self._setting.device)))


def build(setting: Setting, arm: str, work: str) -> Work:
    """Build a work of an arm: "suite", "reference" or, for what both are measured by, "bound"."""
    role, _, rest = work.partition(" ")
    match arm, work:
        case "bound", "evaluation":
            return Evaluation(setting, with_all=False)
        case "bound", _:
            return Peak(setting)
        case _, "loading":
            return Loading(setting, arm)
        case "suite", "evaluation":
            return Evaluation(setting, with_all=True)
        case "suite", _ if rest.startswith("step"):
            return SuiteStep(setting, role, again=not rest.endswith("first visit"))
        case "reference", _ if rest.startswith("step"):
            return ReferenceStep(setting, role)
    return Inference(setting, role, arm)


def _plain(
    setting: Setting, role: str, network: torch.nn.Module | None = None
) -> reference.ReferenceDCCNN:
    architecture = getattr(setting, role)
    plain = reference.ReferenceDCCNN(
        architecture["cascades"], architecture["depth"], architecture["width"]
    )
    if network is not None:
        plain.load_state_dict(network.state_dict())
    return plain.to(setting.device)


def _some(setting: Setting) -> list[int]:
    return torch.randperm(setting.slices)[: setting.batch_size].tolist()


def _write_original(path: Path, volume: np.ndarray, mask: np.ndarray) -> None:
    """Write float64 and complex128 (H, W, S) arrays without chunks, as the original's files are."""
    kspace = mask[:, :, None] * np.fft.fft2(volume, axes=(0, 1), norm="ortho")
    with h5py.File(path, "w") as file:
        file["volfs"] = volume
        file["img_volus_4x"] = np.abs(np.fft.ifft2(kspace, axes=(0, 1), norm="ortho"))
        file["kspace_volus_4x"] = kspace


def flops(setting: Setting, role: str) -> int:
    """Count what the convolutions of a network cost for one slice."""
    total = 0
    for name, weight in _plain(setting, role).named_parameters():
        if name.endswith("weight"):
            total += 2 * weight.numel() * setting.size[0] * setting.size[1]
    return total


def parameters(setting: Setting, role: str) -> int:
    """Count the parameters of a network."""
    return sum(p.numel() for p in build_network(getattr(setting, role)).parameters())


def synchronise(device: str) -> None:
    """Wait until a GPU has done what it was asked for."""
    if device != "cpu":
        torch.cuda.synchronize()

"""Training steps of the published student on slices of several coils."""

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch.nn import functional as F

from kdmri.benchmark.coil_reference import ReferenceCoilDCCNN
from kdmri.benchmark.scan import Size, kspace_of, rule
from kdmri.benchmark.setting import Setting
from kdmri.benchmark.varnet_reference import ReferenceVarNet
from kdmri.benchmark.works import Work
from kdmri.data.batch import Batch, Coils, Slice
from kdmri.data.coil_dataset import CoilDataset
from kdmri.data.coils import KSPACE_FILE, inspect_coils
from kdmri.data.companions import centre_scale, companion
from kdmri.data.cropping import Window
from kdmri.distillation import AttentionTransfer
from kdmri.models import DCCNN, VarNet
from kdmri.physics import CartesianUndersampling, Espirit, ifft2, to_channels
from kdmri.physics.coils import combine
from kdmri.training import Distillation, Supervised
from kdmri.training.base import TrainingMethod
from kdmri.training.distillation import LossWeights

STEP: Size = (8, 240, 240)
FILES: Size = (15, 640, 368)
SLICES_OF_A_FILE = 6
IMITATION = 0.5
TEACHER = {"cascades": 5, "width": 8, "levels": 3, "sensitivity_width": 4, "sensitivity_levels": 3}
"""As configs/architecture/varnet_small.yaml has it."""

ESPIRIT = Espirit(calibration=24, kernel=6, threshold=0.02, crop=0.8)


def task(size: Size) -> CartesianUndersampling:
    """Return the undersampling: columns, 4x with a centre of 24."""
    return CartesianUndersampling(rule(size[2]))


def slices_of(size: Size, count: int) -> Slice:
    """Draw fully sampled slices, with sensitivities, as `CoilDataset` gives them."""
    kspace = kspace_of(size, count, undersampled=False)
    kspace = kspace / centre_scale(kspace, (24, 24))
    maps = ESPIRIT(kspace, (24, 24))
    target = to_channels(combine(ifft2(kspace), maps), 2)
    number, none = torch.arange(count), torch.zeros(count, dtype=torch.int64)
    largest = target.square().sum(dim=1).amax().sqrt().expand(count)
    names = torch.full((count, 1), 48)
    coils = Coils(maps, torch.ones(count, 1, *size[1:]), names, Window(0, 0, *size[1:]))
    return Slice(target, kspace, largest, none, number, none, coils=coils)


def some(slices: Slice, items: torch.Tensor) -> Slice:
    """Take some of collated slices."""
    kept = {k: v for k, v in slices._asdict().items() if k != "coils"}
    fields: dict[str, Any] = {k: v if v is None else v[items] for k, v in kept.items()}
    assert slices.coils is not None
    return Slice(**fields, coils=slices.coils.select(items.tolist()))


class SuiteCoilStep(Work):
    """A step of the suite; a teacher has seen every slice, as after an epoch."""

    def __init__(self, setting: Setting, folder: Path, taught: bool, size: Size = STEP) -> None:
        self._setting, self.slices = setting, setting.batch_size
        self._task = task(size)
        self.method = self._method(taught)
        self.method.log = lambda *_, **__: None  # type: ignore[method-assign]
        parameters = [p for p in self.method.parameters() if p.requires_grad]
        self._optimizer = torch.optim.Adam(parameters, lr=1e-3)
        self._fill(size, folder)
        if taught:
            for item in range(setting.slices):
                self.method.loss(self._task(some(self._all, torch.tensor([item]))))

    def _fill(self, size: Size, folder: Path) -> None:
        self._all = slices_of(size, self._setting.slices)

    def prepare(self) -> None:
        """Choose slices."""
        self.chosen = some(self._all, torch.randperm(self._setting.slices)[: self.slices])

    def run(self) -> None:
        """Undersample them, and learn from them."""
        self._learn(self.chosen)

    def _learn(self, slices: Slice) -> None:
        self._optimizer.zero_grad()
        batch = self._task.training_batch(slices)
        with self._setting.autocast():
            loss = self.method.step_loss(batch)
        loss.backward()
        self._optimizer.step()

    @staticmethod
    def _method(taught: bool) -> TrainingMethod:
        student = DCCNN(5, 3, channels=2)
        if not taught:
            return Supervised(network=student, optimizer=torch.optim.Adam)
        return Distillation(
            network=student,
            teacher=VarNet(**TEACHER),
            distillation=AttentionTransfer(),
            weights=LossWeights(1 - IMITATION, IMITATION, 0.0),
            teacher_cache_gib=1.0,
            optimizer=torch.optim.Adam,
        )


class PlainStep(Work):
    """The same plainly, on slices that are undersampled already; a teacher runs with a graph."""

    chosen: Batch

    def __init__(self, setting: Setting, folder: Path, taught: bool, size: Size = STEP) -> None:
        self._setting, self.slices = setting, setting.batch_size
        self._network, self._task = ReferenceCoilDCCNN(5, 3), task(size)
        self._teacher = ReferenceVarNet(**TEACHER) if taught else None
        self._optimizer = torch.optim.Adam(self._network.parameters(), lr=1e-3)
        self._all = slices_of(size, setting.slices)

    def prepare(self) -> None:
        """Choose slices, and undersample them."""
        items = torch.randperm(self._setting.slices)[: self.slices]
        self.chosen = self._task(some(self._all, items))

    def run(self) -> None:
        """Learn from them."""
        self._optimizer.zero_grad()
        output = self._network(*self.chosen.inputs)
        loss = F.l1_loss(output, self.chosen.target)
        if self._teacher is not None:
            taught = self._teacher(*self.chosen.inputs)  # not frozen, as in the original's code
            loss = (1 - IMITATION) * loss + IMITATION * F.l1_loss(output, taught)
        loss.backward()
        self._optimizer.step()


def data_set_of_file(
    size: Size, folder: Path, cache_bytes: int, slices: int = SLICES_OF_A_FILE
) -> tuple[CoilDataset, list[Path]]:
    """Write a fastMRI file with its sensitivities beside it; return its slices, and both files."""
    source, path = folder / "scan.h5", folder / "train" / "scan.h5"
    path.parent.mkdir()
    kspace = kspace_of(size, slices, undersampled=False)
    with h5py.File(source, "w") as file:
        file["kspace"] = torch.fft.fftshift(kspace, dim=(-2, -1)).numpy()
    with h5py.File(path, "w") as file:
        file["volfs"] = np.ones((size[1], size[2], slices), np.float32)
        file.attrs[KSPACE_FILE] = str(source)
    volume = inspect_coils(path)
    beside = companion(volume, folder, (24, 24), ESPIRIT)
    return CoilDataset([volume], [beside], cache_bytes), [source, beside.path]


class FilesStep(SuiteCoilStep):
    """A step on slices of a fastMRI file read in place, which the system's cache does not hold."""

    cache_bytes = 0

    def __init__(self, setting: Setting, folder: Path, size: Size = FILES) -> None:
        super().__init__(setting, folder, taught=False, size=size)

    def _fill(self, size: Size, folder: Path) -> None:
        self._dataset, self.paths = data_set_of_file(size, folder, self.cache_bytes)
        self.slices = 1

    def prepare(self) -> None:
        """Choose a slice, and let the system forget what it knows of the files."""
        self.chosen = torch.randint(len(self._dataset), (self.slices,)).tolist()
        for path in self.paths:
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def run(self) -> None:
        """Read and learn from it."""
        self._learn(self._dataset.__getitems__(self.chosen))


class MemoryStep(FilesStep):
    """The same with all slices in memory."""

    cache_bytes = 2**40

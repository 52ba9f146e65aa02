"""The one data module of all stages: finds splits, serves slices, undersamples on the device."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from kdmri.data.augmentation import AXES, flipped, free_axes
from kdmri.data.batch import Batch, Slice, collate
from kdmri.data.coil_dataset import CoilDataset, scan_of
from kdmri.data.coils import holds_coils, inspect_coils
from kdmri.data.companions import Estimate, companion
from kdmri.data.dataset import SliceDataset
from kdmri.data.layout import Volume, reading
from kdmri.data.sampler import SliceBatches
from kdmri.data.scans import check_readout, compared_with, doubted
from kdmri.data.splits import Splits, find_splits
from kdmri.data.task import Scan, Task
from kdmri.data.training_files import check_known, known_by, middle_items
from kdmri.errors import DataError


class MRIDataModule(pl.LightningDataModule):
    """Splits of one data set as batches of a task.

    Training slices teach, selection slices choose the best weights, evaluation slices are reported.
    """

    def __init__(
        self,
        task: Task,
        folder: str | Path,
        acceleration: str | None,
        batch_size: int,
        seed: int,
        channels: int = 1,
        image_size: tuple[int, int] | None = None,
        selection: float | str | list[str] | None = None,
        stored_kspace: bool = True,
        flips: bool = False,
        transform: Callable[[Slice], Slice] | None = None,
        num_workers: int = 0,
        cache_gib: float = 2.0,
        build: Callable[[Path], None] | None = None,
        sensitivities: Estimate | None = None,
    ) -> None:
        """Describe the data; nothing is read before `setup`.

        Args:
            task: makes a `Batch` from a collated `Slice`.
            folder: directory of the data set with its splits.
            acceleration: name of the folders (`acc_*`) of the original project; None: never read.
            batch_size: slices of a training step over all processes together.
            seed: of the training order.
            channels: 1 for magnitude images, 2 for complex ones.
            image_size: (H, W) that slices are cropped or padded to.
            selection: where the best weights are chosen; see `splits.find_splits`.
            stored_kspace: use undersampled k-space where a file carries it.
            flips: mirror training slices at random.
            transform: changes collated training slices after that, on their device; they have no
                stored k-space, which would not be the changed images'.
            num_workers: loader processes of each training process.
            cache_gib: each split is kept in memory if it needs no more than this, in GiB.
            build: makes an embedded data set in its folder, or sees that the one there is it.
            sensitivities: estimates those of coils that no file has; the data set is of several
                coils then. None reads images of one coil.
        """
        super().__init__()
        self.task = task
        self.folder = Path(folder)
        self._acceleration = acceleration
        self._batch_size, self._seed = batch_size, seed
        self._channels, self._stored_kspace = channels, stored_kspace
        self._flips, self._transform = flips, transform
        self._flip_axes: tuple[int, ...] = AXES
        self._image_size = None if image_size is None else (int(image_size[0]), int(image_size[1]))
        self._selection = selection
        self._num_workers, self._cache_bytes = num_workers, int(cache_gib * 2**30)
        self._build, self._estimate = build, sensitivities
        self._datasets: dict[str, SliceDataset | CoilDataset] = {}
        self._position = (0, 0)
        self._known: dict[str, Any] | None = None
        self._splits: Splits | None = None

    @property
    def splits(self) -> Splits:
        """The files of each split.

        Raises:
            DataError: the data set or one of its splits is missing.
        """
        if self._splits is None:
            if self._build is not None:
                self._build(self.folder)
            wanted = self._stored_kspace and self.task.takes_stored_kspace
            stored = self._acceleration if wanted else None
            self._splits = find_splits(self.folder, self._selection, self._acceleration, stored)
        return self._splits

    def dataset(self, split: str) -> SliceDataset | CoilDataset:
        """Return a split's slices; `split` is "train", "selection" or "evaluation".

        Raises:
            DataError: a file of the split cannot be used.
        """
        if split not in self._datasets:
            self._datasets[split] = (
                self._of_one_coil(split) if self._estimate is None else self._of_coils(split)
            )
        return self._datasets[split]

    def describe_sampling(self, split: str) -> str:
        """Say for a report how the slices of a split are sampled, in one sentence."""
        dataset = self.dataset(split)
        if not isinstance(dataset, CoilDataset):
            return self.task.describe(dataset.slice_size)
        counts = sorted({volume.coils for volume in dataset.volumes})
        coils = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        sampled = self.task.describe(dataset.slice_size, dataset.scans)
        return f"{sampled}; {coils} coils, compared with {compared_with(dataset.volumes)}"

    def doubts(self, *splits: str) -> list[str]:
        """Say in sentences what is odd in the sampling of splits, and in their coils."""
        every = [self.dataset(split) for split in splits]
        found = [dataset for dataset in every if isinstance(dataset, CoilDataset)]
        volumes = [volume for dataset in found for volume in dataset.volumes]
        unexplained = [share for dataset in found for share in dataset.unexplained]
        scans = [scan for dataset in found for scan in dataset.scans]
        sampled = self.task.doubts(every[0].slice_size, scans)
        return [*sampled, *self._unused(every), *doubted(volumes, unexplained, self.folder)]

    def _unused(self, every: Sequence[SliceDataset | CoilDataset]) -> list[str]:
        """Say that k-space of several coils is there and not used, by the first file."""
        first = every[0].volumes[0].path
        if isinstance(every[0], CoilDataset) or first.suffix != ".h5":
            return []
        with reading(first) as file:
            if not holds_coils(file):
                return []
        return [
            f"{self.folder}: k-space of several coils is in its files, and only their images are "
            "used; dataset=multicoil in place of dataset=own trains on it"
        ]

    def _of_one_coil(self, split: str) -> SliceDataset:
        volumes = self.splits.inspect(split, self._channels)
        dataset = SliceDataset(volumes, self._image_size, self._cache_bytes)
        self._check_sampling(volumes, dataset)
        for volume in volumes if self._channels == 2 else ():
            whole = torch.ones(1, *dataset.slice_size)
            check_readout(self.task, Scan(whole, (), volume.readout), volume.path)
        if split == "train":
            self._check_augmentation(volumes, dataset)
        return dataset

    def _of_coils(self, split: str) -> CoilDataset:
        assert self._estimate is not None
        volumes = [inspect_coils(path) for path in self.splits.files[split]]
        for volume in volumes:
            whole = torch.ones(1, *volume.shape[:2])
            check_readout(self.task, scan_of(volume, whole), volume.path)
        companions = []
        for volume in volumes:
            centre = self._estimate.used(self.task.centre_of(volume.shape[:2]))
            companions.append(companion(volume, self.folder, centre, self._estimate))
        dataset = CoilDataset(volumes, companions, self._cache_bytes)
        self.task(collate([dataset[0]]))  # an unfit mask is refused early
        return dataset

    def state_dict(self) -> dict[str, Any]:
        """Say where training stands: epoch, how many of its batches are done, and on which data."""
        assert self.trainer is not None
        epoch, progress = (
            self.trainer.current_epoch,
            self.trainer.fit_loop.epoch_loop.batch_progress,
        )
        data = self._known_by()
        if progress.is_last_batch:
            return {"epoch": epoch + 1, "batches": 0, **data}
        done: Any = progress.current
        return {"epoch": epoch, "batches": done.processed, **data}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there.

        Raises:
            DataError: there are other training files than before, or others of their names.
        """
        self._position = (state_dict["epoch"], state_dict["batches"])
        check_known(state_dict, self._known_by(), self.folder)

    def _known_by(self) -> dict[str, Any]:
        if self._known is None:
            datasets = [self.dataset("train"), self.dataset("selection")]
            self._known = known_by(datasets, self.folder)
        return self._known

    def prepare_data(self) -> None:
        """Build what is computed once, in one process alone."""
        if self._estimate is None:
            _ = self.splits
        else:
            self.setup("fit")

    def setup(self, stage: str) -> None:
        """Read what training needs, so that a file that cannot be used is named at the start."""
        if stage == "fit":
            self.dataset("train"), self.dataset("selection")

    def train_dataloader(self) -> DataLoader[Slice]:
        """Serve shuffled training slices."""
        return self._loader("train", self._batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[Slice]:
        """Serve selection slices in order."""
        return self._loader("selection", self._batch_size)

    def test_dataloader(self, batch_size: int | None = None) -> DataLoader[Slice]:
        """Serve evaluation slices in order."""
        return self._loader("evaluation", batch_size or self._batch_size)

    def on_after_batch_transfer(self, batch: Slice, dataloader_idx: int) -> Batch:
        """Make the batch on the device that it was brought to."""
        if self.trainer is None or not self.trainer.training:
            return self.task(batch)
        with self._draws_of(batch):
            if self._flips:
                batch = flipped(batch, self._flip_axes)
            if self._transform is not None:
                batch = self._transform(batch)._replace(variant=None)  # never comes again
            return self.task.training_batch(batch)

    @contextmanager
    def _draws_of(self, batch: Slice) -> Iterator[None]:
        """Let each of several processes draw numbers of its own, the same after a resume.

        All begin with the same generator, and a checkpoint has that of the first alone.
        """
        assert self.trainer is not None
        if self.trainer.world_size == 1:
            yield
            return
        first = (int(batch.volume[0]), int(batch.slice[0]))  # of no other process in this epoch
        own = [self._seed, self.trainer.current_epoch, *first]
        with torch.random.fork_rng(devices=[]):
            seed = np.random.SeedSequence(own).generate_state(1, np.uint64)
            torch.default_generator.manual_seed(int(seed[0]))
            yield

    def _loader(self, split: str, batch_size: int, shuffle: bool = False) -> DataLoader[Slice]:
        dataset = self.dataset(split)
        rank, processes = 0, 1
        if self.trainer is not None:
            rank, processes = self.trainer.global_rank, self.trainer.world_size
        batches = SliceBatches(dataset.groups, batch_size, shuffle, self._seed, rank, processes)
        if shuffle:
            batches.go_on(*self._position)
            self._position = (0, 0)
        return DataLoader(
            dataset,
            batch_sampler=batches,
            # One of its own: else each epoch would draw from the one that a resume restores.
            generator=torch.Generator(),
            num_workers=self._num_workers,
            persistent_workers=self._num_workers > 0,
            collate_fn=collate,
            pin_memory=torch.cuda.is_available(),
        )

    def _check_sampling(self, volumes: list[Volume], dataset: SliceDataset) -> None:
        """Sample one slice, so that an unfit mask is refused early, and look at all stored k-space.

        Of each volume that stores k-space its middle slice is compared with the mask.
        """
        first = dataset[0]
        mask = self.task(collate([first])).mask[0]
        if first.kspace is None:
            return
        for volume, middle in zip(volumes, middle_items(volumes), strict=True):
            kspace = dataset[middle].kspace
            assert kspace is not None
            outside = torch.linalg.vector_norm(kspace * (1 - mask))
            if outside > 1e-3 * torch.linalg.vector_norm(kspace):
                raise DataError(
                    f"{volume.path}: {volume.kspace_key} has samples outside the mask in use "
                    f"({mask.mean():.0%} measured); put the mask it was made with into us_masks, "
                    "name it with task.mask_file, or simulate with dataset.stored_kspace=false"
                )

    def _check_augmentation(self, volumes: list[Volume], dataset: SliceDataset) -> None:
        """See what stored k-space allows: flips along the axes that are sampled whole, no more."""
        first = dataset[0]
        if first.kspace is None:
            return
        way_out = "simulate it with dataset.stored_kspace=false, or give augmentation"
        if self._transform is not None:
            raise DataError(
                f"{volumes[0].path}: augmentation.transform cannot be applied to k-space that is "
                f"stored; {way_out}=flips"
            )
        self._flip_axes = free_axes(self.task(collate([first])).mask)
        if self._flips and not self._flip_axes:
            raise DataError(
                f"{volumes[0].path}: augmentation.flips cannot be applied to k-space that is "
                f"undersampled along both axes; {way_out}=none"
            )

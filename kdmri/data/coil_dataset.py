"""Slices of volumes of several coils, from memory where they fit a budget, else from open files."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from kdmri.data.batch import Coils, Slice, collate
from kdmri.data.coils import (
    SENSITIVITIES,
    CoilVolume,
    read_kspace,
    read_sensitivities,
    read_truth,
)
from kdmri.data.companions import Companion
from kdmri.data.open_files import OpenFiles
from kdmri.data.sampler import places
from kdmri.data.task import Scan


class _Stored(NamedTuple):
    """What is read of a slice, at the volume's scale.

    Attributes:
        kspace: complex64 (coils, H, W).
        sensitivities: complex64 (coils, H, W).
        target: float32 (2, H, W).
        image: see `Coils`.
    """

    kspace: Tensor
    sensitivities: Tensor
    target: Tensor
    image: Tensor | None


class CoilDataset(Dataset[Slice]):
    """All slices of some volumes, volume by volume; sizes and numbers of coils may differ.

    K-space is as acquired, targets are the combined images, two channels; both are divided by the
    volume's scale (see `kdmri.data.companions.Companion`).
    """

    def __init__(
        self,
        volumes: Sequence[CoilVolume],
        companions: Sequence[Companion],
        cache_bytes: int = 0,
    ) -> None:
        """Take the volumes, and read those that memory has room for.

        Args:
            volumes: what `inspect_coils` gave; at least one.
            companions: of each of them.
            cache_bytes: all volumes are kept in memory if they need no more than this.

        Raises:
            DataError: a file is damaged, or a slice holds NaN.
        """
        self.volumes, self._companions = list(volumes), list(companions)
        self._files = OpenFiles()
        index = [(v, s) for v, volume in enumerate(volumes) for s in range(volume.shape[2])]
        self._index = torch.tensor(index)
        # Of files, since masks that fastMRI's tools draw are seeded by those.
        self._names = _as_numbers([volume.kspace_path.name for volume in volumes])
        self._acquired = [
            torch.from_numpy(c.acquired.astype(np.float32))[None] for c in self._companions
        ]
        self._cache: list[_Stored] | None = None
        if sum(volume.bytes_in_memory for volume in volumes) <= cache_bytes:
            self._cache = [self._read(v, s) for v, s in index]
            self._files.close()

    @property
    def slice_size(self) -> tuple[int, int]:
        """Size (H, W) of k-space of the first volume's slices."""
        return self.volumes[0].shape[:2]

    @property
    def shown_sizes(self) -> list[tuple[int, int]]:
        """Size (H, W) of what is shown of the slices of each volume."""
        return [volume.shown.size for volume in self.volumes]

    @property
    def unexplained(self) -> list[float]:
        """Share of its k-space that the sensitivities of each volume do not explain."""
        return [companion.unexplained for companion in self._companions]

    @property
    def groups(self) -> list[int]:
        """Number of a group for each slice; those of one group fit into one batch."""
        kinds = [(v.shape[:2], v.coils, v.shown, bool(v.against)) for v in self.volumes]
        known = {kind: number for number, kind in enumerate(dict.fromkeys(kinds))}
        return [known[kinds[volume]] for volume in self._index[:, 0].tolist()]

    @property
    def scans(self) -> list[Scan]:
        """What masks of their own depend on, of each volume."""
        pairs = zip(self.volumes, self._acquired, strict=True)
        return [scan_of(volume, acquired) for volume, acquired in pairs]

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, item: int) -> Slice:
        """Return a slice.

        Args:
            item: its place; what `padding_item` makes of a place asks for a padding item.

        Raises:
            DataError: the file is damaged or the slice holds NaN.
        """
        (place,), (counts,) = places([item])
        volume, index = self._index[place]
        number = int(volume)
        kept = self._cache
        stored = self._read(number, int(index)) if kept is None else kept[int(place)]
        companion = self._companions[number]
        return Slice(
            target=stored.target,
            kspace=stored.kspace,
            data_range=torch.tensor(companion.largest / companion.scale),
            volume=volume,
            slice=index,
            variant=torch.tensor(0),
            counts=counts,
            coils=Coils(
                stored.sensitivities,
                self._acquired[number],
                self._names[number],
                self.volumes[number].shown,
                image=stored.image,
            ),
        )

    def __getitems__(self, items: list[int]) -> Slice:
        """Return collated slices; they must be of one group. Raises like one."""
        return collate([self[item] for item in items])

    def _read(self, number: int, index: int) -> _Stored:
        volume, companion = self.volumes[number], self._companions[number]
        scale = np.float32(companion.scale)
        kspace = read_kspace(self._files(volume.kspace_path), volume, index) / scale
        own, beside = self._files(volume.path), self._files(companion.path)
        if volume.has_sensitivities:
            sensitivities = read_sensitivities(own, volume, index)
        else:
            sensitivities = beside[SENSITIVITIES][index]
        target = beside["target"][index] / scale
        image = read_truth(own, volume, index)[None] / scale if volume.against else None
        return _Stored(
            torch.from_numpy(kspace),
            torch.from_numpy(sensitivities),
            torch.from_numpy(np.stack((target.real, target.imag))),
            None if image is None else torch.from_numpy(image),
        )


def scan_of(volume: CoilVolume, acquired: Tensor) -> Scan:
    """Return what a mask of a volume depends on; `acquired` as in `Scan`."""
    return Scan(acquired, tuple(map(ord, volume.kspace_path.name)), volume.readout)


def _as_numbers(names: Sequence[str]) -> Tensor:
    """Return the characters of names, int64 (names, longest), -1 behind their ends."""
    longest = max(len(name) for name in names)
    rows = [[ord(c) for c in name] + [-1] * (longest - len(name)) for name in names]
    return torch.tensor(rows)

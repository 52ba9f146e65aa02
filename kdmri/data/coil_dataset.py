"""Slices of volumes of several coils, from memory where they fit a budget, else from open files."""

import os
from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from kdmri.data.batch import Coils, Slice, collate
from kdmri.data.coils import SENSITIVITIES, CoilVolume, Companion, read_kspace, read_sensitivities
from kdmri.data.dataset import OPEN_FILES
from kdmri.data.layout import open_volume
from kdmri.data.sampler import places


class CoilDataset(Dataset[Slice]):
    """All slices of some volumes, volume by volume; sizes and numbers of coils may differ.

    K-space is as acquired, targets are the combined images, two channels; both are divided by the
    volume's scale (see `kdmri.data.coils.Companion`).
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
        self._files: dict[tuple[int, str], h5py.File] = {}
        index = [(v, s) for v, volume in enumerate(volumes) for s in range(volume.shape[2])]
        self._index = torch.tensor(index)
        # Of files, since masks that fastMRI's tools draw are seeded by those.
        self._names = _as_numbers([volume.kspace_path.name for volume in volumes])
        self._acquired = [
            torch.from_numpy(c.acquired.astype(np.float32))[None] for c in self._companions
        ]
        self._cache: list[tuple[Tensor, Tensor, Tensor]] | None = None
        if sum(volume.bytes_in_memory for volume in volumes) <= cache_bytes:
            self._cache = [self._read(v, s) for v, s in index]
            self._close()

    @property
    def slice_size(self) -> tuple[int, int]:
        """Size (H, W) of k-space of the first volume's slices."""
        return self.volumes[0].shape[:2]

    @property
    def shown_size(self) -> tuple[int, int]:
        """Size (H, W) of what is shown of the first volume's slices."""
        return self.volumes[0].shown

    @property
    def groups(self) -> list[int]:
        """Number of a group for each slice; those of one group fit into one batch."""
        kinds = [(v.shape[:2], v.coils, v.shown) for v in self.volumes]
        known = {kind: number for number, kind in enumerate(dict.fromkeys(kinds))}
        return [known[kinds[volume]] for volume in self._index[:, 0].tolist()]

    def acquired(self, volume: int) -> Tensor:
        """Return what the scanner measured of a volume, float32 (1, H, W)."""
        return self._acquired[volume]

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
        kspace, sensitivities, target = (
            self._read(number, int(index)) if kept is None else kept[int(place)]
        )
        companion = self._companions[number]
        return Slice(
            target=target,
            kspace=kspace,
            data_range=torch.tensor(companion.largest / companion.scale),
            volume=volume,
            slice=index,
            variant=torch.tensor(0),
            counts=counts,
            coils=Coils(
                sensitivities,
                self._acquired[number],
                self._names[number],
                self.volumes[number].shown,
            ),
        )

    def __getitems__(self, items: list[int]) -> Slice:
        """Return collated slices; they must be of one group. Raises like one."""
        return collate([self[item] for item in items])

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_files": {}}

    def _read(self, number: int, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """Read k-space and sensitivities (coils, H, W) and the target (2, H, W) of a slice."""
        volume, companion = self.volumes[number], self._companions[number]
        scale = np.float32(companion.scale)
        kspace = read_kspace(self._open(volume.kspace_path), volume, index) / scale
        beside = self._open(companion.path)
        if volume.has_sensitivities:
            sensitivities = read_sensitivities(self._open(volume.path), volume, index)
        else:
            sensitivities = beside[SENSITIVITIES][index]
        target = beside["target"][index] / scale
        parts = np.stack((target.real, target.imag))
        return (
            torch.from_numpy(kspace),
            torch.from_numpy(sensitivities),
            torch.from_numpy(parts),
        )

    def _open(self, path: os.PathLike[str]) -> h5py.File:
        key = (os.getpid(), os.fspath(path))  # an open HDF5 file must not go along with a fork
        if key not in self._files:
            if len(self._files) >= OPEN_FILES:
                self._files.pop(next(iter(self._files))).close()
            self._files[key] = open_volume(path)  # type: ignore[arg-type]
        return self._files[key]

    def _close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files = {}


def _as_numbers(names: Sequence[str]) -> Tensor:
    """Return the characters of names, int64 (names, longest), -1 behind their ends."""
    longest = max(len(name) for name in names)
    rows = [[ord(c) for c in name] + [-1] * (longest - len(name)) for name in names]
    return torch.tensor(rows)

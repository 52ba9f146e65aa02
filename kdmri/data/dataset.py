"""Slices of h5 volumes, from memory where they fit a stated budget, else from open files."""

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from kdmri.data.batch import Slice, collate
from kdmri.data.cropping import fit_centre
from kdmri.data.layout import COMPLEX_TARGET, Volume, largest_magnitude, reading
from kdmri.data.layout import read_slice as read_stored_slice
from kdmri.data.layout import read_volume as read_stored_volume
from kdmri.data.open_files import OpenFiles
from kdmri.data.sampler import places
from kdmri.errors import DataError

RANGE = (0.01, 2.0)
"""Of largest magnitudes that pass for 1; slabs of a volume may be darker, and noise adds some."""


class SliceDataset(Dataset[Slice]):
    """All slices of some volumes, volume by volume."""

    def __init__(
        self,
        volumes: list[Volume],
        image_size: tuple[int, int] | None = None,
        cache_bytes: int = 0,
    ) -> None:
        """Check the volumes against one another and read those that memory has room for.

        Args:
            volumes: what `layout.inspect` gave; at least one.
            image_size: (H, W) that every slice is cropped or padded to; None keeps the stored size.
            cache_bytes: all volumes are kept in memory if they need no more than this.

        Raises:
            DataError: slices of different sizes, stored k-space together with `image_size`, NaN, or
                a volume of zeros.
        """
        self.volumes = volumes
        self._size = image_size
        self._files = OpenFiles()
        self._check_sizes()
        index = [(v, s) for v, volume in enumerate(volumes) for s in range(volume.shape[2])]
        self._index = torch.tensor(index)
        self._data_range = torch.empty(len(volumes))
        self._cache: tuple[Tensor, Tensor | None] | None = None
        if sum(volume.bytes_in_memory for volume in volumes) <= cache_bytes:
            self._cache = self._room_for_all()
        for number, volume in enumerate(volumes):
            with reading(volume.path) as file:
                self._data_range[number] = _scaled(
                    volume, largest_magnitude(file, volume, image_size)
                )
                if self._cache is not None:
                    self._fill(self._cache, self._index[:, 0] == number, file, volume)

    @property
    def slice_size(self) -> tuple[int, int]:
        """Size (H, W) of every slice."""
        return self._size or self.volumes[0].shape[:2]

    @property
    def shown_sizes(self) -> list[tuple[int, int]]:
        """Size (H, W) of what is shown of the slices of each volume: all of it."""
        return [self.slice_size] * len(self.volumes)

    @property
    def groups(self) -> list[int]:
        """Number of a group for each slice: they all fit into one batch."""
        return [0] * len(self)

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, item: int) -> Slice:
        """Return a slice as it is stored.

        Args:
            item: its place; what `padding_item` makes of a place asks for a padding item.

        Raises:
            DataError: the file is damaged or the slice holds NaN.
        """
        (place,), (counts,) = places([item])
        volume, index = self._index[place]
        if self._cache is not None:
            target, kspace = (None if c is None else c[place] for c in self._cache)
        else:
            target, kspace = self._read_slice(int(volume), int(index))
        assert target is not None
        largest = self._data_range[volume]
        return Slice(target, kspace, largest, volume, index, torch.tensor(0), counts)

    def __getitems__(self, items: list[int]) -> Slice:
        """Return collated slices, in one copy where they are in memory; raises like one."""
        if self._cache is None:
            return collate([self[item] for item in items])
        chosen, counts = places(items)
        target, kspace = (None if c is None else c.index_select(0, chosen) for c in self._cache)
        assert target is not None
        volume, index = self._index[chosen].unbind(dim=1)
        variant = torch.zeros_like(volume)
        return Slice(target, kspace, self._data_range[volume], volume, index, variant, counts)

    def _check_sizes(self) -> None:
        if self._size is not None:
            for volume in self.volumes:
                if volume.kspace_key is not None:
                    raise DataError(
                        f"{volume.path}: dataset.image_size cannot be applied to stored k-space; "
                        "simulate it with dataset.stored_kspace=false, or leave the size alone"
                    )
            return
        first = self.volumes[0]
        for volume in self.volumes:
            if volume.shape[:2] != first.shape[:2]:
                raise DataError(
                    f"{volume.path}: slices of {volume.shape[:2]}, those of {first.path.name} are "
                    f"{first.shape[:2]}; choose one size with dataset.image_size=[H,W]"
                )

    def _room_for_all(self) -> tuple[Tensor, Tensor | None]:
        """Make room for targets (N, C, H, W) and, where it is stored, k-space (N, 1, H, W)."""
        first = self.volumes[0]
        channels = 2 if first.target_key == COMPLEX_TARGET else 1
        targets = torch.empty(len(self._index), channels, *self.slice_size)
        if first.kspace_key is None:
            return targets, None
        return targets, torch.empty(len(self._index), 1, *self.slice_size, dtype=torch.complex64)

    def _fill(
        self, room: tuple[Tensor, Tensor | None], rows: Tensor, file: h5py.File, volume: Volume
    ) -> None:
        """Read a volume to its rows."""
        targets, kspaces = room
        stored = read_stored_volume(file, volume, volume.target_key)
        targets[rows] = self._to_target(stored, volume)
        if kspaces is not None and volume.kspace_key is not None:
            kspaces[rows] = _to_kspace(read_stored_volume(file, volume, volume.kspace_key), volume)

    def _read_slice(self, number: int, index: int) -> tuple[Tensor, Tensor | None]:
        volume = self.volumes[number]
        file = self._files(volume.path)
        stored = read_stored_slice(file, volume, volume.target_key, index)[..., None]
        target = self._to_target(stored, volume)[0]
        if volume.kspace_key is None:
            return target, None
        kspace = read_stored_slice(file, volume, volume.kspace_key, index)[..., None]
        return target, _to_kspace(kspace, volume)[0]

    def _to_target(self, stored: np.ndarray, volume: Volume) -> Tensor:
        """Bring (H, W, S) as stored to float32 (S, C, H', W')."""
        if self._size is not None:
            stored = fit_centre(stored, self._size)
        slices = np.moveaxis(stored, -1, 0)
        parts = (slices.real, slices.imag) if volume.target_key == COMPLEX_TARGET else (slices,)
        return torch.from_numpy(np.stack(parts, axis=1))


def _scaled(volume: Volume, largest: float) -> float:
    """Return the largest magnitude of a volume; raises DataError where it is far from 1."""
    low, high = RANGE
    if not low <= largest <= high:
        raise DataError(
            f"{volume.path}: {volume.target_key} reaches {largest:g}; volumes go from 0 to 1, to "
            "which kdmri prepare format=layout source=... name=... scales them"
        )
    return largest


def _to_kspace(stored: np.ndarray, volume: Volume) -> Tensor:
    """Bring (H, W, S) as stored to orthonormal complex64 (S, 1, H, W)."""
    scaled = np.moveaxis(stored, -1, 0)[:, None] * np.float32(volume.kspace_factor)
    return torch.from_numpy(np.ascontiguousarray(scaled))

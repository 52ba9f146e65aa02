"""Calgary-Campinas: brains as single-channel k-space, 12-channel k-space, or images."""

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import h5py
import numpy as np

from kdmri.data.hdf5 import open_hdf5
from kdmri.data.npy import open_npy
from kdmri.data.readers.base import Reader, SourceSlice, SourceVolume, unreadable
from kdmri.data.readers.kspace import root_sum_of_squares
from kdmri.data.readers.naming import UNREADABLE, blaming, natural, split_of
from kdmri.data.readers.nifti import nifti_volumes
from kdmri.data.readers.options import check_flags
from kdmri.data.sampling_pattern import check_target, corner_mask, judge, measured
from kdmri.errors import DataError

IMAGE = re.compile(r"(CC\d+)(?:_[a-z]+_\d+_\d+_[MF])?\.nii(?:\.gz)?")
"""Images are named by number, vendor, field, age and sex; whatever else ends in .nii is a mask."""


@dataclass(frozen=True)
class Calgary(Reader):
    """Reads the Calgary-Campinas releases (Souza et al. 2018).

    - `Train/*.npy`: single channel, float (S, 256, 256, 2), real and imaginary k-space, transformed
      without normalisation, zero frequency at the corner; complex images.
    - `*.h5`: 12 or 32 channels, key `kspace`, float (S, 218, 170 to 180, 24), real and imaginary
      parts in turn, transformed along the slice axis already, zero frequency in the middle and the
      last columns empty (partial Fourier); root sum of squares of the coil images.
    - `CC0001_philips_15_55_M.nii.gz`: images, original or skull-stripped; axial slices. Masks,
      whose names go on after that, are left out.

    Where the zero frequency lies is told by the strongest sample of the middle slice: the owner
    shows all images as |ifft2(kspace)|, for which it makes no difference.

    Attributes:
        keep_coils: give the k-space of the 12 or 32 channels too.
        undersampled: give k-space as it was measured, of several channels with its mask.
    """

    keep_coils: bool
    undersampled: bool = field(default=False, repr=False)
    raw: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_flags(self, "keep_coils")

    def volumes(self, source: Path) -> Iterator[SourceVolume]:
        """Yield a volume for each file; see `Reader.volumes`.

        The subject is the file's stem, of a NIfTI file its number alone, since its name tells age
        and sex. Folders Train, Val and Test give the split.
        """
        candidates = [source] if source.is_file() else source.rglob("*")
        found = [p for p in candidates if _is_wanted(p) and p.is_file()]
        if not found:
            raise DataError(
                f"{source}: found no Calgary-Campinas files (.npy, .h5 or CC0001_*.nii.gz)"
            )
        for path in sorted(found, key=natural):
            split = split_of(path, source)
            image = IMAGE.fullmatch(path.name)
            if image:
                yield from nifti_volumes(path, image[1], image[1], split, orientation="axial")
            else:
                yield self._raw_volume(path, split)

    def _raw_volume(self, path: Path, split: str | None) -> SourceVolume:
        single = path.suffix.lower() == ".npy"
        try:
            if single:
                _map(path)
            else:
                with open_hdf5(path) as file:
                    _channels(file)
        except UNREADABLE as error:
            unusable = unreadable(path, error)
            return replace(unusable, name=path.stem, subject=path.stem, split=split)
        slices = partial(self._single_channel if single else self._multi_channel, path)
        return SourceVolume(path.stem, path.stem, (path,), slices, split=split)

    def _multi_channel(self, path: Path) -> Iterator[SourceSlice]:
        with blaming(path), open_hdf5(path) as file:
            for index, coils in enumerate(_uncentred(_channels(file))):
                found = measured(coils, centred=False)
                note = judge(found, index, self.undersampled)
                image = root_sum_of_squares(np.fft.ifft2(coils, norm="ortho"))
                yield SourceSlice(
                    image,
                    kspace_coils=coils if self.keep_coils or self.undersampled else None,
                    mask=corner_mask(found) if self.undersampled else None,
                    note=note,
                )

    def _single_channel(self, path: Path) -> Iterator[SourceSlice]:
        with blaming(path):
            for index, kspace in enumerate(_uncentred(_map(path))):
                found = measured(kspace, centred=False)
                image = np.fft.ifft2(kspace[0], norm="ortho").astype(np.complex64)
                if self.undersampled:
                    yield SourceSlice(image, mask=corner_mask(found))
                else:
                    yield SourceSlice(image, note=check_target(found, index))


def _uncentred(stored: np.ndarray | h5py.Dataset) -> Iterator[np.ndarray]:
    """Yield slice after slice of k-space as this project keeps it.

    Args:
        stored: float (S, H, W, 2 * coils), real and imaginary parts in turn.

    Yields:
        complex64 (coils, H, W), orthonormal, zero frequency at index (0, 0).
    """
    count = stored.shape[0]
    strength = np.zeros(stored.shape[1:3])
    for index in sorted(range(count), key=lambda index: abs(index - count // 2)):
        strength = np.abs(_complex(stored[index])).sum(axis=0)
        if strength.any():  # slices at the edges may be empty
            break
    peak = np.unravel_index(strength.argmax(), strength.shape)
    centred = [
        axis - 2
        for axis, (place, size) in enumerate(zip(peak, strength.shape, strict=True))
        if abs(place - size // 2) < size / 4
    ]
    for index in range(stored.shape[0]):
        yield np.fft.ifftshift(_complex(stored[index]), centred)


def _complex(values: np.ndarray) -> np.ndarray:
    """Make complex64 (coils, H, W), orthonormal, of unnormalised parts (H, W, 2 * coils)."""
    kspace = np.empty((values.shape[2] // 2, *values.shape[:2]), np.complex64)
    kspace.real = np.moveaxis(values[..., 0::2], -1, 0)
    kspace.imag = np.moveaxis(values[..., 1::2], -1, 0)
    kspace /= np.sqrt(kspace[0].size)
    return kspace


def _map(path: Path) -> np.ndarray:
    """Map a .npy file into memory; a pickled one is refused."""
    array = open_npy(path)
    _check(array, (2,), "(S, H, W, 2)")
    return array


def _channels(file: h5py.File) -> h5py.Dataset:
    """Return the k-space of an open file of several channels."""
    dataset = file.get("kspace")
    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(f"key kspace is missing (found: {', '.join(file) or 'none'})")
    _check(dataset, range(2, 1025, 2), "(S, H, W, 2 * channels)")
    return dataset


def _check(values: np.ndarray | h5py.Dataset, last: Container[int], wanted: str) -> None:
    shape, dtype = values.shape, values.dtype
    if shape is None or len(shape) != 4 or shape[3] not in last or 0 in shape or dtype.kind != "f":
        raise ValueError(f"is {dtype} of shape {shape}; it must be float, {wanted}")


def _is_wanted(path: Path) -> bool:
    return path.suffix.lower() in (".npy", ".h5") or IMAGE.fullmatch(path.name) is not None

"""The project's own h5 layout as a source, undersampled copies of the original project included."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import h5py
import numpy as np

from kdmri.data.attributes import read_geometry
from kdmri.data.coils import (
    CoilVolume,
    holds_coils,
    inspect_coils,
    read_kspace,
    read_sensitivities,
)
from kdmri.data.companions import FOLDER
from kdmri.data.layout import (
    COMPLEX_TARGET,
    SUBJECT,
    TARGET,
    Volume,
    inspect,
    open_volume,
    read_slice,
    reading,
)
from kdmri.data.mask_convention import is_centred
from kdmri.data.readers.base import Reader, SourceSlice, SourceVolume, unreadable
from kdmri.data.readers.naming import find, name_of, split_of
from kdmri.errors import DataError

KSPACE = "kspace_volus_"
BLOCK_BYTES = 2**26
"""So much of a file is read at once: files of the original project are not chunked by slice."""


@dataclass(frozen=True)
class LayoutFiles(Reader):
    """Reads h5 files of the layout (`kdmri.data.layout`), whose volumes are in [0, 1] already.

    Images are `volfc` where it is there, else `volfs`. With `undersampled`, stored k-space
    (`kspace_volus_4x`) is given too; a file may then hold nothing else, in natural scale.

    Attributes:
        undersampled: give stored k-space, that of several coils included.
    """

    undersampled: bool = field(default=False, repr=False)
    subjects_by: ClassVar[str] = "the attribute `subject` of the files, else their numbers"

    def volumes(self, source: Path) -> Iterator[SourceVolume]:
        """Yield a volume for each file; see `Reader.volumes`.

        The subject is what `kdmri.prepare` wrote into the file, else what names of files and
        folders tell (`kdmri.data.readers.who`). A file called by a number alone is a subject of its
        own: data sets of the layout number their files anew in each split.
        """
        for path in _without_companions(find(source, (".h5",), "h5 files of the layout"), source):
            name, split = name_of(path, source), split_of(path, source)
            subject = name if path.stem.isdecimal() else ""
            try:
                with reading(path) as file:
                    subject = str(file.attrs.get(SUBJECT, subject))
                    geometry = read_geometry(file)
                volume, kspace_only = self._inspect(path)
            except DataError as error:
                broken = unreadable(path, str(error).removeprefix(f"{path}: "))
                yield replace(broken, name=name, subject=subject, split=split)
                continue
            slices = partial(_kspace_slices if kspace_only else _slices, volume)
            if isinstance(volume, CoilVolume):
                slices = partial(_coil_slices, volume)
            yield SourceVolume(
                name,
                subject,
                (path,),
                slices,
                geometry,
                split,
                readout=volume.readout if isinstance(volume, CoilVolume) else None,
                fastmri_crop=isinstance(volume, CoilVolume) and bool(volume.against),
                scaled=not kspace_only and getattr(volume, "unit", 1.0) == 1.0,
            )

    def holds_kspace(self, volume: SourceVolume) -> bool:
        """Tell whether a file has stored k-space."""
        if volume.broken:
            return False
        with reading(volume.files[0]) as file:
            return any(key.startswith(KSPACE) for key in file)

    def _inspect(self, path: Path) -> tuple[Volume, bool]:
        """Describe a file, and tell whether it holds nothing but k-space."""
        with reading(path) as file:
            found = sorted(key.removeprefix(KSPACE) for key in file if key.startswith(KSPACE))
            has_target, is_complex = TARGET in file, COMPLEX_TARGET in file
            has_coils = holds_coils(file)
        if self.undersampled and has_coils:
            return inspect_coils(path), False
        if self.undersampled and len(found) > 1:
            raise DataError(f"{path}: holds k-space of several accelerations: {', '.join(found)}")
        if not self.undersampled or not found:
            if not has_target and not is_complex and found:
                raise DataError(
                    f"{path}: holds undersampled k-space alone ({KSPACE}{found[0]}): no target can "
                    "be made of it"
                )
            if not has_target and not is_complex:
                raise DataError(
                    f"{path}: holds neither an image ({TARGET}) nor k-space ({KSPACE}4x)"
                )
            return inspect(path, channels=2 if is_complex else 1), False
        if has_target:
            return inspect(path, channels=1, acceleration=found[0]), False
        return _bare_kspace(path, f"{KSPACE}{found[0]}"), True


def _without_companions(paths: list[Path], source: Path) -> list[Path]:
    """Leave out what training keeps beside the splits, which is no volume of the data set."""
    kept = [path for path in paths if FOLDER not in path.relative_to(source).parts[:-1]]
    return kept or paths


def _bare_kspace(path: Path, key: str) -> Volume:
    with reading(path) as file:
        kspace = file[key]
        if not isinstance(kspace, h5py.Dataset) or kspace.dtype.kind != "c":
            raise DataError(f"{path}: {key} must be complex")
        if kspace.ndim not in (2, 3) or 0 in kspace.shape:
            raise DataError(f"{path}: {key} has shape {kspace.shape}; it must be (H, W, S)")
        shape = (*kspace.shape, 1) if kspace.ndim == 2 else kspace.shape
    return Volume(path, shape, key, key)


def _slices(volume: Volume) -> Iterator[SourceSlice]:
    """Yield images, and the stored k-space beside them where there is some."""
    keys = [key for key in (volume.target_key, volume.kspace_key) if key is not None]
    for values in _read(volume, keys):
        kspace = None
        if volume.kspace_key is not None:
            kspace = values[volume.kspace_key] * np.float32(volume.kspace_factor)
        yield SourceSlice(values[volume.target_key], kspace=kspace)


def _coil_slices(volume: CoilVolume) -> Iterator[SourceSlice]:
    """Yield images beside the k-space of several coils, as acquired, and stored sensitivities."""
    with open_volume(volume.kspace_path) as source, open_volume(volume.path) as file:
        for index in range(volume.shape[2]):
            stored = read_sensitivities(file, volume, index) if volume.has_sensitivities else None
            yield SourceSlice(
                read_slice(file, volume, TARGET, index) * np.float32(volume.unit),
                kspace_coils=read_kspace(source, volume, index),
                sensitivities=stored,
            )


def _kspace_slices(volume: Volume) -> Iterator[SourceSlice]:
    """Yield zero-filled images; what is measured is told from the samples that are not zero."""
    key = volume.target_key
    for values in _read(volume, [key]):
        if is_centred(values[key]):
            raise DataError(
                f"{volume.path}: {key} is strongest in the middle, but the zero frequency belongs "
                "at index (0, 0); it has to be shifted with numpy.fft.ifftshift"
            )
        image = np.fft.ifft2(values[key], norm="ortho").astype(np.complex64)
        mask = (values[key] != 0).astype(np.uint8)
        yield SourceSlice(image, kspace=values[key], mask=mask)


def _read(volume: Volume, keys: list[str]) -> Iterator[dict[str, np.ndarray]]:
    """Read slice after slice, (H, W) by key; files that are not chunked are read in blocks."""
    height, width, count = volume.shape
    with reading(volume.path) as file:
        chunked = all(file[key].chunks is not None for key in keys)
        largest = 16  # bytes of a number, complex128
        block = 1 if chunked else max(1, BLOCK_BYTES // (largest * height * width))
        for first in range(0, count, block):
            values = {key: _read_block(file, volume, key, first, block) for key in keys}
            for index in range(min(block, count - first)):
                yield {key: values[key][..., index] for key in keys}


def _read_block(file: h5py.File, volume: Volume, key: str, first: int, count: int) -> np.ndarray:
    """Read up to `count` slices (H, W, n) as float32 or complex64."""
    try:
        stored = file[key]
        values = stored[...][..., None] if stored.ndim == 2 else stored[:, :, first : first + count]
    except OSError as error:
        raise DataError(f"{volume.path}: {key}: unreadable ({error})") from error
    return values.astype(np.complex64 if np.iscomplexobj(values) else np.float32)

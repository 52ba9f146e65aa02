"""CMRxRecon: cardiac k-space of one coil or several, MATLAB files of version 7.3."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, NamedTuple

import h5py
import numpy as np

from kdmri.data.hdf5 import open_hdf5
from kdmri.data.readers.base import Reader, SourceSlice, SourceVolume, unreadable
from kdmri.data.readers.coil_slices import Wanted, coil_slice
from kdmri.data.readers.naming import UNREADABLE, blaming, find, name_of
from kdmri.data.readers.options import check_flags
from kdmri.errors import DataError

KEY = re.compile(r"kspace(?:_single)?(?:_full|_sub\d+)?|kus")
"""`kspace_full` and `kspace_sub04` of 2023, `kus` of 2024, `kspace` of 2025."""

SETS = {"trainingset": "train", "validationset": "validation", "testset": "test"}
PERSON = re.compile(r"P\d+")
SAMPLED = re.compile(r"(?:full|under)sample.*|accfactor\d+.*", re.IGNORECASE)
"""Folders that tell how a scan was sampled, not of whom it is."""


class _Found(NamedTuple):
    """What a file holds.

    Attributes:
        key: of its k-space.
        frames: number of them (cardiac phases or weightings); None where it has no such axis.
    """

    key: str
    frames: int | None


@dataclass(frozen=True)
class CMRxRecon(Reader):
    """Reads the CMRxRecon challenges' files (Wang et al. 2024, doi:10.1038/s41597-024-03525-4).

    In MATLAB's order k-space is (kx, ky, coils, slices, frames), `real` and `imag` of a compound,
    the zero frequency in the middle; h5py turns the order of axes, so that the last two of a slice
    are swapped here: rows are the readout kx, columns the phase encoding ky. Each frame is a
    volume. What was not measured is zero: masks are told from the samples, and 24 (2023) or so
    lines around the middle are always measured.

    Attributes:
        keep_coils: give the k-space of several coils too.
        undersampled: give it of undersampled files (`kspace_sub04`, `kus`), too, with its mask.
    """

    keep_coils: bool
    undersampled: bool = field(default=False, repr=False)
    raw: ClassVar[bool] = True
    subjects_by: ClassVar[str] = "the folder such as P001, with its set, centre and scanner"

    def __post_init__(self) -> None:
        check_flags(self, "keep_coils")

    def volumes(self, source: Path) -> Iterator[SourceVolume]:
        """Yield a volume for each frame of each file with k-space; see `Reader.volumes`.

        Each set numbers its people from P001. Folders such as TrainingSet give the split. Files
        without k-space, such as `cine_sax_mask.mat`, are left out.
        """
        paths = find(source, (".mat",), "CMRxRecon files (.mat)")
        found = [(path, _inspect(path)) for path in paths]
        if not any(inside is not None for _, inside in found):
            raise DataError(f"{source}: found no CMRxRecon files (.mat with kspace_full or such)")
        for path, inside in found:
            if inside is None:
                continue
            name, subject, split = name_of(path, source), _subject(path, source), _split(path)
            if not isinstance(inside, _Found):
                broken = unreadable(path, inside)
                yield replace(broken, name=name, subject=subject, split=split)
                continue
            for frame in range(inside.frames or 1):
                several = inside.frames is not None and inside.frames > 1
                yield SourceVolume(
                    name=f"{name}_frame{frame}" if several else name,
                    subject=subject,
                    files=(path,),
                    slices=partial(self._slices, path, inside, frame),
                    split=split,
                    readout=0,
                )

    def _slices(self, path: Path, inside: _Found, frame: int) -> Iterator[SourceSlice]:
        wanted = Wanted(self.keep_coils, self.undersampled)
        with blaming(path), open_hdf5(path) as file:
            stored = file[inside.key]
            count = stored.shape[0] if inside.frames is None else stored.shape[1]
            for number in range(count):
                place = (number,) if inside.frames is None else (frame, number)
                values = stored[place]
                kspace = np.empty(values.shape, np.complex64)
                kspace.real, kspace.imag = values["real"], values["imag"]
                coils = kspace.reshape(-1, *kspace.shape[-2:])
                yield coil_slice(np.ascontiguousarray(coils.swapaxes(1, 2)), number, wanted)


def is_cmrxrecon(path: Path) -> bool:
    """Tell whether a MATLAB file is one of these; what cannot be read is none."""
    return isinstance(_inspect(path), _Found)


def _inspect(path: Path) -> _Found | str | None:
    """Look at the shape of a file's k-space.

    Returns:
        What was found; a text where it is damaged; None where it has no k-space.
    """
    if not h5py.is_hdf5(path):
        return None if "mask" in path.stem.lower() else "is no MATLAB file of version 7.3 (HDF5)"
    try:
        with open_hdf5(path) as file:
            keys = [key for key in file if KEY.fullmatch(key)]
            if not keys:
                return None
            if len(keys) > 1:
                return f"holds k-space of several kinds: {', '.join(sorted(keys))}; keep one"
            return _checked(file[keys[0]], keys[0])
    except UNREADABLE as error:
        return str(error)


def _checked(stored: h5py.Dataset | h5py.Group, key: str) -> _Found:
    single = "single" in key
    if not isinstance(stored, h5py.Dataset) or stored.dtype.names != ("real", "imag"):
        raise ValueError(f"{key} must be complex (real and imag), as MATLAB writes it")
    axes = 4 if single else 5
    if stored.ndim not in (axes, axes - 1) or 0 in stored.shape:
        order = "(kx, ky, slices, frames)" if single else "(kx, ky, coils, slices, frames)"
        raise ValueError(
            f"{key} has MATLAB's shape {stored.shape[::-1]}; it must be {order}, the last optional"
        )
    return _Found(key, stored.shape[0] if stored.ndim == axes else None)


def _split(path: Path) -> str | None:
    for folder in reversed(path.resolve().parts[:-1]):
        if folder.lower() in SETS:
            return SETS[folder.lower()]
    return None


def _subject(path: Path, source: Path) -> str:
    """Name who was scanned by folders, from the set on; empty where there is no folder P001."""
    folders = path.resolve().parts[:-1]
    people = [n for n, folder in enumerate(folders) if PERSON.fullmatch(folder)]
    if not people:
        return ""
    sets = [n for n, folder in enumerate(folders) if folder.lower() in SETS]
    root = source if source.is_dir() else source.parent
    first = sets[-1] if sets else min(len(root.resolve().parts), people[-1])
    chosen = folders[first : people[-1] + 1]
    return "/".join(folder for folder in chosen if not SAMPLED.fullmatch(folder))

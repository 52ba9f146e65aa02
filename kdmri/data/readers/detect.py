"""Which format a file or folder has, told from names and contents."""

from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import h5py

from kdmri.data.hdf5 import DAMAGED
from kdmri.data.readers.base import Reader, SourceVolume
from kdmri.data.readers.cmrxrecon import is_cmrxrecon
from kdmri.data.readers.layout_files import KSPACE
from kdmri.data.readers.naming import natural
from kdmri.data.readers.nifti import ENDINGS
from kdmri.data.readers.slices import check_names
from kdmri.data.readers.twix import is_twix
from kdmri.data.readers.who import describe, images
from kdmri.errors import DataError

BY_ENDING = {
    ".npy": "numpy",
    ".mrd": "ismrmrd",
    ".mat": "knee",
    ".dcm": "dicom",
    ".ima": "dicom",
    ".cfl": "cfl",
}
LOOKED_AT = 100
"""So many files of a folder are looked at before its format counts as unknown."""


def detect(source: Path) -> str:
    """Name the format (a choice of `format`) of a file, or of the first file of a folder.

    Raises:
        DataError: there is no such file, or none of a known format.
    """
    if not source.exists():
        raise DataError(f"input={source}: there is no such file or directory")
    found = [source]
    if source.is_dir():
        found = sorted((path for path in source.rglob("*") if path.is_file()), key=natural)
    for path in found[:LOOKED_AT]:
        kind = _kind(path)
        if kind is not None:
            return kind
    raise DataError(
        f"input={source}: of no format that is known; name one, such as format=dicom, or "
        "bring it to h5 files with kdmri.prepare"
    )


def _kind(path: Path) -> str | None:
    name = path.name.lower()
    if name.endswith(ENDINGS):
        return "nifti"
    if name.endswith((".h5", ".hdf5")):
        return _kind_of_h5(path)
    if path.suffix.lower() == ".mat" and is_cmrxrecon(path):
        return "cmrxrecon"
    if path.suffix.lower() == ".dat" and is_twix(path):
        return "siemens"
    if path.suffix.lower() in BY_ENDING:
        return BY_ENDING[path.suffix.lower()]
    with path.open("rb") as file:
        file.seek(128)  # the preamble, PS3.10 7.1
        return "dicom" if file.read(4) == b"DICM" else None


def _kind_of_h5(path: Path) -> str:
    try:
        with h5py.File(path, "r") as file:
            if "kspace" in file and isinstance(file["kspace"], h5py.Dataset):
                return "fastmri" if file["kspace"].dtype.kind == "c" else "calgary"
            if "dataset/xml" in file and not any(key.startswith(KSPACE) for key in file):
                return "ismrmrd"
    except (OSError, *DAMAGED) as error:
        raise DataError(f"{path}: truncated or not an HDF5 file ({error})") from error
    return "layout"


def as_measured(reader: Reader) -> Reader:
    """Let a reader give undersampled k-space as it is, where it can."""
    if is_dataclass(reader) and any(field.name == "undersampled" for field in fields(reader)):
        return replace(reader, undersampled=True)
    return reader


def find_volumes(reader: Reader, source: Path) -> list[SourceVolume]:
    """List the volumes of a file or folder; a note of the first names what is no image.

    Raises:
        DataError: there are none, or two of them have one name.
    """
    volumes, left_out = images(as_measured(reader), source)
    check_names(volumes)
    if left_out:
        note = f"left out by their names: {describe(left_out, source)}"
        volumes[0] = replace(volumes[0], notes=(note, *volumes[0].notes))
    return volumes

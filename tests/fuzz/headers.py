"""Damage to what stands before the values: NIfTI, .npy, MATLAB 5, DICOM, checkpoints."""

import gzip
import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nibabel import nifti1, nifti2
from pydicom import Dataset, dcmread
from pydicom.dataelem import DataElement
from pydicom.uid import AllTransferSyntaxes
from scipy.io import loadmat, savemat

from tests.fuzz import odd
from tests.fuzz.odd import pick

NIFTI = {348: nifti1.header_dtype, 540: nifti2.header_dtype}
SIZES = ("Rows", "Columns", "NumberOfFrames", "BitsAllocated", "BitsStored", "SamplesPerPixel")
NUMBERS = ("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope")
TEXTS = ("PhotometricInterpretation", "ImageType", "SeriesNumber", "PixelRepresentation")


def nifti(path: Path, rng: np.random.Generator) -> None:
    """Set fields of the header, or change the values."""
    data = bytearray(path.read_bytes())
    packed = data[:2] == b"\x1f\x8b"
    data = bytearray(gzip.decompress(data)) if packed else data
    size = struct.unpack_from("<i", data)[0]
    kind = NIFTI[size]
    header = np.frombuffer(data, kind, 1)
    for _ in range(int(pick(rng, (1, 1, 2, 4)))):
        name = pick(rng, kind.names)
        if rng.random() < 0.4:
            name = pick(rng, ("dim", "pixdim", "datatype", "vox_offset", "scl_slope", "srow_x"))
        with np.errstate(all="ignore"):
            _set(header[name].reshape(-1), rng)
    if rng.random() < 0.3:
        values = np.frombuffer(data, "<u2", offset=(size + 4) // 2 * 2)
        values[rng.integers(len(values), size=3)] = pick(rng, (0x7F80, 0xFF80, 0x7FC0, 0x8000))
    path.write_bytes(gzip.compress(data, 1, mtime=0) if packed else data)


def _set(values: np.ndarray, rng: np.random.Generator) -> None:
    place = int(rng.integers(len(values)))
    if values.dtype.kind == "S":
        values[place] = pick(rng, odd.TEXTS).encode()
    elif values.dtype.kind == "f":
        values[place] = pick(rng, odd.FLOATS)
    else:
        limits = np.iinfo(values.dtype)
        found = int(pick(rng, (*odd.INTEGERS, *odd.LARGE)))
        values[place] = min(max(found, int(limits.min)), int(limits.max))


def npy(path: Path, rng: np.random.Generator) -> None:
    """Rewrite an array as another, or its header with another shape, type or order."""
    array = np.load(path)
    if rng.random() < 0.5:
        found = odd.array(rng, array)
        np.save(path, found)
        return
    header: dict[str, Any] = {
        "descr": array.dtype.str,
        "fortran_order": False,
        "shape": array.shape,
    }
    key = pick(rng, tuple(header))
    header[key] = {
        "descr": pick(rng, (*odd.TYPES, "O", "|V0", "", 3, [("a", "f4"), ("b", "c8")], "S0")),
        "fortran_order": pick(rng, (True, 2, None, "x")),
        "shape": pick(
            rng,
            (
                *((), (0,), (-1, 2), (2**40, 2**20), (1.5, 2), "x", (2**70, 1), (10**6,)),
                *((1, *array.shape), array.shape[1:], (10**5, *array.shape[1:]), (7, 7, 0)),
            ),
        ),
    }[key]
    text = repr(header).encode().ljust(117) + b"\n"
    head = b"\x93NUMPY" + bytes([1, 0]) + struct.pack("<H", len(text))
    path.write_bytes(head + text + array.tobytes())


def matlab(path: Path, rng: np.random.Generator) -> None:
    """Write another value under a variable's name, or no value."""
    variables = {k: v for k, v in loadmat(path).items() if not k.startswith("__")}
    key = pick(rng, sorted(variables))
    if rng.random() < 0.2:
        del variables[key]
    elif rng.random() < 0.5:
        variables[key] = odd.array(rng, variables[key])
    else:
        cell = np.array([np.arange(3), "x"], object)
        variables[key] = pick(rng, ({"a": 1}, "text", cell, np.zeros((0, 3)), 1.5, [[True]]))
    savemat(path, variables, do_compression=bool(rng.random() < 0.5))
    data = path.read_bytes()
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(116) + data[116:])


def dicom(path: Path, rng: np.random.Generator) -> None:
    """Delete tags, or replace their values."""
    made = dcmread(path)
    for _ in range(int(pick(rng, (1, 1, 2, 3)))):
        _spoil(made, rng)
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=False)
    path.write_bytes(buffer.getvalue())


def _spoil(made: Dataset, rng: np.random.Generator) -> None:
    where = made
    while rng.random() < 0.6:  # into sequences
        inner = [item for element in where if element.VR == "SQ" for item in element.value]
        if not inner:
            break
        where = pick(rng, inner)
    way = rng.random()
    if way < 0.1:
        made.file_meta.TransferSyntaxUID = pick(rng, AllTransferSyntaxes)
    elif way < 0.4:
        keyword = pick(rng, (*SIZES, *SIZES, *NUMBERS, *TEXTS))
        numbers = (0, 1, 2, 7, 8, 12, 16, 17, 32, 64, 255, 2000, 65535)
        odds = (1, 3), ("nan", "1"), ("inf",) * 3, ("1e300",) * 6, ("0",) * 6, "", "x", ("1", "0")
        setattr(where, keyword, pick(rng, numbers if keyword in SIZES else odds))
    else:
        tags = sorted(where.keys())
        if not tags:
            return
        tag = pick(rng, tags)
        element = where[tag]
        if way < 0.6:
            del where[tag]
        elif element.VR == "SQ":
            element.value = pick(rng, ([], [Dataset()], [*element.value, *element.value]))
        elif isinstance(element.value, bytes):
            element.value = pick(rng, (b"", b"\x00", element.value[:-2], element.value * 2))
        elif way < 0.9:
            element.value = pick(rng, (odd.number(rng), pick(rng, odd.TEXTS), None, ["1", "2"]))
        else:
            vr = pick(rng, ("UN", "LO", "OB", "DS", "US", "SQ", "AT", "FD"))
            where[tag] = DataElement(tag, vr, [] if vr == "SQ" else b"\x01\x00" * 4)


def checkpoint(path: Path, rng: np.random.Generator) -> None:
    """Replace, delete or add what a checkpoint holds, at any depth."""
    stored = torch.load(path, weights_only=True)
    for _ in range(int(pick(rng, (1, 1, 2)))):
        where = stored
        while True:
            key = pick(rng, sorted(where, key=str))
            if not isinstance(where[key], dict) or not where[key] or rng.random() < 0.15:
                break
            where = where[key]
        old, way = where[key], rng.random()
        if way < 0.2:
            del where[key]
        elif way < 0.3:
            where[str(odd.value(rng))] = old
        elif isinstance(old, torch.Tensor) and way < 0.9:
            array = odd.array(rng, old.numpy())
            where[key] = torch.from_numpy(array) if array.dtype.kind in "fiu?c" else old[:0]
        else:
            where[key] = _plain(odd.value(rng))
    torch.save(stored, path)


def _plain(value: Any) -> Any:
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


BY_ENDING: dict[str, Callable[[Path, np.random.Generator], None]] = {
    ".nii": nifti,
    ".gz": nifti,
    ".npy": npy,
    ".mat": matlab,
    ".dcm": dicom,
    "": dicom,
    ".pt": checkpoint,
}

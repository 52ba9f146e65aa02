"""Headers of DICOM files: whether they are of MR images, and how their attributes are read."""

import logging
import math
import os
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from pydicom import Dataset, dcmread
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.misc import is_dicom
from pydicom.uid import (
    UID,
    EnhancedMRImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    MediaStorageDirectoryStorage,
    MRImageStorage,
)

from kdmri.data.readers.naming import UNREADABLE

PYDICOM = (BytesLengthException, InvalidDicomError, struct.error, zlib.error)
"""What pydicom and its decoders raise for files that are damaged or that they do not know."""

DAMAGED = (*UNREADABLE, *PYDICOM, ArithmeticError, AttributeError, TypeError, RuntimeError)

MR_CLASSES = {
    MRImageStorage,
    EnhancedMRImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
}


@contextmanager
def quiet() -> Iterator[None]:
    """Silence pydicom: what it warns of quotes header values, which may tell who was scanned."""
    log = logging.getLogger("pydicom")
    before, log.disabled = log.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\.")
            yield
    finally:
        log.disabled = before


class _Within:
    """A file that is read to its end and no further.

    Python takes memory for as many bytes as are asked for before it reads, and a damaged element
    of a small file may ask for 4 GiB.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.seek, self.tell = file.seek, file.tell
        self._file, self._size = file, os.fstat(file.fileno()).st_size

    def read(self, count: int | None = None) -> bytes:
        left = max(self._size - self._file.tell(), 0)
        return self._file.read(left if count is None or count < 0 else min(count, left))


def read_before_pixels(path: Path) -> Dataset:
    """Read what stands before the pixel data; raises what pydicom does."""
    with path.open("rb") as file:
        return dcmread(_Within(file), stop_before_pixels=True)


def read_header(path: Path) -> Dataset | None:
    """Read what stands before the pixel data; None where the file is no DICOM file, or an index."""
    if not is_dicom(path):
        return None
    header = read_before_pixels(path)
    return None if _class_of(header) == MediaStorageDirectoryStorage else header


def other_kind(header: Dataset) -> str:
    """Name what a file holds in the place of MR images in grey; empty where it holds these.

    Images of private classes, and of files that tell no class, count by their Modality.
    """
    uid = _class_of(header)
    known = uid.name if uid.name != uid else "a private SOP class"
    burned = str(header.get("BurnedInAnnotation") or "").strip().upper() == "YES"
    private = uid not in MR_CLASSES and (not uid or uid.is_private)
    known = known if uid else "no SOP class"
    if uid not in MR_CLASSES and not (private and header.get("Modality") == "MR"):
        modality = f", Modality {header.get('Modality') or 'not told'}" if private else ""
        return f"{known}{modality}{' with burned-in annotation' if burned else ''}"
    if burned:
        return f"{known} with burned-in annotation"
    colour = str(header.get("PhotometricInterpretation") or "MONOCHROME2")
    return "" if "MONOCHROME" in colour else f"{known} in colour"


def check_kind(header: Dataset) -> None:
    """Refuse MR images that cannot be read for what they are.

    Raises:
        ValueError: the file is cut off, or holds several slices as tiles of one picture.
    """
    sizes = header.get("Rows"), header.get("Columns")
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        raise ValueError("an image without Rows and Columns; is the file cut off?")
    kinds = set(several([header], "ImageType"))
    tiles = private(header, 0x0019, "SIEMENS MR HEADER", 0x0A)
    if "MOSAIC" in kinds or _is_several(tiles):
        raise ValueError("a mosaic of slices, which is not read; convert it to NIfTI (dcm2niix)")
    maker = str(header.get("Manufacturer") or "").upper()
    tiles = header[0x0065, 0x1050].value if (0x0065, 0x1050) in header else None
    united = "UIH" in maker or "UNITED IMAGING" in maker
    if "VFRAME" in kinds or (united and _is_several(tiles)):
        raise ValueError(
            "slices as tiles of one picture (VFRAME), which is not read; convert it to NIfTI "
            "(dcm2niix)"
        )


def several(scopes: Sequence[Any], keyword: str) -> tuple[Any, ...]:
    """Return the values of an attribute in the first of the scopes that tells any.

    Args:
        scopes: what has `get(keyword)`, the innermost first.
        keyword: of the attribute.
    """
    for value in (scope.get(keyword) for scope in scopes):
        if value not in (None, ""):
            many = isinstance(value, Sequence) and not isinstance(value, str)
            return tuple(value) if many else (value,)
    return ()


def private(header: Dataset, group: int, creator: str, element: int) -> Any:
    """Return the value of a private element; None where there is no such one.

    Args:
        header: that may hold it.
        group: such as 0x0019.
        creator: name of the block's owner.
        element: number in the block.
    """
    try:
        return header.private_block(group, creator)[element].value
    except KeyError:
        return None


def is_number(value: Any) -> bool:
    """Whether a value is a number or the text of one, and finite."""
    try:
        return value is not None and math.isfinite(float(value))
    except (TypeError, ValueError):
        return False


def _class_of(header: Dataset) -> UID:
    return UID(header.file_meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID") or "")


def _is_several(value: Any) -> bool:
    return is_number(value) and float(value) > 1

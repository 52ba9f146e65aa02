"""Heaps of HDF5 files, which hold texts and arrays of variable length: damage that hangs HDF5."""

import mmap
from pathlib import Path

import h5py
import numpy as np

HEAP = b"GCOL\x01\x00\x00\x00"
"""Signature, version and reserved bytes of a global heap collection (HDF5 file format, III.E)."""

SMALLEST = 4096
"""Bytes of a collection at least, by the specification."""

SKIPPED = 2**16
"""Stored arrays and chunks from so many bytes on are not searched."""


def check_heaps(file: h5py.File, arrays: list[h5py.Dataset]) -> None:
    """See that HDF5 comes to the end of each heap of a file.

    It goes from object to object by their sizes, and may go on forever where one has no size or
    more than is there (HDF5 2.0.0); neither a time limit nor Ctrl+C reaches it.

    Args:
        file: open for reading.
        arrays: all of its arrays; the bytes of large ones are not searched.

    Raises:
        ValueError: a heap has no end.
    """
    length = file.id.get_create_plist().get_sizes()[1]
    with (
        Path(file.filename).open("rb") as raw,
        mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as held,
    ):
        first = 0
        for begin, end in [*_stored(arrays), (len(held), len(held))]:
            while (place := held.find(HEAP, first, begin)) >= 0:
                first = _end(held, place, length)
            first = max(first, end)


def check_lengths(array: h5py.Dataset) -> None:
    """See that no element of variable length is longer than its file, for HDF5 takes memory for it.

    Arrays that are filtered, as no such array is by `ismrmrd`, are not looked at.

    Raises:
        ValueError: one is.
    """
    kind = array.id.get_type()
    variable, size = _variable(kind), kind.get_size()
    elsewhere = array.file.userblock_size or array.id.get_create_plist().get_nfilters()
    if not variable or elsewhere:
        return
    pieces = _pieces(array)
    if not pieces:
        return
    held = np.memmap(array.file.filename, np.uint8, "r")
    first = np.concatenate([np.arange(p, p + n - size + 1, size) for p, n in pieces])
    for offset, unit in variable:
        places = first[first + offset + 4 <= len(held)] + offset
        counts = held[places[:, None] + np.arange(4)].view("<u4").astype(np.int64)
        if (counts * unit > len(held)).any():
            name = (array.name or "").lstrip("/")
            raise ValueError(
                f"{name} is damaged: it declares more text or data than the file holds"
            )


def _variable(kind: h5py.h5t.TypeID) -> list[tuple[int, int]]:
    """Return where in an element parts of variable length are, and the bytes of one of theirs."""
    if isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str():
        return [(0, 1)]
    if isinstance(kind, h5py.h5t.TypeVlenID):
        return [(0, kind.get_super().get_size())]
    if not isinstance(kind, h5py.h5t.TypeCompoundID):
        return []
    return [
        (kind.get_member_offset(number) + offset, unit)
        for number in range(kind.get_nmembers())
        for offset, unit in _variable(kind.get_member_type(number))
    ]


def _stored(arrays: list[h5py.Dataset]) -> list[tuple[int, int]]:
    """Return where the bytes of large arrays and chunks begin and end, in order."""
    found = (piece for array in arrays for piece in _pieces(array))
    return sorted((place, place + size) for place, size in found if size >= SKIPPED)


def _pieces(array: h5py.Dataset) -> list[tuple[int, int]]:
    """Return where the bytes of an array lie in its file, and how many they are, by chunk."""
    found: list[tuple[int, int]] = []
    if array.chunks is not None:
        array.id.chunk_iter(lambda chunk: found.append((chunk.byte_offset, chunk.size)))
    elif (place := array.id.get_offset()) is not None:
        found.append((place, array.id.get_storage_size()))
    return found


def _end(held: mmap.mmap, place: int, length: int) -> int:
    """Return where a collection ends; raises ValueError where its objects do not."""
    size = int.from_bytes(held[place + 8 : place + 8 + length], "little")
    end = place + size
    if size < SMALLEST or end > len(held):
        return place + len(HEAP)  # chance, or damage that HDF5 finds
    head = 8 + length + -length % 8
    here = place + head
    while here + head <= end:
        number = int.from_bytes(held[here : here + 2], "little")
        taken = int.from_bytes(held[here + 8 : here + 8 + length], "little")
        step = taken if number == 0 else head + taken + -taken % 8
        if step == 0 or here + step > end:
            raise ValueError(f"damaged: its heap at byte {place} has no end")
        here += step
    return end

"""MATLAB files of versions 5 to 7: what they are made of is checked before scipy reads them."""

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

HEADER = 128
MATRIX, COMPRESSED = 14, 15
INT8, UINT8, INT32, UINT32, UTF8 = 1, 2, 5, 6, 16
BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}
"""Size of a number by the data type of its element (MathWorks, "MAT-File Format", table 1-1)."""

NUMERIC = range(6, 16)
"""Classes of arrays of numbers, double to uint64 (table 1-3)."""

OBJECT = 17
COMPLEX = 0x0800


def check_matlab5(path: Path, key: str) -> None:
    """Check that a variable is an array of numbers whose parts are all there.

    scipy takes types and sizes as a damaged file tells them, at addresses outside its memory, too.

    Args:
        path: the file; one of version 4 is not looked at, which scipy reads by NumPy alone.
        key: name of the variable; the headers of those before it are checked as well.

    Raises:
        ValueError: it is missing, of another kind, or the file is damaged.
        zlib.error: a compressed variable is damaged.
    """
    data = path.read_bytes()
    if 0 in data[:4]:
        return
    order = {b"IM": "<", b"MI": ">"}.get(data[126:HEADER])
    if order is None:
        raise ValueError("is no MATLAB file, or cut off")
    for kind, content in _elements(data[HEADER:], order):
        if kind == COMPRESSED:
            for inner, unpacked in _elements(zlib.decompress(content), order):
                kind, content = inner, unpacked
                break
        if kind != MATRIX:
            raise ValueError(f"holds an element of type {kind} between its variables")
        if _is_checked(content, order, key):
            return
    raise ValueError(f"variable {key} is missing")


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Part bytes into elements, type and content; raises ValueError where one is cut off."""
    place = 0
    while place + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}II", data, place)
        first, step = place + 8, 8
        if kind >> 16:  # a small element: its size, its type, and up to four bytes
            kind, size, first, step = kind & 0xFFFF, kind >> 16, place + 4, 4
        if first + size > len(data) or (step == 4 and size > 4):
            raise ValueError("is damaged, or cut off within a variable")
        yield kind, data[first : first + size]
        place = first + (size if kind == COMPRESSED else -(-size // step) * step)


def _is_checked(content: bytes, order: str, key: str) -> bool:
    """Check a variable; returns whether it is the wanted one."""
    parts = _elements(content, order)
    kind, flags = next(parts, (0, b""))
    if kind != UINT32 or len(flags) != 8:
        raise ValueError("is damaged: a variable without array flags")
    (description,) = struct.unpack_from(f"{order}I", flags)
    if description & 0xFF == OBJECT:
        return False
    kind, sizes = next(parts, (0, b""))
    if kind != INT32 or len(sizes) < 8 or len(sizes) % 4:
        raise ValueError("is damaged: a variable without dimensions")
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    kind, name = next(parts, (0, b""))
    if kind not in (INT8, UINT8, UTF8) or min(shape) < 0:
        raise ValueError("is damaged: a variable without a name, or with dimensions below zero")
    if name.decode("latin-1") != key:
        return False
    if description & 0xFF not in NUMERIC:
        raise ValueError(f"variable {key} is no array of numbers")
    for _ in range(2 if description & COMPLEX else 1):
        kind, values = next(parts, (0, b""))
        if len(values) != math.prod(shape) * BYTES.get(kind, -1):
            raise ValueError(f"is damaged: variable {key} of shape {shape} does not hold all of it")
    return True

"""Damage that knows nothing of a format: bytes, blocks, lengths, endings."""

import gzip
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

HEAD = 512
"""Half of the damage goes into so many bytes at the beginning, where headers are."""

PATTERNS = (
    *(struct.pack("<I", n) for n in (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)),
    *(struct.pack("<H", n) for n in (0, 1, 2, 0x7FFF, 0x8000, 0xFFFF)),
    *(struct.pack("<Q", n) for n in (0, 2**40, 2**63 - 1, 2**64 - 1)),
    *(struct.pack("<f", n) for n in (0.0, -1.0, 1e30, np.nan, np.inf)),
    *(struct.pack("<d", n) for n in (0.0, 1e300, np.nan, -np.inf)),
)
ENDINGS = (".nii", ".nii.gz", ".h5", ".mrd", ".npy", ".mat", ".dcm", ".hdf5", ".txt", "")


def _place(rng: np.random.Generator, size: int) -> int:
    return int(rng.integers(max(1, min(size, HEAD) if rng.random() < 0.5 else size)))


def _bytes(data: bytearray, rng: np.random.Generator) -> None:
    for _ in range(int(rng.choice([1, 2, 4, 16, 64]))):
        data[_place(rng, len(data))] = int(rng.integers(256))


def _bits(data: bytearray, rng: np.random.Generator) -> None:
    for _ in range(int(rng.choice([1, 2, 4]))):
        data[_place(rng, len(data))] ^= 1 << int(rng.integers(8))


def _pattern(data: bytearray, rng: np.random.Generator) -> None:
    pattern = PATTERNS[int(rng.integers(len(PATTERNS)))]
    place = _place(rng, len(data)) // len(pattern) * len(pattern)
    data[place : place + len(pattern)] = pattern


def _cut(data: bytearray, rng: np.random.Generator) -> None:
    del data[int(rng.choice([0, 1, 4, 16, 348, len(data) - 1, _place(rng, len(data))])) :]


def _insert(data: bytearray, rng: np.random.Generator) -> None:
    size, place = int(rng.choice([1, 2, 8, 100, 5000])), _place(rng, len(data))
    block = (bytes(size), b"\xff" * size, rng.bytes(size))[int(rng.integers(3))]
    data[place:place] = block


def _remove(data: bytearray, rng: np.random.Generator) -> None:
    place = _place(rng, len(data))
    del data[place : place + int(rng.choice([1, 2, 8, 100, 5000]))]


def _repeat(data: bytearray, rng: np.random.Generator) -> None:
    first, place = _place(rng, len(data)), _place(rng, len(data))
    data[place:place] = data[first : first + int(rng.choice([4, 64, 2000]))]


def _fill(data: bytearray, rng: np.random.Generator) -> None:
    first = _place(rng, len(data))
    size = min(int(rng.choice([8, 64, 1000, 10**6])), len(data) - first)
    data[first : first + size] = bytes([int(rng.choice([0, 0x7F, 0xFF]))]) * size


WAYS: tuple[Callable[[bytearray, np.random.Generator], None], ...] = (
    *(_bytes, _bits, _pattern, _pattern, _cut, _insert, _remove, _repeat, _fill),
)


def damage(path: Path, rng: np.random.Generator) -> None:
    """Damage the bytes of a file, of a compressed one half of the time what is in it."""
    data = bytearray(path.read_bytes())
    inside = data[:2] == b"\x1f\x8b" and rng.random() < 0.5
    if inside:
        try:
            data = bytearray(gzip.decompress(data))
        except (OSError, EOFError, zlib.error):  # damaged before
            inside = False
    if data:
        WAYS[int(rng.integers(len(WAYS)))](data, rng)
    path.write_bytes(gzip.compress(data, 1, mtime=0) if inside else data)


def rename(path: Path, rng: np.random.Generator) -> None:
    """Return a file the ending of another format."""
    stem = path.name.removesuffix(".gz").rpartition(".")[0] or path.name
    path.rename(path.with_name(stem + ENDINGS[int(rng.integers(len(ENDINGS)))]))

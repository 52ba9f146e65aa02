"""HDF5 files that may come from others: they are read, and nothing but they is read."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from kdmri.data.hdf5_heaps import check_heaps, check_lengths
from kdmri.files import written_aside

LARGE = 2**26
"""Bytes of an array from which on it is compared with what the file stores of it."""

LARGEST_RATIO = 2000
"""No filter of HDF5 compresses more: deflate, the best of them, ends at 1032."""

DAMAGED = (RuntimeError, KeyError)
"""What h5py raises, beside OSError and ValueError, where the file's own structures are damaged."""


def open_hdf5(path: Path) -> h5py.File:
    """Open a file for reading that holds all that it shows.

    A link to another file, raw data elsewhere, or a virtual array would show bytes of any file that
    the reader may read as if they were the sender's; an array of terabytes that is stored nowhere
    would fill the memory.

    Raises:
        OSError: it is missing, truncated, damaged, or not HDF5.
        ValueError: it refers to other files, declares far more than it holds, or has a heap that
            HDF5 never comes to the end of.
    """
    file = h5py.File(path, "r")
    try:
        arrays = {name: file[name] for name in _arrays(file)}
        check_heaps(file, list(arrays.values()))
        for name, array in arrays.items():
            if array.external or array.is_virtual:
                raise ValueError(
                    f"{name} lies in other files, which are not read; copy them into it"
                )
            check_lengths(array)
            held = array.id.get_storage_size()
            if array.nbytes > max(LARGE, LARGEST_RATIO * held):
                raise ValueError(
                    f"{name} declares {array.nbytes / 2**30:.1f} GiB, of which {held} bytes are "
                    "there"
                )
    except DAMAGED as error:
        file.close()
        raise OSError(f"damaged: {error}") from error
    except BaseException:
        file.close()
        raise
    return file


class _Remembering(io.FileIO):
    """A file whose errors are told at the end.

    HDF5 keeps what is written in memory, finds no room for it when it closes an array, tells nobody
    of that, and ends the process (SIGSEGV) when it ends. So it must not see that a disk is full.

    Attributes:
        error: the first one.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+b")
        self.error: OSError | None = None

    def write(self, block: Any) -> int:
        """Write all of a block, or forget it."""
        rest = memoryview(block).cast("B")
        size = len(rest)
        try:
            while rest and self.error is None:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Change the size, or leave it."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
        return size or 0


@contextmanager
def hdf5_written_aside(path: Path) -> Iterator[h5py.File]:
    """Yield a new file that takes its place when the block ends well; see `written_aside`.

    Args:
        path: of the file; its directory is made.

    Raises:
        KdmriError: it cannot be written.
    """
    with written_aside(path) as aside, _Remembering(aside) as kept:
        try:
            with h5py.File(kept, "w") as file:
                yield file
        finally:
            if kept.error is not None:
                raise kept.error


def read_text(file: h5py.File, key: str) -> bytes | str:
    """Read a text from where a file keeps it, alone or in a list of one.

    Raises:
        ValueError: it is something else.
    """
    stored = file.get(key)
    if not isinstance(stored, h5py.Dataset) or stored.size != 1 or stored.dtype.kind not in "OS":
        raise ValueError(f"{key} is not a text")
    return stored[(0,) * stored.ndim]


def _arrays(group: h5py.Group, above: str = "", depth: int = 0) -> Iterator[str]:
    """Name all arrays below a group; raises ValueError at a link to another file."""
    for key in group:
        name = f"{above}{key}"
        link = group.get(key, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise ValueError(f"{name} is a link to another file ({link.filename})")
        if isinstance(link, h5py.SoftLink):
            continue  # what it names within the file is met by itself
        found = group.get(key)
        if isinstance(found, h5py.Dataset):
            yield name
        elif isinstance(found, h5py.Group) and depth < 8:
            yield from _arrays(found, f"{name}/", depth + 1)

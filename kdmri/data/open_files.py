"""HDF5 files that stay open between the slices that are read of them."""

import os
from pathlib import Path
from typing import Any

import h5py

from kdmri.data.layout import open_volume

MOST = 64
"""Each takes half a MiB, and a process may open a thousand."""


class OpenFiles:
    """Opens files when they are first asked for, once for each process, and keeps a number of them.

    An HDF5 file that is open while a process forks corrupts what the child reads: each process has
    files of its own, and none travel to another.
    """

    def __init__(self) -> None:
        self._files: dict[tuple[int, Path], h5py.File] = {}

    def __call__(self, path: Path) -> h5py.File:
        """Return a file, open for reading; raises DataError like `layout.open_volume`."""
        key = (os.getpid(), path)
        if key not in self._files:
            if len(self._files) >= MOST:
                self._files.pop(next(iter(self._files))).close()
            self._files[key] = open_volume(path)
        return self._files[key]

    def close(self) -> None:
        """Close all of them."""
        for file in self._files.values():
            file.close()
        self._files = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"_files": {}}

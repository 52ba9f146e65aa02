"""Reconstructed volumes as evaluation keeps them: h5 files with `reconstruction` (S, H, W)."""

from pathlib import Path

import numpy as np

from kdmri.data.hdf5 import hdf5_written_aside
from kdmri.data.layout import reading


def write_reconstruction(path: Path, reconstruction: np.ndarray) -> None:
    """Write a reconstructed volume (S, H, W), float32 or complex64, under `reconstruction`.

    Not compressed: what a network computes has no two values alike.
    """
    with hdf5_written_aside(path) as file:
        chunks = (1, *reconstruction.shape[1:])
        file.create_dataset("reconstruction", data=reconstruction, chunks=chunks)


def read_reconstruction(path: Path) -> np.ndarray:
    """Read what `write_reconstruction` wrote: (S, H, W)."""
    with reading(path) as file:
        return file["reconstruction"][...]

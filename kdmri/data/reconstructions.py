"""Reconstructed volumes as evaluation keeps them: h5 files with `reconstruction` (S, H, W)."""

from pathlib import Path

import h5py
import numpy as np

from kdmri.data.layout import reading
from kdmri.files import written_aside


def write_reconstruction(path: Path, reconstruction: np.ndarray) -> None:
    """Write a reconstructed volume (S, H, W), float32 or complex64, under `reconstruction`.

    Not compressed: what a network computes has no two values alike.
    """
    with written_aside(path) as aside, h5py.File(aside, "w") as file:
        chunks = (1, *reconstruction.shape[1:])
        file.create_dataset("reconstruction", data=reconstruction, chunks=chunks)


def read_reconstruction(path: Path) -> np.ndarray:
    """Read what `write_reconstruction` wrote: (S, H, W)."""
    with reading(path) as file:
        return file["reconstruction"][...]

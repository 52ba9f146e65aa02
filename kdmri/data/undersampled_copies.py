"""Undersampled copies beside volumes, as files of the original KD-MRI project carry them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kdmri.data.attributes import Attribute
from kdmri.data.hdf5 import hdf5_written_aside
from kdmri.data.layout import TARGET


def write_undersampled(
    path: Path,
    volume: np.ndarray,
    mask: np.ndarray,
    acceleration: str,
    attributes: Mapping[str, Attribute],
) -> None:
    """Write a file exactly as the original KD-MRI project expects it.

    Args:
        path: such as `datasets/cardiac/train/acc_4x/1.h5`.
        volume: magnitude (H, W, S), or (H, W) for a file of one slice.
        mask: 0/1 (H, W), zero frequency at the corner.
        acceleration: such as "4x".
        attributes: facts of the scan, beside what that project reads.
    """
    volume = volume.astype(np.float64)  # NumPy transforms single precision as it is
    spread = mask if volume.ndim == 2 else mask[:, :, None]
    kspace = spread * np.fft.fft2(volume, axes=(0, 1), norm="ortho")
    image = np.abs(np.fft.ifft2(kspace, axes=(0, 1), norm="ortho"))
    with hdf5_written_aside(path) as file:
        file[TARGET] = volume
        file[f"img_volus_{acceleration}"] = image
        file[f"kspace_volus_{acceleration}"] = kspace
        file.attrs.update(attributes)

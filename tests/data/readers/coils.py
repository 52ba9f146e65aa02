"""Raw data of real anatomy: a smooth phase and coil sensitivities that are known exactly."""

from pathlib import Path

import numpy as np


def phased(anatomy: np.ndarray, slices: slice) -> np.ndarray:
    """Return slices (S, 48, 40) a phase that has no symmetry; complex64, magnitude in [0, 1]."""
    images = np.moveaxis(anatomy[:, :, slices], -1, 0)
    height, width = images.shape[1:]
    rows, columns = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
    return (images * np.exp(1j * (2 * rows + columns - 1.5 * rows * columns))).astype(np.complex64)


def sensitivities(coils: int, shape: tuple[int, int]) -> np.ndarray:
    """Make complex64 (coils, H, W), sum over coils of |s|^2 = 1, one coil a corner or side."""
    rows, columns = np.linspace(-1, 1, shape[0])[:, None], np.linspace(-1, 1, shape[1])
    angles = 2 * np.pi * np.arange(coils)[:, None, None] / coils + 0.3
    distances = (rows - np.sin(angles)) ** 2 + (columns - np.cos(angles)) ** 2
    maps = np.exp(-0.5 * distances + 1j * (angles + rows * np.cos(angles)))
    return (maps / np.sqrt((np.abs(maps) ** 2).sum(axis=0))).astype(np.complex64)


def centred_fft2(images: np.ndarray) -> np.ndarray:
    """Transform (..., H, W) to k-space as scanners and data owners keep it, complex64."""
    shifted = np.fft.fft2(np.fft.ifftshift(images, axes=(-2, -1)), norm="ortho")
    return np.fft.fftshift(shifted, axes=(-2, -1)).astype(np.complex64)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

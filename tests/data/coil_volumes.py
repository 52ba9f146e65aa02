"""Small volumes of several coils, and estimates of sensitivities that stand in for real ones."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kdmri.data import coils
from kdmri.data.coils import Size
from kdmri.data.layout import TARGET, write_slices
from kdmri.physics import ifft2
from tests.data.readers.coils import sensitivities


class Known:
    """Stands in for an estimate where sensitivities are stored: nobody may ask it."""

    def __call__(self, kspace: Tensor, centre: Size) -> Tensor:
        raise AssertionError

    def used(self, centre: Size) -> Size:
        return centre

    def __str__(self) -> str:
        return "known"


def write(
    path: Path, images: np.ndarray, count: int = 4, scale: float = 1.0, known: bool = True
) -> np.ndarray:
    """Write slices (S, H, W) as coils see them; gives their k-space (S, coils, H, W)."""
    maps = sensitivities(count, images.shape[1:])
    kspace = np.fft.fft2(scale * images[:, None] * maps, norm="ortho").astype(np.complex64)
    slices = (
        {
            TARGET: np.abs(image).astype(np.float32),
            coils.KSPACE: k,
            **({coils.SENSITIVITIES: maps} if known else {}),
        }
        for image, k in zip(images, kspace, strict=True)
    )
    write_slices(path, slices, {})
    return kspace


class Combining(Known):
    """Takes the coils' own images for sensitivities; does something else first."""

    def __init__(self, before: Callable[[], object] = lambda: None) -> None:
        self._before = before

    def __call__(self, kspace: Tensor, centre: Size) -> Tensor:
        self._before()
        images = ifft2(kspace)
        norm = torch.linalg.vector_norm(images, dim=1, keepdim=True)
        return images / norm.clamp_min(1e-6)

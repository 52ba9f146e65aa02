"""Tasks of the shipped recipe, and what their networks make of a volume, by NumPy alone."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch

from kdmri.data.masks import GaussianLines
from kdmri.models import load_network
from tests.conftest import Result

Run = Callable[..., Result]
MASK = GaussianLines(4)((48, 40))


def reconstruction(path: Path) -> np.ndarray:
    with h5py.File(path) as file:
        return file["reconstruction"][...]


def by_hand(checkpoint: Path, volume: np.ndarray, mask: np.ndarray = MASK) -> np.ndarray:
    """Reconstruct magnitude slices (H, W, S) one by one with NumPy's transforms: (S, H, W)."""
    network = load_network(checkpoint).eval()
    found = []
    for image in np.moveaxis(volume, -1, 0):
        kspace = mask * np.fft.fft2(image, norm="ortho")
        zero_filled = np.abs(np.fft.ifft2(kspace, norm="ortho"))
        inputs = (
            torch.from_numpy(zero_filled)[None, None].float(),
            torch.from_numpy(kspace)[None, None].to(torch.complex64),
            torch.from_numpy(mask)[None, None].float(),
        )
        with torch.no_grad():
            found.append(network(*inputs)[0, 0].numpy())
    return np.stack(found)

"""Volumes of several coils, and what a network makes of them, by NumPy and the network alone."""

from pathlib import Path

import h5py
import numpy as np
import torch

from kdmri.models import load_network
from tests.data.readers.coils import phased, sensitivities

RULE = {
    "_target_": "kdmri.data.masks.EquispacedLines",
    "acceleration": 3.0,
    "axis": 1,
    "centre_fraction": 0.25,
    "seed": 42,
}
SAMPLING = {
    "_target_": "kdmri.physics.CartesianUndersampling",
    "mask": {"rule": RULE, "file": None, "values": None},
    "noise": 0.0,
    "by_volume": False,
}
ESPIRIT = {
    "_target_": "kdmri.physics.Espirit",
    "calibration": 24,
    "kernel": 4,
    "threshold": 0.02,
    "crop": 0.5,
}
TRAINED = {"sampling": SAMPLING, "sensitivities": ESPIRIT, "coils": True, "channels": 2}
"""Of the fixture `checkpoint`: one that was trained on several coils."""

SHOWN = (32, 36)


def columns() -> np.ndarray:
    """Measure 18 of 40 columns, another pattern than the network's: 12 of the centre, some more."""
    lines = np.zeros(40, bool)
    lines[14:26], lines[[2, 6, 10, 29, 33, 37]] = True, True
    return np.fft.ifftshift(lines)


def images(anatomy: np.ndarray, first: int = 4, count: int = 3) -> np.ndarray:
    """Complex slices (S, 48, 40) with the largest magnitude 250."""
    return phased(anatomy, slice(first, first + count)) * 250


def kspace(anatomy: np.ndarray, coils: int = 5, noise: float = 0.5) -> np.ndarray:
    """K-space (S, coils, 48, 40), zero frequency at the corner."""
    rng = np.random.default_rng(0)
    seen = images(anatomy)[:, None] * sensitivities(coils, (48, 40))
    values = np.fft.fft2(seen, norm="ortho")
    drawn = rng.standard_normal((2, *values.shape))
    return (values + noise * (drawn[0] + 1j * drawn[1])).astype(np.complex64)


def write_layout(path: Path, values: np.ndarray, maps: np.ndarray | None = None) -> Path:
    """Write k-space (S, coils, H, W) as `kdmri prepare` leaves it, the middle of SHOWN shown."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rss = np.sqrt((np.abs(np.fft.ifft2(values, norm="ortho")) ** 2).sum(axis=1))
    with h5py.File(path, "w") as file:
        shown = rss[:, 8:40, 2:38]
        file["volfs"] = np.moveaxis(shown / shown.max(), 0, -1).astype(np.float32)
        file["kspace_coils"] = np.moveaxis(values / shown.max(), 0, -1).astype(np.complex64)
        if maps is not None:
            file["sensitivities"] = np.moveaxis(maps, 0, -1).astype(np.complex64)
    return path


def scale_of(values: np.ndarray, centre: tuple[int, int]) -> float:
    """Largest root sum of squares of the images of a centre (h, w) alone."""
    frequency = [np.rint(np.fft.fftfreq(n) * n) for n in values.shape[-2:]]
    rows, columns = (
        (f >= -(kept // 2)) & (f < kept - kept // 2)
        for f, kept in zip(frequency, centre, strict=True)
    )
    low = np.fft.ifft2(values * (rows[:, None] & columns), norm="ortho")
    return float(np.sqrt((np.abs(low) ** 2).sum(axis=1)).max())


def by_hand(
    checkpoint: Path, values: np.ndarray, mask: np.ndarray, maps: np.ndarray, scale: float
) -> np.ndarray:
    """Reconstruct k-space (S, coils, H, W) with maps of the same shape: complex (S, H, W)."""
    measured = np.where(mask > 0, values, 0) / scale
    combined = (maps.conj() * np.fft.ifft2(measured, norm="ortho")).sum(axis=1)
    parts = np.stack((combined.real, combined.imag), axis=1).astype(np.float32)
    inputs = (
        torch.from_numpy(parts),
        torch.from_numpy(measured.astype(np.complex64)),
        torch.from_numpy(np.broadcast_to(mask, values.shape[-2:]).astype(np.float32))[None, None],
        torch.from_numpy(maps.astype(np.complex64)),
    )
    with torch.no_grad():
        found = load_network(checkpoint).eval()(*inputs).numpy()
    return found[:, 0] + 1j * found[:, 1]

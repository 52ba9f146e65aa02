"""BART's programs and files, for tests that compare with it."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

needed = pytest.mark.skipif(shutil.which("bart") is None, reason="bart is not installed")


def run(*arguments: str | Path) -> None:
    subprocess.run(["bart", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def read(path: Path) -> torch.Tensor:
    """Read an image or k-space of coils, as (coils, H, W); the middle stays in the middle."""
    header = path.with_name(path.name + ".hdr").read_text().splitlines()
    shape = [int(count) for count in header[1].split()]
    values = np.fromfile(path.with_name(path.name + ".cfl"), "<c8").reshape(shape, order="F")
    return torch.from_numpy(values.reshape(*shape[:2], -1).transpose(2, 0, 1).copy())


def write(path: Path, values: torch.Tensor) -> None:
    """Write (coils, H, W)."""
    coils, height, width = values.shape
    header = f"# Dimensions\n{height} {width} 1 {coils} 1\n"
    path.with_name(path.name + ".hdr").write_text(header)
    order = values.permute(1, 2, 0).numpy().astype("<c8").ravel(order="F")
    order.tofile(path.with_name(path.name + ".cfl"))


def to_corner(values: torch.Tensor) -> torch.Tensor:
    return torch.fft.ifftshift(values, dim=(-2, -1))


def to_middle(values: torch.Tensor) -> torch.Tensor:
    return torch.fft.fftshift(values, dim=(-2, -1))

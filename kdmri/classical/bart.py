"""BART's compressed sensing, where the program is installed (Uecker et al. 2015)."""

import functools
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kdmri.classical.method import ClassicalMethod
from kdmri.data.batch import Batch
from kdmri.errors import KdmriError
from kdmri.physics import ifft2

ITERATIONS = 60

MENDED = (1, 0)
"""Version of BART from which on `pics` keeps images of odd sizes where they are."""


class BartWavelets(ClassicalMethod):
    """Runs `bart pics -S -l1`: parallel imaging with sparse wavelets, by FISTA.

    Its k-space has the zero frequency in the middle and its images their origin there; with -S
    they are not divided by a number of its own.
    """

    label = "BART l1-wavelet"
    weights = (5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2)

    @property
    def missing(self) -> str | None:
        """The program, where it is not found."""
        if shutil.which("bart") is None:
            return "the program bart is not found (Debian: apt-get install bart)"
        return None

    def __call__(self, batch: Batch, weight: float) -> Tensor:
        """Reconstruct; see `ClassicalMethod`.

        Raises:
            KdmriError: the program fails.
        """
        assert batch.coils is not None
        maps = batch.coils.sensitivities.cpu().numpy()
        coil_images = ifft2(batch.kspace).cpu().numpy()
        masks = np.broadcast_to(batch.mask.cpu().numpy(), (len(maps), 1, *maps.shape[-2:]))
        images = [
            _pics(to_kspace(i), s, np.fft.fftshift(m), weight)
            for i, s, m in zip(coil_images, maps, masks[:, 0], strict=True)
        ]
        found = np.stack([np.stack((image.real, image.imag)) for image in images])
        return torch.from_numpy(found).to(batch.image)


def to_kspace(coil_images: np.ndarray) -> np.ndarray:
    """Transform images (..., H, W) as displayed to k-space with everything in the middle."""
    axes = (-2, -1)
    kspace = np.fft.fft2(np.fft.ifftshift(coil_images, axes), norm="ortho")
    return np.fft.fftshift(kspace, axes)


def _pics(kspace: np.ndarray, maps: np.ndarray, mask: np.ndarray, weight: float) -> np.ndarray:
    """Reconstruct a slice (coils, H, W), zero frequency in the middle, to complex64 (H, W)."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        given = mask * kspace * (_kept_in_place(mask.shape) if _version() < MENDED else 1)
        write_cfl(place / "kspace", np.moveaxis(given, 0, -1)[:, :, None])
        write_cfl(place / "maps", np.moveaxis(maps, 0, -1)[:, :, None])
        write_cfl(place / "mask", mask.astype(np.complex64))
        options = f"-S -l1 -r {weight:g} -i {ITERATIONS} -p mask"
        command = ["bart", "pics", *options.split(), "kspace", "maps", "image"]
        run = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
        if run.returncode:
            reason = " ".join((run.stderr or run.stdout).split())
            raise KdmriError(f"{' '.join(command)}: failed ({reason})")
        values = np.fromfile(place / "image.cfl", np.complex64)
    return values.reshape(mask.shape, order="F")


@functools.cache
def _version() -> tuple[int, ...]:
    said = subprocess.run(["bart", "version"], capture_output=True, text=True, check=False).stdout
    return tuple(map(int, re.findall(r"\d+", said)[:2]))


def _kept_in_place(size: tuple[int, ...]) -> np.ndarray:
    """Return factors of k-space (H, W) with which images of odd sizes stay in place.

    BART 0.8.00 modulates k-space as it does the coils, where it takes the inverse: the same for
    even sizes, while the image, but not its coils, is moved by a pixel along odd ones.
    """
    phases = []
    for count in size:
        centre, steps = count // 2, np.arange(count)
        turns = 2 * centre * (steps - centre / 2) / count if count % 2 else 0 * steps
        phases.append(np.exp(-2j * np.pi * turns))
    return np.multiply.outer(*phases)


def write_cfl(path: Path, values: np.ndarray) -> None:
    """Write BART's pair of files: sizes of the dimensions, then values, the first one fastest."""
    sizes = " ".join(map(str, values.shape))
    Path(f"{path}.hdr").write_text(f"# Dimensions{os.linesep}{sizes}{os.linesep}")
    values.astype(np.complex64).ravel(order="F").tofile(f"{path}.cfl")

"""Other programs as they are installed: BART (Debian) and the package fastmri.

Their input is made before the time is taken, files of BART too. Weights are random: they do not
change the time.
"""

import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from kdmri.benchmark.scan import Size, kspace_of
from kdmri.benchmark.works import Work
from kdmri.classical.bart import ITERATIONS, write_cfl
from kdmri.errors import KdmriError

WEIGHT = 0.002
"""Of the wavelets' l1 norm; the number of iterations is fixed, so it does not change the time."""


def no_bart() -> str | None:
    """Say that there is no `bart`."""
    return None if shutil.which("bart") else "the program bart is not installed"


def no_fastmri() -> str | None:
    """Say that there is no `fastmri`."""
    return None if find_spec("fastmri") else "the package fastmri is not installed"


class BartMaps(Work):
    """Sensitivities of a slice by `bart ecalib`."""

    outside = True
    commands: tuple[str, ...] = ("ecalib -m1 -c0 -r24 kspace maps",)

    def __init__(self, size: Size, folder: Path) -> None:
        self._size, self._folder = size, folder

    def prepare(self) -> None:
        """Scan another slice, and write it as BART reads it."""
        kspace = torch.fft.fftshift(kspace_of(self._size)[0], dim=(-2, -1))
        self.chosen = float(kspace.abs().max())
        write_cfl(self._folder / "kspace", np.moveaxis(kspace.numpy(), 0, -1)[:, :, None])

    def run(self) -> None:
        """Run the commands with as many threads as PyTorch has here."""
        threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
        for command in self.commands:
            words = ["bart", *command.split()]
            where = {"cwd": self._folder, "env": os.environ | threads}
            run = subprocess.run(words, capture_output=True, text=True, check=False, **where)  # type: ignore[call-overload]
            if run.returncode:
                raise KdmriError(f"{' '.join(words)}: failed ({run.stderr or run.stdout})")


class BartImage(BartMaps):
    """Sensitivities, then `bart pics` with wavelets."""

    commands = (
        *BartMaps.commands,
        f"pics -S -l1 -r {WEIGHT} -i {ITERATIONS} kspace maps image",
    )


class FastmriVarNet(Work):
    """A slice through fastMRI's VarNet of 12 cascades and 18 channels."""

    def __init__(self, size: Size) -> None:
        from fastmri.models import VarNet

        self._size, self._network = size, VarNet().eval()

    def prepare(self) -> None:
        """Scan another slice."""
        kspace = torch.fft.fftshift(kspace_of(self._size), dim=(-2, -1))
        mask = (kspace[:, :1, :1, :] != 0)[..., None]
        self.chosen = torch.view_as_real(kspace), mask

    @torch.no_grad()
    def run(self) -> None:
        """Reconstruct it."""
        self._network(*self.chosen)

"""Real slices that an export is checked and calibrated with."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kdmri.data.batch import Batch, Slice
from kdmri.data.cropping import fit_centre
from kdmri.data.embedded import find_colin27, find_mni
from kdmri.data.readers.base import SourceVolume
from kdmri.data.readers.nifti import Nifti
from kdmri.data.readers.slices import checked
from kdmri.data.simulation import Simulation
from kdmri.errors import DataError
from kdmri.export.coil_slices import coil_slices, simulated
from kdmri.export.consistency import Exportable
from kdmri.models.trained import Trained
from kdmri.reconstruct.runtime import named
from kdmri.reconstruct.survey import survey

DARK = 0.25
"""Slices that stay below this share of the volume's largest magnitude are left out."""


def head() -> Path:
    """Find a head that a package ships: the MNI template, else Colin27.

    Raises:
        DataError: there is none.
    """
    for find in (find_mni, find_colin27):
        try:
            return find()
        except DataError:
            continue
    raise DataError(
        "slices: an export is checked on real slices; name a file or folder, slices=FILE, or "
        "pip install 'kdmri[demo]' for a head"
    )


def read_slices(volumes: list[SourceVolume], trained: Trained, count: int) -> list[Batch]:
    """Make batches of one slice each of what a network takes.

    Slices lie evenly in their volumes, have the size of the training where the checkpoint
    tells it, and are scaled as in the training. A network for complex images gets magnitude
    images with a smooth phase; one for several coils k-space of several coils as it is, or images
    as simulated coils see them.

    Args:
        volumes: the first of them are used, as many as are needed.
        trained: the network and its task.
        count: how many, from all volumes together.

    Raises:
        DataError: a volume cannot be read, or its k-space is undersampled.
    """
    stored = trained.facts.get("data", {}).get("slice_size")
    size = None if stored is None else (int(stored[0]), int(stored[1]))
    phase = Simulation(phase=True, snr=None, seed=0)
    used = volumes[: max(1, min(len(volumes), count // 4))]
    batches: list[Batch] = []
    for volume in used:
        if trained.estimate is not None and _has_coils(volume):
            batches += coil_slices(volume, trained, trained.estimate, -(-count // len(used)))
            continue
        found = survey(volume)
        if not found.has_target:
            raise DataError(f"{volume.files[0]}: is undersampled; slices must be fully sampled")
        bright = [
            number
            for number, item in enumerate(checked(volume))
            if np.abs(_fitted(volume, item.image, size)).max() >= DARK * found.largest
        ]
        share = min(len(bright), -(-count // len(used)))
        places = {bright[n] for n in np.rint(np.linspace(0, len(bright) - 1, share)).astype(int)}
        for number, item in enumerate(checked(volume)):
            if number not in places:
                continue
            image = _fitted(volume, item.image, size) / np.float32(found.largest)
            size = size or image.shape
            if trained.channels == 1:
                image = np.maximum(image, 0) if np.isrealobj(image) else np.abs(image)
            elif np.isrealobj(image):
                image = phase(np.maximum(image, 0), volume.name, number)
            batches.append(_batch(trained, image, len(batches)))
    return batches[:count]


def head_slices(trained: Trained, count: int) -> list[Batch]:
    """Make batches of axial slices of the head that a package ships; see `read_slices`."""
    volumes = list(Nifti(orientation="axial", axis=2).volumes(head()))
    return read_slices(volumes, trained, count)


def _has_coils(volume: SourceVolume) -> bool:
    first = next(checked(volume), None)
    return first is not None and first.kspace_coils is not None


def _fitted(volume: SourceVolume, image: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    """Cut an image (H, W) to what its volume shows, and bring it to a size, if any."""
    shown = image[volume.window(image.shape)]
    return shown if size is None else fit_centre(shown, size)


def _batch(trained: Trained, image: np.ndarray, number: int) -> Batch:
    parts = [image] if trained.channels == 1 else [image.real, image.imag]
    target = torch.from_numpy(np.stack(parts).astype(np.float32))[None]
    index = torch.tensor([number])
    largest = torch.tensor([float(np.abs(image).max())])
    with torch.inference_mode():
        if trained.estimate is not None:
            return simulated(trained, trained.estimate, torch.complex(*target[0]), number)
        return trained.task(Slice(target, None, largest, index, index))


def as_inputs(network: Exportable, batch: Batch) -> dict[str, Tensor]:
    """Return what an exported network takes of a batch, by name."""
    return named(batch.inputs, network.inputs)

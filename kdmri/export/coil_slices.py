"""Slices of several coils that an export is checked and calibrated with."""

import numpy as np
import torch
from torch import Tensor

from kdmri.data.batch import Batch, Coils, Slice
from kdmri.data.companions import Estimate, centre_scale
from kdmri.data.cropping import Window
from kdmri.data.readers.base import SourceVolume
from kdmri.data.simulated_coils import draw_sensitivities
from kdmri.errors import DataError
from kdmri.models.trained import Trained
from kdmri.physics import fft2, ifft2, to_channels
from kdmri.physics.coils import combine, expand
from kdmri.reconstruct.coil_feeding import feed_coils

COILS = 8
"""Simulated around images of one coil."""


def coil_slices(
    volume: SourceVolume, trained: Trained, estimate: Estimate, count: int
) -> list[Batch]:
    """Make batches of one slice each, evenly through a volume of several coils.

    Args:
        volume: to read.
        trained: the network and its task.
        estimate: of sensitivities.
        count: how many.

    Raises:
        DataError: it cannot be read, or its k-space is undersampled.
    """
    feed = feed_coils(volume, trained, estimate, None, 0)
    assert feed is not None
    if not feed.has_target:
        raise DataError(f"{volume.files[0]}: is undersampled; slices must be fully sampled")
    places = {*np.rint(np.linspace(0, feed.count - 1, min(count, feed.count))).astype(int).tolist()}
    with torch.inference_mode():
        batches = enumerate(feed.batches(1, torch.device("cpu")))
        return [batch for number, batch in batches if number in places]


def simulated(trained: Trained, estimate: Estimate, image: Tensor, number: int) -> Batch:
    """Make a batch of what simulated coils see of a slice.

    Args:
        trained: the network and its task.
        estimate: of sensitivities, from the k-space of the coils, as in use.
        image: complex64 (H, W), fully sampled.
        number: seed of the coils, and index of the slice.
    """
    size = (image.shape[0], image.shape[1])
    kspace = fft2(expand(image[None, None], draw_sensitivities(size, COILS, [number])))
    centre = estimate.used(trained.task.centre_of(size))
    kspace = kspace / centre_scale(kspace, centre)
    sensitivities = estimate(kspace, centre)
    combined = combine(ifft2(kspace), sensitivities)
    index, name = torch.tensor([number]), torch.tensor([[ord(c) for c in f"slice {number}"]])
    return trained.task(
        Slice(
            target=to_channels(combined, trained.channels),
            kspace=kspace,
            data_range=combined.abs().max()[None],
            volume=index,
            slice=index,
            coils=Coils(sensitivities, torch.ones(1, 1, *size), name, Window(0, 0, *size)),
        )
    )

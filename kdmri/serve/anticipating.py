"""Sensitivities of a slice, estimated while its last lines are still to come.

They are found from the centre of k-space alone. What the whole slice asks for is looked up by the
very samples of that centre, so images are the same, bit for bit, whether they were found before.
"""

import logging
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from kdmri.data.companions import Estimate, Size
from kdmri.models.trained import Trained
from kdmri.physics.espirit import centre_of
from kdmri.reconstruct.coil_feeding import feed_coils
from kdmri.serve.gathering import Unit
from kdmri.serve.reconstructing import volume_of

LOG = logging.getLogger("kdmri.serve")

MOST_BYTES = 2**25
"""Of sensitivities that are kept for a client."""


class Remembered:
    """An estimate that keeps its latest results; see `Estimate`."""

    def __init__(self, estimate: Estimate) -> None:
        self.estimate = estimate
        self.found = 0
        self._kept: OrderedDict[tuple[object, ...], Tensor] = OrderedDict()

    def __str__(self) -> str:
        return str(self.estimate)

    def used(self, centre: Size) -> Size:
        """Return how much of a fully sampled centre is used."""
        return self.estimate.used(centre)

    def __call__(self, kspace: Tensor, centre: Size) -> Tensor:
        """Estimate sensitivities, or look them up; `found` counts the latter."""
        samples = centre_of(kspace, self.used(centre)).cpu().numpy().tobytes()
        key = (samples, kspace.shape, kspace.device, centre)
        kept = self._kept.pop(key, None)
        self.found += kept is not None
        found = self.estimate(kspace, centre) if kept is None else kept
        self._kept[key] = found
        while sum(other.nbytes for other in self._kept.values()) > MOST_BYTES:
            self._kept.popitem(last=False)
        return found


def remembering(trained: Trained) -> Trained:
    """Return a network whose estimate remembers, where it has one."""
    if trained.estimate is None:
        return trained
    return replace(trained, estimate=Remembered(trained.estimate))


@torch.inference_mode()
def anticipate(unit: Unit, trained: Trained, device: torch.device) -> None:
    """Estimate the sensitivities of a slice whose centre is there, for `Remembered` to keep.

    What is wrong with the slice is told when it is complete.

    Args:
        unit: the lines so far.
        trained: what `remembering` gave.
        device: where the network is.
    """
    assert trained.estimate is not None
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            volume = volume_of(unit)
            feed = feed_coils(volume, trained, trained.estimate, None, 1, 1, device)
            if feed is not None:
                next(feed.batches(1, device))
    except Exception as error:  # half of a slice may be anything
        LOG.debug("not estimated ahead: %s", error)

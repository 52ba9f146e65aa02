"""What every kind of output is given of a reconstructed volume, and what it gives back."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kdmri.data.readers.base import SourceVolume

Write = Callable[[int, np.ndarray], None]
"""Takes the number of a slice and its values (H, W), float32 or complex64, at the network's scale.
"""


@dataclass(frozen=True)
class Result:
    """A reconstructed volume, before its slices are there.

    Attributes:
        volume: what was reconstructed.
        scale: what its values were divided by.
        count: number of slices.
        size: (H, W) of the slices, cropped to what is shown.
        description: how the network's input came about, a sentence without its full stop.
    """

    volume: SourceVolume
    scale: float
    count: int
    size: tuple[int, int]
    description: str = ""


Begin = Callable[[Result], Write]
"""Begins a volume of an output that is open; returns what writes its slices."""


def magnitudes(image: np.ndarray) -> np.ndarray:
    """Return what is looked at: magnitudes of complex images, real ones as they are."""
    return np.abs(image) if np.iscomplexobj(image) else image

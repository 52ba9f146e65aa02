"""Slices of several images as strips of panes, with their figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch

from kdmri.metrics.slices import SSIM_WINDOW, structural_similarity
from kdmri.viewer.coding import encode, reduce

Item = TypeVar("Item")

USUAL_LIMIT = 0.1
"""Error that is shown brightest at first where none is known."""


class Place(NamedTuple):
    """Where a slice belongs.

    Attributes:
        volume: its name.
        number: of the slice in the volume, from 0.
        total: slices of the volume.
    """

    volume: str
    number: int
    total: int


@dataclass(frozen=True)
class Strip:
    """All panes of one slice.

    Attributes:
        volume: its name.
        index: of the slice in the volume.
        total: slices of the volume.
        psnr: of every pane in dB, None for the target or without one.
        ssim: likewise.
        webp: the coded pictures.
    """

    volume: str
    index: int
    total: int
    psnr: list[float | None]
    ssim: list[float | None]
    webp: bytes


@dataclass(frozen=True)
class ViewerContent:
    """What the viewer of one experiment shows.

    Attributes:
        panes: their labels, the target first where there is one.
        has_target: whether there is.
        size: (H, W) of a stored picture.
        reduction: pixels of a slice along each axis for one of the picture.
        limit: error that is shown brightest at first.
        strips: slices in order.
        slices: how many there are in all.
        aspect: height of a pixel over its width.
    """

    panes: list[str]
    has_target: bool
    size: tuple[int, int]
    reduction: int
    limit: float
    strips: list[Strip]
    slices: int
    aspect: float = 1.0


def make_strip(
    place: Place,
    target: np.ndarray | None,
    panes: Mapping[str, np.ndarray],
    largest: float,
    reduction: int = 1,
) -> Strip:
    """Measure and code the panes of a slice.

    Args:
        place: of the slice.
        target: magnitude (H, W), or None.
        panes: magnitudes (H, W) by label.
        largest: value that is shown as 1; with a target the largest of its volume.
        reduction: pixels along each axis for one of the picture.
    """
    psnr: list[float | None] = [None] * (len(panes) + (target is not None))
    ssim = list(psnr)
    scaled = {label: reduce(image / largest, reduction) for label, image in panes.items()}
    if target is None:
        return Strip(*place, psnr, ssim, encode(None, scaled))
    for number, image in enumerate(panes.values(), start=1):
        squared = float(np.square(image - target).mean())
        psnr[number] = 10 * float(np.log10(largest**2 / squared)) if squared else None
        if min(target.shape) >= SSIM_WINDOW:
            one, other = (torch.from_numpy(a)[None] for a in (image, target))
            ssim[number] = float(structural_similarity(one, other, torch.tensor([largest])))
    return Strip(*place, psnr, ssim, encode(reduce(target / largest, reduction), scaled))


def error_limit(errors: Sequence[np.ndarray]) -> float:
    """Take what half a percent of errors exceed, in shares of the largest value."""
    return float(np.percentile(errors, 99.5)) if len(errors) else USUAL_LIMIT


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """Take so many, evenly spaced, none at the very ends."""
    count = min(count, len(items))
    return [items[(2 * i + 1) * len(items) // (2 * count)] for i in range(count)]

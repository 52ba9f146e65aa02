"""The files that a training reads, so that one that is resumed goes on with those it began with."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kdmri.data.coil_dataset import CoilDataset
from kdmri.data.dataset import SliceDataset
from kdmri.data.layout import Volume
from kdmri.errors import DataError

ROUNDING = 1e-3
"""Means of one image differ by less than this share of them, whatever machine computed them."""


def middle_items(volumes: Sequence[Volume]) -> list[int]:
    """Return the place in a data set of the middle slice of each of its volumes."""
    counts = [volume.shape[2] for volume in volumes]
    ends = np.cumsum(counts)
    return [int(end) - (count + 1) // 2 for count, end in zip(counts, ends, strict=True)]


def known_by(datasets: Sequence[SliceDataset | CoilDataset], folder: Path) -> dict[str, Any]:
    """Describe files, as plain values that a checkpoint may hold.

    Args:
        datasets: of the splits that training reads.
        folder: of the data set.

    Returns:
        `files`, the number of slices by path below the folder; `means`, the mean magnitude of the
        middle slice, in the units of the network's target.
    """
    files, means = {}, {}
    for dataset in datasets:
        for volume, item in zip(dataset.volumes, middle_items(dataset.volumes), strict=True):
            name = str(volume.path.relative_to(folder))
            files[name] = volume.shape[2]
            means[name] = float(torch.linalg.vector_norm(dataset[item].target, dim=0).mean())
    return {"files": files, "means": means}


def check_known(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    """Compare what `known_by` gave; a state of an earlier version holds less, and is believed.

    Raises:
        DataError: there are other files than before, or others of the same names.
    """
    found, files = before.get("files", now["files"]), now["files"]
    changed = [name for name in {**found, **files} if found.get(name) != files.get(name)]
    if changed:
        raise DataError(
            f"{folder}: {', '.join(changed)}: vanished, appeared or changed its number of slices "
            "since this training began; bring it back, or train again with overwrite=true"
        )
    means = before.get("means", now["means"])
    changed = [
        name
        for name, mean in now["means"].items()
        if not math.isclose(mean, means[name], rel_tol=ROUNDING)
    ]
    if changed:
        raise DataError(
            f"{folder}: {', '.join(changed)}: holds other images than when this training began; "
            "bring it back, or train again with overwrite=true"
        )

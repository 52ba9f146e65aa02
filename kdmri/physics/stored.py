"""Tasks in checkpoints: plain settings that say how an input is made from what was measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import torch

from kdmri.data.companions import Estimate
from kdmri.data.masks import DrawnLines, MaskFile, choose
from kdmri.data.task import Task
from kdmri.errors import CheckpointError
from kdmri.physics.espirit import Espirit
from kdmri.physics.resolution import CentralKspace, Size
from kdmri.physics.sampling import CartesianUndersampling

UNDERSAMPLING = "kdmri.physics.CartesianUndersampling"
RESOLUTION = "kdmri.physics.CentralKspace"
ESTIMATE = "kdmri.physics.Espirit"
RULES: dict[str, type[DrawnLines]] = {
    f"kdmri.data.masks.{rule.__qualname__}": rule for rule in get_args(DrawnLines)
}
"""Mask rules that a checkpoint may name; nothing else that it names is ever called."""


@dataclass(frozen=True)
class StoredMask:
    """The mask file that a network was trained with, and the rule for slices of another size.

    Attributes:
        rule: draws the mask of any other size.
        values: mask file of the training, uint8 (H, W), zero frequency at the corner.
        name: of that file.
    """

    rule: DrawnLines
    values: np.ndarray
    name: str

    def __call__(self, size: Size) -> np.ndarray:
        """Return the mask of a size (H, W): the file's where it fits, else the rule's."""
        return self.values if self.values.shape == tuple(size) else self.rule(size)

    def __str__(self) -> str:
        height, width = self.values.shape
        return f"file {self.name} for slices of {height}x{width}, else {self.rule}"


def task_settings(sampling: Mapping[str, Any], size: Size) -> dict[str, Any]:
    """Keep what rebuilds a task wherever its checkpoint is taken.

    Args:
        sampling: `task.sampling` of the configuration, plain values.
        size: (H, W) of the slices that it was trained on.

    Returns:
        Plain values without paths; a mask file in use is kept with its values, uint8 (H, W).
    """
    settings = dict(sampling)
    settings.pop("masks", None)  # of training alone
    mask, more = settings.pop("mask", None), settings.pop("more", None)
    if more is not None and more["acceleration"] is not None:
        settings["more"] = dict(more["rule"]) | {"acceleration": more["acceleration"]}
    if mask is not None:
        found = choose(mask["rule"], mask["folder"], mask["acceleration"], mask["file"])
        stored: dict[str, Any] = {"rule": dict(mask["rule"]), "file": None, "values": None}
        if isinstance(found, MaskFile):
            stored |= {"file": found.path.name, "values": torch.from_numpy(found(size))}
        settings["mask"] = stored
    return settings


def build_task(settings: Mapping[str, Any]) -> Task:
    """Build a task from what `task_settings` gave.

    Raises:
        CheckpointError: the settings name a task or a mask rule that is not one of kdmri's own, or
            their values cannot be used.
    """
    arguments = dict(settings)
    target = arguments.pop("_target_", None)
    try:
        if target == UNDERSAMPLING:
            mask, more = _build_mask(arguments.pop("mask")), arguments.pop("more", None)
            return CartesianUndersampling(
                mask, more=None if more is None else _build_rule(more), **arguments
            )
        if target == RESOLUTION:
            return CentralKspace(**arguments)
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError) as error:
        raise CheckpointError(f"task {target}: {error}") from error
    raise CheckpointError(f"task {target}: known are {UNDERSAMPLING} and {RESOLUTION}")


def build_estimate(settings: Mapping[str, Any]) -> Estimate:
    """Build what estimates sensitivities from plain settings, `dataset.sensitivities`.

    Raises:
        CheckpointError: they name something that is not kdmri's own, or cannot be used.
    """
    arguments = dict(settings)
    target = arguments.pop("_target_", None)
    if target != ESTIMATE:
        raise CheckpointError(f"sensitivities {target}: known is {ESTIMATE}")
    try:
        return Espirit(**arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"sensitivities {target}: {error}") from error


def _build_mask(stored: Mapping[str, Any]) -> StoredMask | DrawnLines:
    rule = _build_rule(stored["rule"])
    values = stored["values"]
    if values is None:
        return rule  # which may be asked for the mask of a volume
    return StoredMask(rule, values.numpy().astype(np.uint8), str(stored["file"]))


def _build_rule(stored: Mapping[str, Any]) -> DrawnLines:
    settings = dict(stored)
    target = settings.pop("_target_", None)
    if target not in RULES:
        raise CheckpointError(
            f"mask rule {target}: known are {', '.join(RULES)}; give the mask itself, mask=FILE.npy"
        )
    rule = RULES[target](**settings)
    if not all(isinstance(number, int) for number in rule.entropy):
        raise ValueError(f"mask rule {target}: its seed {rule.seed} is no whole number")
    return rule

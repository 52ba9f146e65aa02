"""Weights of `fastmri.models.VarNet`, as fastMRI publishes them, read without running code."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kdmri.errors import CheckpointError, ConfigurationError
from kdmri.models.original import Original
from kdmri.models.stored import PREFIX, build_network

FIRST = "sens_net.norm_unet.unet.down_sample_layers.0.layers.0.weight"
"""A parameter that every VarNet has; what stands before it stands before all."""

OWNERS = {
    r"sens_net\.norm_unet\.unet\.": "sensitivity.unet.",
    r"cascades\.(\d+)\.model\.unet\.": r"cascades.\1.unet.",
}
PARTS = {
    r"down_sample_layers\.(\d+)\.layers\.0\.weight": r"down.\1.0.weight",
    r"down_sample_layers\.(\d+)\.layers\.4\.weight": r"down.\1.3.weight",
    r"conv\.layers\.0\.weight": "bottleneck.0.weight",
    r"conv\.layers\.4\.weight": "bottleneck.3.weight",
    r"up_transpose_conv\.(\d+)\.layers\.0\.weight": r"upsample.\1.0.weight",
    r"up_conv\.(\d+)(?:\.0)?\.layers\.0\.weight": r"up.\1.0.weight",
    r"up_conv\.(\d+)(?:\.0)?\.layers\.4\.weight": r"up.\1.3.weight",
    r"up_conv\.\d+\.1\.(weight|bias)": r"output.\1",
}
"""The names there of a U-Net's parameters, and those here."""


def read_fastmri(path: Path) -> Original:
    """Read a state dict of `fastmri.models.VarNet` (0.3.0), of any size.

    It may be the file itself, such as `brain_leaderboard_state_dict.pt`, or lie under "state_dict"
    in a checkpoint of Lightning, where all names begin with `varnet.` or the like.

    Raises:
        CheckpointError: the file is missing, damaged, would run code, or holds another network.
    """
    stored = _load(path)
    states = stored.get("state_dict", stored) if isinstance(stored, Mapping) else None
    names = [str(name) for name in states] if isinstance(states, Mapping) else []
    found = [name.removesuffix(FIRST) for name in names if name.endswith(FIRST)]
    if not isinstance(states, Mapping) or len(found) != 1:
        raise CheckpointError(
            f"{path}: is no state dict of fastmri.models.VarNet, it has no parameter {FIRST}"
        )
    weights = _renamed(path, states, found[0])
    settings = _settings(path, weights)
    try:
        expected = build_network(settings).state_dict()
    except ConfigurationError as error:
        raise CheckpointError(f"{path}: {error}") from error
    shapes, wanted = ({k: v.shape for k, v in each.items()} for each in (weights, expected))
    if wrong := sorted(k for k in {**wanted, **shapes} if shapes.get(k) != wanted.get(k)):
        raise CheckpointError(
            f"{path}: is no VarNet of one size throughout, {len(wrong)} parameters are missing or "
            f"of another shape, such as {wrong[0]}"
        )
    return Original(settings, weights, epoch=0, loss=float("nan"), description={})


def _load(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: there is no such checkpoint") from error
    except Exception as error:  # torch raises many kinds for damaged or unsafe files
        raise CheckpointError(
            f"{path}: damaged, no file of PyTorch, or would run code "
            f"({str(error).splitlines()[0]}); of a checkpoint that you trust, keep the state dict "
            "alone"
        ) from error


def _renamed(path: Path, states: Mapping[Any, Any], prefix: str) -> dict[str, Tensor]:
    """Give the parameters behind the prefix their names here; losses and measures have another."""
    weights: dict[str, Tensor] = {}
    for name, value in states.items():
        if not str(name).startswith(prefix):
            continue
        own = _name(str(name).removeprefix(prefix))
        if own is None or not isinstance(value, Tensor):
            raise CheckpointError(f"{path}: {name} is no parameter of fastmri.models.VarNet")
        if not value.isfinite().all():
            raise CheckpointError(f"{path}: {name} holds NaN or infinite values")
        weights[own] = value.float()
    return weights


def _name(name: str) -> str | None:
    """Return a parameter's name here, None where there is none."""
    if re.fullmatch(r"cascades\.\d+\.dc_weight", name):
        return name
    for owner, own in OWNERS.items():
        for part, mine in PARTS.items():
            if re.fullmatch(owner + part, name):
                begin = re.match(owner, name)
                assert begin
                return begin.expand(own) + re.sub(part, mine, name[begin.end() :])
    return None


def _settings(path: Path, weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Tell the network from its parameters."""
    numbers = [int(name.split(".")[1]) for name in weights if name.startswith("cascades.")]
    owners = ("cascades.0.unet", "sensitivity.unet")
    first, other = (weights.get(f"{owner}.down.0.0.weight") for owner in owners)
    if first is None or other is None or first.ndim != 4 or other.ndim != 4:
        raise CheckpointError(f"{path}: holds no first cascade of a VarNet")
    return {
        "_target_": f"{PREFIX}VarNet",
        "cascades": 1 + max(numbers),
        "width": len(first),
        "levels": _levels(weights, owners[0]),
        "sensitivity_width": len(other),
        "sensitivity_levels": _levels(weights, owners[1]),
        "channels": 2,
    }


def _levels(weights: Mapping[str, Tensor], owner: str) -> int:
    return sum(
        re.fullmatch(rf"{owner}\.down\.\d+\.0\.weight", name) is not None for name in weights
    )

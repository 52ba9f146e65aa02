"""Weights of fastMRI's VarNet and U-Net, as it publishes them, read without running code."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from kdmri.errors import CheckpointError, ConfigurationError
from kdmri.models.original import Original
from kdmri.models.stored import PREFIX, build_network

FIRST = "sens_net.norm_unet.unet.down_sample_layers.0.layers.0.weight"
"""A parameter that every VarNet has; what stands before it stands before all."""

FIRST_OF_UNET = "down_sample_layers.0.layers.0.weight"
"""The same of a U-Net alone."""

OWNERS = {
    r"sens_net\.norm_unet\.unet\.": "sensitivity.unet.",
    r"cascades\.(\d+)\.model\.unet\.": r"cascades.\1.unet.",
}
OWNERS_OF_UNET = {"": "cascades.0."}
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


class Kind(NamedTuple):
    """A network of fastMRI.

    Attributes:
        name: of its class there.
        first: a parameter that it always has.
        owners: names there of what its U-Nets belong to, and those here.
        settings: tells it from its parameters.
    """

    name: str
    first: str
    owners: Mapping[str, str]
    settings: Callable[[Path, Mapping[str, Tensor]], dict[str, Any]]


def read_fastmri(path: Path) -> Original:
    """Read a state dict of `fastmri.models.VarNet` or `fastmri.models.Unet` (0.3.0), of any size.

    It may be the file itself, such as `brain_leaderboard_state_dict.pt`, or lie under "state_dict"
    in a checkpoint of Lightning, where all names begin with `varnet.`, `unet.` or the like.

    Raises:
        CheckpointError: the file is missing, damaged, would run code, or holds another network.
    """
    stored = _load(path)
    states = stored.get("state_dict", stored) if isinstance(stored, Mapping) else None
    names = [str(name) for name in states] if isinstance(states, Mapping) else []
    for kind in KINDS:
        found = [name.removesuffix(kind.first) for name in names if name.endswith(kind.first)]
        if isinstance(states, Mapping) and len(found) == 1:
            return _read(path, states, kind, found[0])
    raise CheckpointError(
        f"{path}: is no state dict of fastmri.models.VarNet, it has no parameter {FIRST}; nor of "
        f"fastmri.models.Unet, which has one {FIRST_OF_UNET}"
    )


def _read(path: Path, states: Mapping[Any, Any], kind: Kind, prefix: str) -> Original:
    weights = _renamed(path, states, kind, prefix)
    settings = kind.settings(path, weights)
    try:
        expected = build_network(settings).state_dict()
    except ConfigurationError as error:
        raise CheckpointError(f"{path}: {error}") from error
    shapes, wanted = ({k: v.shape for k, v in each.items()} for each in (weights, expected))
    if wrong := sorted(k for k in {**wanted, **shapes} if shapes.get(k) != wanted.get(k)):
        raise CheckpointError(
            f"{path}: is no {kind.name} of one size throughout, {len(wrong)} parameters are "
            f"missing or of another shape, such as {wrong[0]}"
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


def _renamed(path: Path, states: Mapping[Any, Any], kind: Kind, prefix: str) -> dict[str, Tensor]:
    """Give the parameters behind the prefix their names here; losses and measures have another."""
    weights: dict[str, Tensor] = {}
    for name, value in states.items():
        if not str(name).startswith(prefix):
            continue
        own = _name(str(name).removeprefix(prefix), kind.owners)
        if own is None or not isinstance(value, Tensor):
            raise CheckpointError(f"{path}: {name} is no parameter of fastmri.models.{kind.name}")
        if not value.isfinite().all():
            raise CheckpointError(f"{path}: {name} holds NaN or infinite values")
        weights[own] = value.float()
    return weights


def _name(name: str, owners: Mapping[str, str]) -> str | None:
    """Return a parameter's name here, None where there is none."""
    if owners is OWNERS and re.fullmatch(r"cascades\.\d+\.dc_weight", name):
        return name
    for owner, own in owners.items():
        for part, mine in PARTS.items():
            if re.fullmatch(owner + part, name):
                begin = re.match(owner, name)
                assert begin
                return begin.expand(own) + re.sub(part, mine, name[begin.end() :])
    return None


def _varnet(path: Path, weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Tell a VarNet from its parameters."""
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


def _unet(path: Path, weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Tell a U-Net from its parameters."""
    first = weights.get("cascades.0.down.0.0.weight")
    if first is None or first.ndim != 4:
        raise CheckpointError(f"{path}: holds no first convolution of a U-Net")
    return {
        "_target_": f"{PREFIX}UNet",
        "width": len(first),
        "levels": _levels(weights, "cascades.0"),
        "channels": first.shape[1],
        "consistency": False,
        "normalised": True,
    }


def _levels(weights: Mapping[str, Tensor], owner: str) -> int:
    return sum(
        re.fullmatch(rf"{owner}\.down\.\d+\.0\.weight", name) is not None for name in weights
    )


KINDS = (
    Kind("VarNet", FIRST, OWNERS, _varnet),
    Kind("Unet", FIRST_OF_UNET, OWNERS_OF_UNET, _unet),
)

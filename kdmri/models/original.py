"""Weights of the original KD-MRI project (github.com/Bala93/KD-MRI), read without running code."""

import argparse
import pathlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kdmri.errors import CheckpointError
from kdmri.models.stored import PREFIX, build_network

HARMLESS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    argparse.Namespace,
    pathlib.PosixPath,
    pathlib.PurePosixPath,
]
"""Classes beside tensors and plain values that the project's scripts left in their checkpoints."""

_NAME = re.compile(r"(?:module\.)?(?:cascade(\d+)\.)?conv(\d+)\.(weight|bias)")


@dataclass(frozen=True)
class Original:
    """A network of the original project in the suite's terms.

    Attributes:
        network: settings that rebuild it, see `build_network`.
        weights: float32, by the suite's names.
        epoch: of the weights, from 1; 0 where it is not told.
        loss: validation loss that chose them; NaN where it is not told.
        told: what the training's command line said, plain values.
    """

    network: dict[str, Any]
    weights: dict[str, Tensor]
    epoch: int
    loss: float
    description: dict[str, str]


def read_original(path: Path) -> Original:
    """Read `best_model.pt` or `model.pt` of the original project.

    DC-CNN (`cascade1.conv1.weight`, ...) and VDSR (`conv1.weight`, ...) of any size, also behind
    `torch.nn.DataParallel`. Only tensors, plain values, paths and an argparse namespace are
    unpickled; a file that names anything else is refused.

    Raises:
        CheckpointError: the file is missing, damaged, would run code, or holds another network.
    """
    try:
        with torch.serialization.safe_globals(HARMLESS):
            stored = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: there is no such checkpoint") from error
    except Exception as error:  # torch raises many kinds for damaged or unsafe files
        raise CheckpointError(
            f"{path}: not a checkpoint of the original project, damaged, or would run code "
            f"({str(error).splitlines()[0]})"
        ) from error
    if not isinstance(stored, Mapping) or not isinstance(stored.get("model"), Mapping):
        raise CheckpointError(f'{path}: holds no weights under "model"')
    weights = _by_place(path, stored["model"])
    settings = _settings(path, weights)
    renamed = {
        f"cascades.{cascade}.layers.{layer}.{part}": value
        for (cascade, layer, part), value in weights.items()
    }
    expected = build_network(settings).state_dict()
    if {k: v.shape for k, v in renamed.items()} != {k: v.shape for k, v in expected.items()}:
        raise CheckpointError(
            f"{path}: its convolutions do not make up a {settings['_target_']}; known are 3x3 "
            "convolutions of one width, 1 channel in and out"
        )
    options = stored.get("args")
    loss = stored.get("best_dev_loss", float("nan"))
    return Original(
        settings,
        renamed,
        epoch=int(stored.get("epoch", -1)) + 1,
        loss=float(loss),
        description={k: str(v) for k, v in vars(options).items()} if options is not None else {},
    )


Place = tuple[int, int, str]


def _by_place(path: Path, stored: Mapping[str, Any]) -> dict[Place, Tensor]:
    """Find cascade (from 0), convolution (from 0) and part of each parameter."""
    found: dict[Place, Tensor] = {}
    for name, value in stored.items():
        match = _NAME.fullmatch(str(name))
        if match is None or not isinstance(value, Tensor):
            raise CheckpointError(f"{path}: {name} is no parameter of a DC-CNN or VDSR of KD-MRI")
        if not value.isfinite().all():
            raise CheckpointError(f"{path}: {name} holds NaN or infinite values")
        cascade, layer, part = match.groups()
        found[int(cascade or 1) - 1, int(layer) - 1, part] = value.float()
    return found


def _settings(path: Path, weights: Mapping[Place, Tensor]) -> dict[str, Any]:
    """Tell the network from its parameters."""
    first = weights.get((0, 0, "weight"))
    if first is None or first.ndim != 4:
        raise CheckpointError(f"{path}: holds no first convolution")
    cascades = 1 + max(cascade for cascade, _, _ in weights)
    depth = 1 + max(layer for _, layer, _ in weights)
    shape = {"depth": depth, "width": int(first.shape[0]), "channels": int(first.shape[1])}
    if cascades == 1:
        return {"_target_": f"{PREFIX}VDSR", **shape, "consistency": False}
    return {"_target_": f"{PREFIX}DCCNN", "cascades": cascades, **shape, "residual": False}

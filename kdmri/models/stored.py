"""Networks in checkpoints: weights beside the plain settings that rebuild them."""

import importlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from kdmri.errors import CheckpointError, ConfigurationError
from kdmri.models.cascaded import CascadedNetwork

PREFIX = "kdmri.models."

FORMAT = 2
"""Version of `best_model.pt`: 1 held network and weights alone, 2 tells its task and data too."""

WHERE = "; networks are in best_model.pt"

SCALING = "the largest magnitude of each volume is 1"
"""How intensities were brought to what networks take."""

SCALING_OF_COILS = (
    "the largest root sum of squares of the coil images that the fully sampled centre of a "
    "volume's k-space gives is 1"
)
"""The same of several coils."""


def network_settings(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what builds a network (`_target_` and its arguments) of an architecture."""
    return {key: value for key, value in architecture.items() if key != "name"}


def build_network(settings: Mapping[str, Any]) -> CascadedNetwork:
    """Build a network of `kdmri.models` from plain settings.

    Args:
        settings: `_target_`, such as "kdmri.models.DCCNN", and the arguments of the class.

    Raises:
        ConfigurationError: the class is not one of `kdmri.models` (nothing else is ever called, so
            that a foreign checkpoint cannot run code), or its arguments are wrong.
    """
    arguments = dict(settings)
    target = str(arguments.pop("_target_", None))
    models = importlib.import_module("kdmri.models")
    name = target.removeprefix(PREFIX)
    network = getattr(models, name, None) if name in models.__all__ else None
    if not (target.startswith(PREFIX) and isinstance(network, type)):
        raise ConfigurationError(
            f"_target_={target}: networks are the classes named in __all__ of kdmri.models"
        )
    if not issubclass(network, CascadedNetwork):
        raise ConfigurationError(f"_target_={target}: does not derive from CascadedNetwork")
    known = inspect.signature(network).parameters
    if unknown := [key for key in arguments if key not in known]:
        raise ConfigurationError(
            f"{target}: takes {', '.join(known)}, not {', '.join(unknown)}; what an experiment "
            "sets for another architecture is dropped with ~teacher.KEY or ~student.KEY"
        )
    try:
        return network(**arguments)
    except (TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise ConfigurationError(f"{target}: {error}") from error


def load_network(
    path: str | Path, expected: Mapping[str, Any] | None = None, folded: bool = True
) -> CascadedNetwork:
    """Rebuild a network from a `best_model.pt`, on the CPU.

    Args:
        path: the checkpoint, a dictionary with `network` (settings) and `weights`.
        expected: settings that the network must have; None accepts any.
        folded: as it is used; False keeps what only training needs, see `kdmri.models.expansion`.

    Raises:
        CheckpointError: the file is missing, damaged, or holds another network.
    """
    return rebuild_network(path, read_checkpoint(path), expected, folded)


def rebuild_network(
    path: str | Path,
    stored: Mapping[str, Any],
    expected: Mapping[str, Any] | None = None,
    folded: bool = True,
) -> CascadedNetwork:
    """Rebuild a network from what `read_checkpoint` found at a path, see `load_network`.

    Its weights are the stored tensors themselves, so that they are in memory once; change neither
    while both are in use.
    """
    settings, weights = stored["network"], stored["weights"]
    if expected is not None and dict(expected) != dict(settings):
        raise CheckpointError(
            f"{path}: holds another network: {_difference(settings, expected)}; choose the "
            "architecture it was trained with, or train again under another name=..."
        )
    network = _build_empty(settings)
    try:
        network.load_state_dict(_fitting(weights, network.state_dict()), assign=True)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: weights do not fit {settings}: {error}") from error
    if not all(value.isfinite().all() for value in network.state_dict().values()):
        raise CheckpointError(f"{path}: weights are NaN or infinite; train it again")
    if folded:
        network.fold()
    return network


def _build_empty(settings: Mapping[str, Any]) -> CascadedNetwork:
    """Build a network for stored weights, whose own take neither memory nor random numbers.

    One that computes with tensors as it is built, or has some that are not stored, is built as any.
    """
    try:
        with torch.device("meta"), _NothingDrawn():
            network = build_network(settings)
    except ConfigurationError:
        return build_network(settings)
    stored = {id(value) for value in network.state_dict(keep_vars=True).values()}
    found = (value for module in network.modules() for value in _tensors(vars(module)))
    return network if all(id(value) in stored for value in found) else build_network(settings)


class _NothingDrawn(TorchFunctionMode):
    """Leaves tensors without memory as they are, where they would be filled from a normal law.

    For that, PyTorch (2.13) first loads its compiler, which takes more than a second.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        if func is Tensor.normal_ and args[0].is_meta:
            return args[0]
        return func(*args, **(kwargs or {}))


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in attributes of a module, those of the modules in it excepted."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _tensors(inner)
    elif isinstance(value, list | tuple | set):
        for inner in value:
            yield from _tensors(inner)


def _fitting(weights: Mapping[str, Any], own: Mapping[str, Tensor]) -> dict[str, Any]:
    """Give stored tensors the type and the layout that a network's own ones have.

    Those that are part of a larger memory get their own.
    """

    def fitting(value: Any, like: Tensor | None) -> Any:
        if not isinstance(value, Tensor) or like is None or value.shape != like.shape:
            return value  # which is refused
        same = value.dtype == like.dtype and value.stride() == like.stride()
        if same and value.untyped_storage().nbytes() == value.nbytes:
            return value
        return torch.empty_like(like, device="cpu").copy_(value)

    return {name: fitting(value, own.get(name)) for name, value in weights.items()}


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a `best_model.pt` as plain values and tensors, on the CPU.

    Raises:
        CheckpointError: the file is missing, damaged, would run code when opened, or holds no
            `network` (settings) and `weights`.
    """
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: there is no such checkpoint; train it first") from error
    except Exception as error:  # torch raises many kinds for damaged or unsafe files
        description = type(error).__name__
        what = "damaged, or no checkpoint of kdmri"
        raise CheckpointError(f"{path}: {what} ({description}){WHERE}") from error
    found = stored if isinstance(stored, dict) else {}
    for key in ("network", "weights"):
        if not isinstance(found.get(key), Mapping):
            what = "a training to go on with" if "state_dict" in found else "no checkpoint of kdmri"
            raise CheckpointError(f"{path}: is {what}, it has no {key}{WHERE}")
    return found


def _difference(stored: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """Name the settings that differ."""
    keys = [key for key in {**stored, **expected} if stored.get(key) != expected.get(key)]
    return ", ".join(f"{key} is {stored.get(key)}, not {expected.get(key)}" for key in keys)

"""The networks of a stage, with the weights that they begin with."""

import copy
from collections.abc import Mapping
from pathlib import Path

import torch
from omegaconf import DictConfig

from kdmri.errors import CheckpointError, ConfigurationError
from kdmri.models import CascadedNetwork, build_network, load_network, network_settings
from kdmri.models.shipped import checkpoint_path
from kdmri.models.stored import read_checkpoint


def begin(
    config: DictConfig, stage: str, needs: Mapping[str, Path]
) -> tuple[CascadedNetwork, CascadedNetwork | None]:
    """Build the network that a stage trains, and load the teacher that it learns from.

    Args:
        config: the stage's configuration, resolved.
        stage: its name.
        needs: checkpoints by role: "start", whose weights the network goes on from, and
            "teacher".

    Returns:
        The network, and the teacher, None where there is none.

    Raises:
        CheckpointError: one is missing, damaged, or of another network.
        ConfigurationError: a network cannot be built.
    """
    architecture = network_settings(config[config.stage.plan[stage].network])
    network = build_network(architecture).to(  # type: ignore[call-overload]
        memory_format=torch.channels_last
    )
    if config.get("initial_weights") and not needs:
        _begin_with(network, checkpoint_path(config.initial_weights))
    if "start" in needs:
        start = load_network(needs["start"], architecture, folded=False)
        network.load_state_dict(start.state_dict())
    if "teacher" not in needs:
        return network, None
    return network, load_network(needs["teacher"], network_settings(config.teacher))


def _begin_with(network: CascadedNetwork, path: Path) -> None:
    """Give a network the weights of a checkpoint, of one with weights of the same shapes.

    Raises:
        CheckpointError: there is none, or its weights have other names or shapes.
    """
    weights, own = read_checkpoint(path)["weights"], network.state_dict()
    if {k: v.shape for k, v in weights.items()} != {k: v.shape for k, v in own.items()}:
        raise CheckpointError(
            f"initial_weights={path}: its weights do not fit {type(network).__name__}; choose the "
            "architecture that they are of, or leave initial_weights out"
        )
    network.load_state_dict(weights)


def check_size(network: CascadedNetwork, size: tuple[int, int]) -> None:
    """See that slices (H, W) are large enough for a network; small ones are tried.

    Raises:
        ConfigurationError: it fails on them.
    """
    if min(size) >= network.smallest_size:
        return
    image, mask = torch.rand(1, network.channels, *size), torch.ones(1, 1, *size)
    try:
        copy.deepcopy(network)(image, mask.to(torch.complex64), mask)
    except (RuntimeError, ValueError) as error:
        raise ConfigurationError(
            f"{type(network).__name__}: fails on slices of {size} ({error}); "
            f"{network.smallest_size} pixels along each axis will do: give dataset.image_size, or "
            "another architecture"
        ) from error

"""Builds what the chosen stages will need, so that a mistake surfaces before any data is read."""

from collections.abc import Sequence

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from kdmri.errors import ConfigurationError
from kdmri.models import CascadedNetwork, Tap, build_network, network_settings


def rehearse(config: DictConfig) -> None:
    """Build networks, losses, optimiser and schedule of every chosen stage, on a tiny image.

    Raises:
        ConfigurationError: some part cannot be built, or student and teacher do not fit together.
    """
    instantiate(config.task.sampling)
    networks: dict[str, CascadedNetwork] = {}
    for name in config.stage.run:
        definition = config.stage.plan[name]
        for role in (definition.network, *(["teacher"] if "teacher" in definition.needs else [])):
            networks[role] = build_network(network_settings(config[role]))
        for role, network in networks.items():
            _rehearse_patches(config, role, network)
        _rehearse_optimiser(config, networks[definition.network])
        if "teacher" in definition.needs:
            _rehearse_distillation(config, definition.method, networks)


def tiny_features(
    network: CascadedNetwork, taps: Sequence[Tap] | None = None
) -> list[torch.Tensor]:
    """Tap a network's activations of a random image of 32x32, on the CPU."""
    image = torch.rand(1, network.channels, 32, 32)
    mask = torch.ones(1, 1, 32, 32)
    return network.features(image, mask.to(torch.complex64), mask, taps)[1]


def _rehearse_distillation(
    config: DictConfig, method: DictConfig, networks: dict[str, CascadedNetwork]
) -> None:
    student, teacher = networks["student"], networks["teacher"]
    taps = instantiate(method.taps).choose(student, teacher)
    features = tiny_features(student, taps[0]), tiny_features(teacher, taps[1])
    if not method.weights.attention:
        return
    loss = instantiate(method.distillation)
    loss.adapt(*([feature.shape[1] for feature in each] for each in features))
    loss(*features)
    if config.batch_size < loss.smallest_batch:
        raise ConfigurationError(
            f"batch_size={config.batch_size}: distillation={config.distillation.name} compares "
            f"the slices of a step with each other and needs at least {loss.smallest_batch}"
        )


def _rehearse_patches(config: DictConfig, role: str, network: CascadedNetwork) -> None:
    """See whether a network can do without the k-space of its image, where patches ask for it."""
    patch_size = OmegaConf.select(config, "task.patch_size")
    if patch_size is None:
        return
    mask = torch.ones(1, 1, 32, 32)
    try:
        network(torch.rand(1, network.channels, 16, 16), mask.to(torch.complex64), mask)
    except RuntimeError as error:
        raise ConfigurationError(
            f"task.patch_size={patch_size}: data consistency in {config[role].name} ({role}) needs "
            "whole slices; leave task.patch_size=null"
        ) from error


def _rehearse_optimiser(config: DictConfig, network: CascadedNetwork) -> None:
    try:
        optimizer = instantiate(config.optimizer)(network.parameters())
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"optimizer: {error}") from error
    try:
        instantiate(config.scheduler)(optimizer)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"scheduler: {error}") from error

"""Builds what the chosen stages will need, so that a mistake surfaces before any data is read."""

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from kdmri.errors import ConfigurationError
from kdmri.models import CascadedNetwork, build_network, network_settings


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
            loss = instantiate(definition.method.distillation)
            loss(tiny_features(networks["student"]), tiny_features(networks["teacher"]))


def tiny_features(network: CascadedNetwork) -> list[torch.Tensor]:
    """Tap a network's activations of a random image of 32x32, on the CPU."""
    image = torch.rand(1, network.channels, 32, 32)
    mask = torch.ones(1, 1, 32, 32)
    return network.features(image, mask.to(torch.complex64), mask)[1]


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

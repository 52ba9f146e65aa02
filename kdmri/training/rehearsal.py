"""Builds what the chosen stages will need, so that a mistake surfaces before any data is read."""

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from kdmri.errors import ConfigurationError
from kdmri.models import CascadedNetwork, build_network, network_settings
from kdmri.training.base import TrainingMethod
from kdmri.training.devices import world_size
from kdmri.training.distillation import Distillation
from kdmri.training.run import build_method


def rehearse(config: DictConfig) -> None:
    """Build networks, losses, optimiser and schedule of every chosen stage, on a tiny image.

    Raises:
        ConfigurationError: some part cannot be built, or student and teacher do not fit together.
    """
    instantiate(config.task.sampling)
    for name in config.stage.run:
        definition = config.stage.plan[name]
        roles = {definition.network, *(["teacher"] if "teacher" in definition.needs else [])}
        networks = {role: build_network(network_settings(config[role])) for role in roles}
        for role, network in networks.items():
            _rehearse_patches(config, role, network)
        teacher = networks["teacher"] if "teacher" in definition.needs else None
        method = build_method(config, name, networks[definition.network], teacher)
        if isinstance(method, Distillation) and method.weights.attention:
            _rehearse_distillation(config, method, definition.batch_size)
        _rehearse_optimiser(config, method)


def _rehearse_distillation(config: DictConfig, method: Distillation, batch_size: int) -> None:
    """See whether the loss can compare the activations, and a batch is large enough for it."""
    smallest, processes = method.distillation.smallest_batch, world_size(config.trainer)
    if smallest > 1 and batch_size // processes < smallest:
        shared = f" shared out among {processes} processes" if processes > 1 else ""
        raise ConfigurationError(
            f"batch_size={batch_size}{shared}: distillation={config.distillation.name} compares "
            f"the slices of a step on a device with each other and needs at least {smallest} there"
        )
    method.distillation(
        method.network.tiny_features(method.taps), method.teacher.tiny_features(method.teacher_taps)
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


def _rehearse_optimiser(config: DictConfig, method: TrainingMethod) -> None:
    try:
        optimizer = instantiate(config.optimizer)(method.network.parameters())
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"optimizer: {error}") from error
    try:
        instantiate(config.scheduler)(optimizer)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"scheduler: {error}") from error

"""Builds what the chosen stages will need, so that a mistake surfaces before any data is read."""

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from kdmri.config.identity import PUBLISHED_DISTILLATION
from kdmri.console import console
from kdmri.data.masks import DrawnLines, MaskFile
from kdmri.errors import ConfigurationError
from kdmri.models import CascadedNetwork, build_network, network_settings
from kdmri.physics import CentralKspace, Measurement
from kdmri.training.base import TrainingMethod
from kdmri.training.devices import world_size
from kdmri.training.distillation import Distillation
from kdmri.training.run import build_method
from kdmri.training.schedules import schedule_of

SIZE = (128, 128)
"""Of the image that networks are tried on where the configuration names no size."""


def preflight(config: DictConfig) -> None:
    """Build networks, losses, optimiser and schedule of every chosen stage, on a tiny image.

    Raises:
        ConfigurationError: some part cannot be built, or student and teacher do not fit together.
    """
    sampling = instantiate(config.task.sampling)
    if config.augmentation.masks > 1 and isinstance(sampling, CentralKspace):
        raise ConfigurationError(
            f"augmentation.masks={config.augmentation.masks}: {config.task.title} has no masks to "
            "draw from; give augmentation.masks=1"
        )
    _check_mask(config)
    losing: dict[str, CascadedNetwork] = {}
    for name in config.stage.run:
        definition = config.stage.plan[name]
        roles = {definition.network, *(["teacher"] if "teacher" in definition.needs else [])}
        networks = {role: build_network(network_settings(config[role])) for role in roles}
        for role, network in networks.items():
            check_network(config, role, network)
            check_patches(config, role, network)
        if config.intermediate_supervision and not networks[definition.network].output_taps:
            raise ConfigurationError(
                f"intermediate_supervision={config.intermediate_supervision}: "
                f"{config[definition.network].name} ({definition.network}) has one cascade, and no "
                "output before its last; give 0"
            )
        losing |= {config[role].name: n for role, n in networks.items() if n.loses_in_halves}
        teacher = networks["teacher"] if "teacher" in definition.needs else None
        method = build_method(config, name, networks[definition.network], teacher, {})
        if isinstance(method, Distillation):
            _check_weights(config, name, method)
            if method.weights.attention:
                check_distillation(config, method, definition.batch_size)
        _check_optimiser(config, name, method)
    _say_what_halves_lose(config, losing)


def _say_what_halves_lose(config: DictConfig, losing: dict[str, CascadedNetwork]) -> None:
    """Name the architectures that half precision is not good enough for, where it is chosen."""
    precision = str(config.trainer.get("precision", "32-true"))
    if losing and precision != "32-true":
        lost = next(iter(losing.values())).loses_in_halves
        console().print(
            f"trainer.precision={precision}: {', '.join(losing)} loses {lost} in half precision; "
            "trainer.precision=32-true loses nothing",
            highlight=False,
        )


def _check_mask(config: DictConfig) -> None:
    """See that the mask's rule is known, and that no word asks for one where a file holds it."""
    chosen = OmegaConf.select(config, "task.sampling.mask")
    mask = instantiate(chosen) if chosen is not None else None
    if mask is not None and not isinstance(mask, DrawnLines | MaskFile):
        raise ConfigurationError(
            f"dataset.mask: {type(mask).__name__} is not named in DrawnLines of "
            "kdmri/data/masks.py, and checkpoints may name no other rules"
        )
    if isinstance(mask, MaskFile):
        for word in _words():
            if word.startswith(("dataset.mask.", "mask_rule@dataset.mask=")):
                raise ConfigurationError(
                    f"{word}: has no effect, as {mask.path} holds the mask; leave it out, or move "
                    "the file away"
                )


def _check_weights(config: DictConfig, stage: str, method: Distillation) -> None:
    """See whether what is chosen of the loss has an effect on a stage at all."""
    weights, choice = method.weights, config.distillation.name
    words = [word for word in _words() if word.startswith("distillation.")]
    if choice != PUBLISHED_DISTILLATION:
        words.insert(0, f"distillation={choice}")
    if words and not _compares_activations(config, stage):
        raise ConfigurationError(
            f"{words[0]}: has no effect on the stage {stage}, in which activations weigh nothing "
            "(loss.attention=0); give loss=joint, or a weight"
        )
    if weights.fade is not None and not weights.reconstruction:
        raise ConfigurationError(
            f"loss.fade={weights.fade}: in the stage {stage} nothing would be learnt once the "
            "teacher has faded; give null"
        )
    if weights.fade is not None and not (weights.attention or weights.imitation):
        raise ConfigurationError(
            f"loss.fade={weights.fade}: in the stage {stage} nothing is learnt from the teacher "
            "that could fade; give null"
        )


def _compares_activations(config: DictConfig, stage: str) -> bool:
    """Whether activations are compared in a stage, or in one that its network went through."""
    definition = config.stage.plan[stage]
    weights, start = definition.method.get("weights"), definition.needs.get("start")
    if weights is not None and weights.attention:
        return True
    return start is not None and _compares_activations(config, start.partition("/")[0])


def _words() -> list[str]:
    """Return what the command line says."""
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []


def check_distillation(config: DictConfig, method: Distillation, batch_size: int) -> None:
    """See whether the loss can compare the activations, and a batch is large enough for it."""
    smallest, processes = method.distillation.smallest_batch, world_size(config.trainer)
    if smallest > 1 and batch_size // processes < smallest:
        shared = f" shared out among {processes} processes" if processes > 1 else ""
        raise ConfigurationError(
            f"batch_size={batch_size}{shared}: distillation={config.distillation.name} compares "
            f"the slices of a step on a device with each other and needs at least {smallest} there"
        )
    if smallest > 1 and processes > 1:
        console().print(
            f"distillation={config.distillation.name}: compares the slices of a step on each "
            f"device with each other, {batch_size / processes:g} of {batch_size}: with another "
            "number of devices it is another loss",
            highlight=False,
        )
    student = method.network.tiny_features(method.taps)
    teacher = method.teacher.tiny_features(method.teacher_taps)
    value: object = method.distillation(
        *([torch.cat([f] * smallest) for f in features] for features in (student, teacher))
    )
    if not (isinstance(value, Tensor) and value.ndim == 0 and value.requires_grad):
        found = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else value
        raise ConfigurationError(
            f"distillation={config.distillation.name}: the loss gives {found}; it must be one "
            "number that depends on the student's activations, a tensor of shape ()"
        )


@torch.no_grad()
def check_network(config: DictConfig, role: str, network: CascadedNetwork) -> None:
    """See whether a network gives images of the size it gets, by the steps that it promises."""
    size = config.dataset.image_size or SIZE
    image, mask = torch.rand(1, network.channels, *size), torch.ones(1, 1, *size)
    kspace = mask.to(torch.complex64)
    name = f"{config[role].name} ({role})"
    try:
        output = network(image, kspace, mask)
    except (RuntimeError, ValueError) as error:
        raise ConfigurationError(f"{name}: fails on an image of {tuple(size)}: {error}") from error
    if output.shape != image.shape:
        found, given = tuple(output.shape), tuple(image.shape)
        raise ConfigurationError(f"{name}: gives {found} for an image of {given}")
    state, known = network.begin(image, Measurement(kspace, mask))
    for number, cascade in enumerate(network.cascades):
        steps = len(list(cascade.steps(state, known)))
        if steps != cascade.convolutions + 1:
            raise ConfigurationError(
                f"{name}: cascade {number} yields {steps} steps; convolutions="
                f"{cascade.convolutions} promises {cascade.convolutions + 1}, its output included"
            )


def check_patches(config: DictConfig, role: str, network: CascadedNetwork) -> None:
    """See whether a network can do without the k-space of its image, where patches ask for it."""
    patch_size = OmegaConf.select(config, "task.patch_size")
    if patch_size is None:
        return
    name, image = f"{config[role].name} ({role})", torch.rand(1, network.channels, *patch_size)
    try:
        own = torch.ones(1, 1, *patch_size)
        network(image, own.to(torch.complex64), own)
    except (RuntimeError, ValueError) as error:
        raise ConfigurationError(
            f"task.patch_size={patch_size}: {name} fails on such patches: {error}"
        ) from error
    whole = torch.ones(1, 1, *(2 * size for size in patch_size))
    try:
        network(image, whole.to(torch.complex64), whole)
    except RuntimeError as error:
        raise ConfigurationError(
            f"task.patch_size={patch_size}: data consistency in {name} needs whole slices; leave "
            "task.patch_size=null"
        ) from error


def _check_optimiser(config: DictConfig, stage: str, method: TrainingMethod) -> None:
    try:
        optimizer = instantiate(config.optimizer)(method.network.parameters())
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"optimizer: {error}") from error
    try:
        instantiate(schedule_of(config, stage))(optimizer)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"scheduler, stage {stage}: {error}") from error

"""Run identity: which settings make another experiment, and the directory name that follows.

The shipped choices have the published path. A setting that makes another network or another
experiment and differs from the shipped value is appended to the name of each stage that depends on
it; where, how fast and how long a stage is trained is compared when a directory is found again, but
names nothing.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from kdmri.data.masks import mask_path
from kdmri.files import sha256

BEST = "best_model.pt"
"""The network of a stage, in its directory."""

EXPERIMENT = (
    "seed",
    "batch_size",
    "optimizer",
    "scheduler",
    "weight_averaging",
    "intermediate_supervision",
    "image_loss",
    "augmentation",
    "task",
)
"""Nodes that every stage depends on; the task and the stage name others."""

CIRCUMSTANCES = (
    "dataset",
    "trainer.precision",
    "trainer.gradient_clip_val",
    "trainer.gradient_clip_algorithm",
    "trainer.check_val_every_n_epoch",
    "trainer.accumulate_grad_batches",
    "trainer.limit_train_batches",
    "trainer.limit_val_batches",
    "trainer.overfit_batches",
    "trainer.max_steps",
    "callbacks.early_stopping",
    "initial_weights",
)
"""Nodes that are compared, but name nothing; the length of a stage joins them."""

LEFT_OUT = (
    "task.depends",
    "task.folder",
    "task.title",
    "task.sampling",
    "dataset.mask",
    "dataset.title",
    "dataset.licence",
    "dataset.source",
    "dataset.build.source",
    "dataset.suffix",
    "dataset.seen",
    "dataset.prepared_size",
    "dataset.baselines",
)
"""What is already part of the path, of another node, or says only where something lies."""

PATH_CHOICES = ("dataset", "acceleration", "scale", "task", "distillation", "stage", "experiment")
"""Groups whose choice is shipped with values of its own: it is in the path, or names itself."""

PUBLISHED_DISTILLATION = "attention_imitation"
"""Stages of this choice of the group distillation do not name it, as in the original project."""

LENGTH = "${trainer.max_epochs}"
"""Settings that are given as this follow the length of a stage, and say nothing else."""

LONGEST_SUFFIX = 80

MASK_DIGEST = "mask_file_digest"
"""Key of the circumstances: digest of the mask file in use."""


class Identity(NamedTuple):
    """What tells a stage from other stages of its name.

    Attributes:
        suffix: of its directory.
        experiment: flat settings that make it another experiment.
        circumstances: flat settings that must be the same to go on or to be reused.
        shipped: both as they are shipped.
    """

    suffix: str
    experiment: dict[str, Any]
    circumstances: dict[str, Any]
    shipped: dict[str, Any]


def identify(
    config: DictConfig, shipped: DictConfig, stage: DictConfig, like: DictConfig
) -> Identity:
    """Find out which settings a stage depends on, and how they differ from the shipped ones.

    Args:
        config: that the stage is trained under.
        shipped: the same choices without any other override.
        stage: its definition.
        like: its definition as it is shipped.
    """
    nodes = depends_on(config, stage)
    return Identity(
        suffix=suffix(config, shipped, nodes),
        experiment=settings(config, nodes),
        circumstances={
            **settings(config, CIRCUMSTANCES),
            **own_settings(stage),
            "max_epochs": stage.max_epochs,
            MASK_DIGEST: mask_file_digest(config),
        },
        shipped={**settings(shipped, (*nodes, *CIRCUMSTANCES)), **own_settings(like)},
    )


def depends_on(config: DictConfig, stage: DictConfig) -> tuple[str, ...]:
    """Return the nodes of a configuration that make a stage another experiment."""
    return (*EXPERIMENT, *config.task.depends, *stage.depends)


def settings(config: DictConfig, nodes: Iterable[str]) -> dict[str, Any]:
    """Flatten some nodes of a configuration.

    Returns:
        Plain values by dotted key, without keys below `LEFT_OUT` (unless asked for as a node) and
        those that follow the length of training.
    """
    flat: dict[str, Any] = {}
    for node in nodes:
        value = raw = OmegaConf.select(config, node)
        if OmegaConf.is_config(value):
            value, raw = (OmegaConf.to_container(value, resolve=r) for r in (True, False))
        left_out = [key for key in LEFT_OUT if key != node]
        found = _flatten(node, value, left_out)
        as_given = _flatten(node, raw, left_out)
        flat.update({key: v for key, v in found.items() if as_given.get(key) != LENGTH})
    return flat


def own_settings(definition: DictConfig) -> dict[str, Any]:
    """Flatten what a stage's definition says of its training itself, not by naming another node.

    What it takes from another stage's definition (`${stage.plan...}`) is its own.
    """
    raw, resolved = (OmegaConf.to_container(definition, resolve=r) for r in (False, True))
    assert isinstance(raw, dict)
    assert isinstance(resolved, dict)
    description = ("monitor", "network")
    own = {}
    for key, value in {**raw["method"], **{key: raw[key] for key in description}}.items():
        given = str(value)
        if not given.startswith("${") or given.startswith("${stage.plan."):
            found = resolved[key] if key in description else resolved["method"][key]
            own.update(_flatten(f"stage.{key}", found, []))
    return own


def companion_file(name: str) -> str:
    """Name the file of a network that was trained beside a stage's own."""
    return f"best_{name}.pt"


def mask_file_digest(config: DictConfig) -> str | None:
    """Digest of the mask file in use, None where a rule draws the mask."""
    mask = OmegaConf.select(config, "task.sampling.mask")
    if mask is None:
        return None
    path = Path(mask.file) if mask.file else mask_path(mask.folder, mask.acceleration)
    return file_digest(path) if path.is_file() else None


def file_digest(path: Path) -> str:
    """SHA-256 of a file, shortened to 16 digits."""
    return sha256(path)[:16]


def comparison_name(directory: str, name: str, stage: str) -> str:
    """Name the directory of a comparison whose last stage lies in another one.

    Args:
        directory: of the last stage, `{name}_{stage}{suffix}` or `{name}_{loss}_{stage}{suffix}`.
        name: of the experiment.
        stage: of the last stage.
    """
    rest = directory.removeprefix(name)
    return directory.removesuffix(rest) + rest.replace(f"_{stage}", "_comparison", 1)


def suffix(config: DictConfig, shipped: DictConfig, nodes: Iterable[str]) -> str:
    """Name what differs from the shipped values.

    Args:
        config: the configuration in use.
        shipped: the same choices without any other override.
        nodes: what the stage depends on.

    Returns:
        "" or such as "_seed-1_teacher-d7c5"; a hash where that gets long, the seed beside it, since
        tables average over what has one name but for the seed.
    """
    nodes = tuple(nodes)
    used, default = settings(config, nodes), settings(shipped, nodes)
    differing = {key: value for key, value in used.items() if default.get(key) != value}
    differing |= {key: None for key in default if key not in used}
    targets = {key for key in differing if key.endswith("._target_")}
    description = tuple(key.removesuffix("_target_") for key in targets)
    differing = {
        key: value
        for key, value in differing.items()
        if key in used or key in targets or not f"{key}.".startswith(description)
    }
    for key in [key for key in differing if key.endswith(".name")]:
        node = key.removesuffix(".name")
        differing = {k: v for k, v in differing.items() if k not in _told_by_name(config, node)}
    pieces = {key: f"_{_piece(key, value)}" for key, value in sorted(differing.items())}
    seedless = "".join(piece for key, piece in pieces.items() if key != "seed")
    if len(seedless) <= LONGEST_SUFFIX:
        return "".join(pieces.values())
    return f"_{hashlib.sha256(seedless.encode()).hexdigest()[:10]}{pieces.get('seed', '')}"


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Say in words what differs between two flat mappings."""
    return [
        f"{key} was {found.get(key)}, now {wanted.get(key)}"
        for key in {**found, **wanted}
        if found.get(key) != wanted.get(key) and not _is_file_of_one_name(key, found, wanted)
    ]


def _is_file_of_one_name(key: str, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether it is the mask file, which its digest compares, under the same name elsewhere."""
    names = {Path(str(flat.get(key))).stem for flat in (found, wanted)}
    return key == "task.mask_file" and len(names) == 1


def _flatten(key: str, value: Any, left_out: list[str]) -> dict[str, Any]:
    if key in left_out:
        return {}
    if not isinstance(value, dict):
        return {key: value}
    flat: dict[str, Any] = {}
    for name, item in value.items():
        flat.update(_flatten(f"{key}.{name}", item, left_out))
    return flat


def _told_by_name(config: DictConfig, node: str) -> set[str]:
    """Keys that a node's name repeats: `d${.depth}c${.cascades}` tells depth and cascades."""
    raw = OmegaConf.to_container(OmegaConf.select(config, node), resolve=False)
    assert isinstance(raw, dict)
    description = re.findall(r"\$\{\.(\w+)\}", str(raw["name"]))
    return {f"{node}.{name}" for name in (*description, "_target_")}


def _piece(key: str, value: Any) -> str:
    """One readable, path-safe part of a suffix."""
    label = key.removesuffix(".name").removesuffix("._target_").removeprefix("task.")
    text = Path(value).stem if key == "task.mask_file" else str(value)
    if key.endswith("._target_"):
        text = text.rpartition(".")[2]
    if isinstance(value, list):
        text = "-".join(map(str, value))
    return re.sub(r"[^\w.+=-]+", "-", f"{label}-{text}").strip("-")

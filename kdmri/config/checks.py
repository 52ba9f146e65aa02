"""The composed configuration: checked before any data is read, and what it is compared with."""

import difflib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from kdmri.config.identity import PATH_CHOICES
from kdmri.config.values import (
    BETWEEN_0_AND_1,
    COUNT,
    TEXT,
    Kind,
    Kinds,
    is_number,
    number,
    one_of,
    or_null,
    size,
    whole,
)
from kdmri.errors import ConfigurationError

SETTINGS = Kind(
    OmegaConf.is_dict,
    "settings; another network is architecture@{key}=NAME, of configs/architecture",
)

CHECKS: Kinds = {
    "teacher": SETTINGS,
    "student": SETTINGS,
    "seed": whole(0),
    "batch_size": COUNT,
    "distilled_batch_size": COUNT,
    "feature_share": BETWEEN_0_AND_1,
    "optimizer.lr": number(above=0),
    "weight_averaging": or_null(BETWEEN_0_AND_1),
    "skip_nonfinite": whole(0),
    "initial_weights": or_null(TEXT),
    "checkpoint_minutes": or_null(number("a number of minutes", least=0)),
    "augmentation.transform": Kind(
        lambda v: v is None or OmegaConf.is_dict(v),
        "null or settings with a _target_, as configs/augmentation/affine.yaml has them",
    ),
    "intermediate_supervision": number(least=0),
    **{f"image_loss.{term}": number(least=0) for term in ("l1", "ssim")},
    "image_loss.magnitude": one_of(True, False),
    "augmentation.masks": COUNT,
    "num_workers": whole(0),
    "capture": one_of(True, False),
    "cache_gib": number("a number of GiB", least=0),
    "teacher_cache_gib": number("a number of GiB", least=0),
    "acceleration.factor": number(least=1),
    "stage.run": Kind(
        lambda v: OmegaConf.is_list(v) and len(v) > 0,
        "a list of stages, such as [teacher,feature,kd]",
    ),
    "stage.teacher_factor": number(least=1),
    "teacher_epochs": COUNT,
    **{f"paths.{name}": TEXT for name in ("datasets", "experiments", "masks")},
    "task.mask_file": or_null(TEXT),
    "dataset.source": or_null(TEXT),
    "dataset.name": TEXT,
    "dataset.channels": Kind(one_of(1, 2).accepts, "1 (magnitude) or 2 (complex)"),
    "dataset.image_size": or_null(size(7, ", at least 7 each, the window of SSIM")),
    "dataset.mask.axis": one_of(0, 1),
    "dataset.mask.centre_lines": whole(0),
    "dataset.mask.centre_fraction": Kind(
        lambda v: is_number(v) and 0 <= v <= 1, "a number between 0 and 1"
    ),
    **{f"loss.{term}": number(least=0) for term in ("reconstruction", "imitation", "attention")},
    "loss.fade": or_null(number(above=0, most=1)),
    "evaluation.baselines": Kind(
        lambda v: OmegaConf.is_list(v) and all(name in ("cg_sense", "bart_l1") for name in v),
        "a list of cg_sense and bart_l1",
    ),
    "evaluation.batch_size": COUNT,
    "evaluation.latency": whole(0),
    "evaluation.block": COUNT,
    "evaluation.bootstrap": COUNT,
    "trainer.max_epochs": COUNT,
    "trainer.precision": one_of("32-true", "bf16-mixed", "16-mixed"),
    "trainer.check_val_every_n_epoch": COUNT,
    "trainer.fast_dev_run": Kind(
        lambda v: v is False or v is None or v == 0,
        "false; for a trial give +trainer.limit_train_batches=2 trainer.max_epochs=1 name=trial",
    ),
    "trainer.barebones": Kind(
        lambda v: v is False or v is None, "false; nothing would be logged, shown or kept"
    ),
    "trainer.val_check_interval": Kind(
        lambda v: v is None or (isinstance(v, float) and v == 1),
        "1.0 or null: weights are measured at the ends of epochs, where they are kept; "
        "+trainer.check_val_every_n_epoch=2 leaves every other one out",
    ),
    "trainer.limit_val_batches": Kind(
        number(above=0).accepts,
        "a number above 0; the best weights are chosen on selection slices",
    ),
}
"""Which values `train.py` and `evaluate.py` take."""


NAMED = {"teacher": "architecture", "student": "architecture", "distillation": "distillation"}
"""Which choices need a `name`, and of what group they are."""

_PACKAGE = Path(__file__).parents[1]
CONFIGS = next(p for p in (_PACKAGE / "configs", _PACKAGE.parent / "configs") if p.is_dir())
"""The files of all choices: in the package where it was installed, beside it in a clone."""


def register_resolvers() -> None:
    """Let configurations compute epochs and count GPUs.

    `${sum:1,2}`; `${product:2,3}`; `${feature_epochs:0.5,40}`, `${kd_epochs:0.5,40}`: of twice 40
    epochs, those of the `feature` stage by its share, at least one, and the others;
    `${jobs_at_once:2}`: jobs of so many devices for which this machine has GPUs, else 2;
    `${gpus_for:auto,2}`: GPUs that so many devices of an accelerator are, null for the CPU, in a
    launcher's words.
    """
    resolvers: dict[str, Callable[..., Any]] = {
        "sum": lambda *numbers: sum(numbers),
        "product": lambda *numbers: math.prod(numbers),
        "feature_epochs": _feature_epochs,
        "kd_epochs": lambda share, epochs: 2 * epochs - _feature_epochs(share, epochs),
        "jobs_at_once": _jobs_at_once,
        "gpus_for": lambda accelerator, devices: None if accelerator == "cpu" else devices,
    }
    for name, resolver in resolvers.items():
        OmegaConf.register_new_resolver(name, resolver, replace=True)


def _jobs_at_once(devices: str) -> int:
    import torch  # not needed by commands that read results

    return torch.cuda.device_count() // int(devices) or 2


def _feature_epochs(share: float, epochs: int) -> int:
    return min(max(1, round(share * 2 * epochs)), 2 * epochs - 1)


def check(config: DictConfig) -> None:
    """Check values against one another, once `values.check` has seen each.

    Raises:
        ConfigurationError: names the key, what was given and what is allowed.
    """
    for place, group in NAMED.items():
        if "name" not in config[place]:
            raise ConfigurationError(
                f"{place}.name: is not there; tables and messages need it: give the file in "
                f"configs/{group} a line such as name: mine"
            )
    try:
        OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        key = error.full_key
        raise ConfigurationError(f"{key}: is needed; give {key}=...") from error
    except OmegaConfBaseException as error:
        reason = str(error.msg).partition("\n")[0]
        raise ConfigurationError(f"{error.full_key}: {reason}") from error
    loss = config.loss
    if not (loss.reconstruction or loss.imitation or loss.attention):
        raise ConfigurationError("loss: all weights are 0, so nothing would be learnt")
    if not (config.image_loss.l1 or config.image_loss.ssim):
        raise ConfigurationError("image_loss: l1 and ssim are both 0, so nothing would be learnt")
    if loss.get("fade") is not None and not loss.reconstruction:
        raise ConfigurationError(
            f"loss.fade={loss.fade}: nothing would be learnt once the teacher has faded; "
            "loss.reconstruction must be above 0"
        )
    factor = config.stage.get("teacher_factor", 0)
    if factor >= config.acceleration.factor:
        raise ConfigurationError(
            f"stage.teacher_factor={factor}: its teacher must see more lines than the student, "
            f"which sees those of {config.acceleration.name}; give a smaller number"
        )
    if config.dataset.get("sensitivities") is not None:
        _check_coils(config)
    _check_lengths(config)


def _check_coils(config: DictConfig) -> None:
    """See that nothing is asked for that k-space of several coils does not go with."""
    name = config.dataset.name
    for key, wanted, reason in (
        ("dataset.channels", 2, "the coils' combined image is complex"),
        ("dataset.image_size", None, "masks belong on the grid that was acquired"),
        ("task.noise", 0, "k-space has its own noise; augmentation=coils adds more"),
        ("task.name", "reconstruction", "no other task takes k-space of several coils"),
    ):
        given = OmegaConf.select(config, key)
        if given != wanted:
            raise ConfigurationError(
                f"{key}={given}: dataset.name={name} is of several coils (dataset.sensitivities), "
                f"and {reason}; give {key}={'null' if wanted is None else wanted}"
            )


def _check_lengths(config: DictConfig) -> None:
    """See that each chosen stage is measured at least once, or it would have no best weights."""
    every = config.trainer.get("check_val_every_n_epoch") or 1
    for name in [name for name in config.stage.run if name in config.stage.plan]:
        epochs = config.stage.plan[name].max_epochs
        if epochs < every:
            raise ConfigurationError(
                f"trainer.check_val_every_n_epoch={every}: stage {name} has {epochs} epochs and "
                "would never be measured"
            )


def shipped(config: DictConfig) -> DictConfig:
    """Compose this run's choices of `PATH_CHOICES` without any other override.

    Raises:
        ConfigurationError: `config` has a group of settings that they do not have.
    """
    runtime = HydraConfig.get()
    words = {word.partition("=")[0] for word in runtime.overrides.task}
    if words <= set(PATH_CHOICES):  # as it is composed already, which takes a quarter of a second
        return config
    choices = [
        f"{group}={choice}"
        for group, choice in runtime.runtime.choices.items()
        if group in PATH_CHOICES and choice is not None
    ]
    assert runtime.job.config_name is not None
    name = f"dataset.name={config.dataset.name}"
    found = compose(runtime.job.config_name, overrides=[*choices, name])
    for key in map(str, config):
        if key not in found:
            close = difflib.get_close_matches(key, map(str, found), n=1)
            meant = f"; did you mean {close[0]}?" if close else ""
            raise ConfigurationError(f"+{key}: there are no such settings{meant}")
    _check_sampling(config, found)
    return found


def _check_sampling(config: DictConfig, shipped: DictConfig) -> None:
    """See that what makes inputs was changed where it is compared and named, not behind that."""
    given, known = (
        OmegaConf.to_container(c.task.sampling, resolve=False) for c in (config, shipped)
    )
    assert isinstance(given, dict)
    assert isinstance(known, dict)
    for key in {**known, **given}:
        if given.get(key) != known.get(key):
            raise ConfigurationError(
                f"task.sampling.{key}: follows other settings; change those that `kdmri train "
                "--help` shows under task and dataset.mask, or add a file to configs/task"
            )

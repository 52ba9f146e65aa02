"""What `kdmri import` does once its words were read."""

import json
import shlex
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from kdmri.console import console
from kdmri.data.masks import MaskFile, mask_path
from kdmri.errors import CheckpointError, ConfigurationError, DataError, StageConflictError
from kdmri.experiment.claims import claim
from kdmri.experiment.plan import Plan, make_plan
from kdmri.experiment.stages import RECORD, Stage
from kdmri.files import write_text
from kdmri.launch.command import command_line
from kdmri.models.fastmri_weights import read_fastmri
from kdmri.models.original import Original, read_original
from kdmri.models.stored import network_settings, write_checkpoint
from kdmri.training.facts import checkpoint_facts

READERS = {"original": read_original, "fastmri": read_fastmri}
"""What reads a checkpoint, by the choice of `format`."""


def take_over(config: DictConfig) -> None:
    """Write the weights as a finished stage, which train.py goes on from."""
    if config.checkpoint is None:
        raise ConfigurationError("checkpoint: name the file, checkpoint=.../best_model.pt")
    path, choice = Path(config.checkpoint), HydraConfig.get().runtime.choices["format"]
    if choice not in READERS:
        raise ConfigurationError(f"format={choice}: networks are read of {', '.join(READERS)}")
    config = OmegaConf.masked_copy(config, [str(key) for key in config if key != "format"])
    original = READERS[choice](path)
    stage = _stage(make_plan(config), original, path)
    size = _slice_size(config)
    with claim(stage.directory, stage.name, wait=False):
        if not config.overwrite and (stage.record or stage.checkpoint.exists()):
            raise StageConflictError(
                f"{stage.directory}: holds a stage already; choose another name=..., or replace it "
                "with overwrite=true"
            )
        _write(config, stage, original, size)
    console().print(f"{path}: now stage {stage.name}, {stage.checkpoint}", highlight=False)
    console().print(_sentence(original), highlight=False, markup=False, soft_wrap=True)


def _stage(plan: Plan, original: Original, path: Path) -> Stage:
    """Choose the stage that the network becomes; raises CheckpointError where it does not fit."""
    config, stages = plan.config, plan.stages
    networks = {
        role: OmegaConf.to_container(OmegaConf.create(network_settings(config[role])))
        for role in ("teacher", "student")
    }
    name = config.into or ("teacher" if original.network == networks["teacher"] else "student")
    if name not in stages:
        raise ConfigurationError(f"into={name}: known are {', '.join(stages)}")
    role = stages[name].network
    if original.network != networks[role]:
        raise CheckpointError(
            f"{path}: is {original.network}, the {role} of stage {name} is {networks[role]}; "
            f"choose the same with task=... or architecture@{role}=..."
        )
    return stages[name]


def _slice_size(config: DictConfig) -> tuple[int, int]:
    """Tell the size (H, W) of the slices that the network was trained on.

    Raises:
        ConfigurationError: nothing tells it.
        DataError: the mask file in use is none, or of another size.
    """
    told = config.slice_size or config.dataset.image_size
    mask = OmegaConf.select(config, "task.sampling.mask")
    file = _mask_file(mask) if mask is not None else None
    size = told or (file and file.size) or config.dataset.prepared_size
    if size is None:
        lines = f" (mask {file.path} is one of lines, which does not tell)" if file else ""
        raise ConfigurationError(
            f"slice_size: say how large the training's slices were, slice_size=[H,W]{lines}"
        )
    height, width = int(size[0]), int(size[1])
    if file is not None:
        try:
            file((height, width))
        except DataError as error:
            if told is None:
                raise
            key = "slice_size" if config.slice_size else "dataset.image_size"
            raise DataError(f"{error}; or correct {key}={list(told)}") from None
    return height, width


def _mask_file(mask: DictConfig) -> MaskFile | None:
    """Return the mask file that training would use, None where the rule draws."""
    if mask.file:
        return MaskFile(Path(mask.file), option="task.mask_file")
    path = mask_path(mask.folder, mask.acceleration)
    return MaskFile(path) if path.is_file() else None


def _write(config: DictConfig, stage: Stage, original: Original, size: tuple[int, int]) -> None:
    best = {
        "score": original.loss,
        "epoch": original.epoch,
        "metrics": {"val/l1": original.loss, "val/psnr": float("nan")},  # was not measured
    }
    kept = {
        **checkpoint_facts(config, stage.name, size),
        "network": original.network,
        "weights": original.weights,
        **best,
    }
    write_checkpoint(stage.checkpoint, kept)
    write_text(stage.directory / "config.yaml", OmegaConf.to_yaml(config, resolve=True))
    record = {
        "stage": stage.name,
        "experiment": stage.experiment,
        "circumstances": stage.circumstances,
        "command": shlex.join(command_line("import")),
        "original": original.description,
        "parameters": _parameters(original),
        "finished": True,
        "best": best,
        "seconds": 0.0,
    }
    write_text(stage.directory / RECORD, json.dumps(record, indent=2))


def _parameters(original: Original) -> int:
    return sum(value.numel() for value in original.weights.values())


def _sentence(original: Original) -> str:
    kind = original.network["_target_"].rpartition(".")[2]
    description = ", ".join(f"{k} {v}" for k, v in original.description.items()) or "nothing"
    size = f"{_parameters(original):,} parameters"
    return f"{kind}, {size}, epoch {original.epoch}; its training was told: {description}"

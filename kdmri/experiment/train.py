"""Trains the stages that a command asks for, those that are not done."""

import shlex
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from kdmri.config import identity
from kdmri.console import console
from kdmri.errors import CheckpointError, StageConflictError
from kdmri.experiment.claims import CLAIM, claim, is_claimed
from kdmri.experiment.evaluate import check_slices
from kdmri.experiment.plan import Plan
from kdmri.experiment.stages import Need, Stage
from kdmri.files import clear_half_written
from kdmri.launch.command import Command
from kdmri.training.devices import advise, check_accelerator
from kdmri.training.preflight import preflight
from kdmri.training.run import Job, launch
from kdmri.training.schedules import pace, schedule_of


def train_stages(plan: Plan, command: list[str]) -> dict[str, Any]:
    """Train the stages that a plan asks for and that are not done.

    Args:
        plan: what to do.
        command: the words of the command line, kept in each stage's record.

    Returns:
        The best figures (epoch, score, metrics) of the last stage.

    Raises:
        ConfigurationError: a part of a stage cannot be built; nothing was trained.
        StageConflictError: a directory holds a stage with other settings; nothing was trained.
        CheckpointError: a stage needs another that is neither done nor part of this run.
    """
    config, chosen = plan.config, plan.asked
    preflight(config)
    check_slices(config)
    for stage in chosen:
        for need in stage.needs.values():
            if need.stage not in chosen:
                _find(need, stage, config.wait, command)
        if not config.overwrite:
            stage.check()
    if config.overwrite or not all(stage.finished for stage in chosen):
        check_accelerator(config.trainer)
        advise(config.trainer)
    for stage in chosen:
        with claim(stage.directory, stage.name, config.wait):
            if config.overwrite and not _begun_by(Command.this(), stage):
                _clear(stage.directory)
            stage.check()  # again: another process may have been here meanwhile
            stage.check_needs()
            if stage.finished:
                console().print(f"{stage.name}: done before, in {stage.directory}", highlight=False)
            else:
                clear_half_written(stage.directory)
                launch(_job(stage, command))
    return chosen[-1].record["best"]


def _find(need: Need, stage: Stage, wait: bool, command: list[str]) -> None:
    """See that what a stage needs of one that is not asked for is there, and of the same data."""
    needed = need.stage
    if wait and not needed.finished and is_claimed(needed.directory):
        with claim(needed.directory, needed.name, wait=True):
            pass
    if not needed.finished:
        raise CheckpointError(
            f"stage {stage.name} needs {need.checkpoint}, which is not there; train it first: "
            f"{_command_of(command, needed.name)}"
        )
    needed.check_data()
    if needed.differences:
        description = f"{stage.name}: its {needed.name} was trained with other settings"
        console().print(f"{description}: {'; '.join(needed.differences)}", highlight=False)


def _begun_by(command: Command, stage: Stage) -> bool:
    """Whether it is what this command itself began, in another cell of its sweep or turn."""
    try:
        begun = stage.record.get("begun")
        stage.check_needs()
    except (CheckpointError, StageConflictError):
        return False
    return begun is not None and command.is_same(Command(**begun)) and not stage.differences


def _clear(directory: Path) -> None:
    """Remove all that a stage left, but for the claim on it."""
    for path in directory.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif not path.name.startswith(CLAIM):
            path.unlink()


def _job(stage: Stage, command: list[str]) -> Job:
    decided: dict[str, Any] = {"scheduler_every": pace(stage.config, stage.name)}
    teacher = stage.needs.get("teacher")
    if teacher and teacher.stage.definition.under:  # sees what it was trained on
        decided["teacher_task"] = _resolved(teacher.stage.config.task.sampling)
    needs = {role: need.checkpoint for role, need in stage.needs.items()}
    record = {
        "stage": stage.name,
        "experiment": stage.experiment,
        "circumstances": stage.circumstances,
        "needs": {role: identity.file_digest(path) for role, path in needs.items()},
        "command": shlex.join(command),
        "begun": asdict(Command.this()),
        "finished": False,
    }
    # Its length is that of the stage, which nothing tells any more once settings are resolved.
    config = _resolved(stage.config) | {"scheduler": schedule_of(stage.config, stage.name)}
    return Job(OmegaConf.create(config), stage.name, stage.directory, needs, record, decided)


def _resolved(config: DictConfig) -> dict[str, Any]:
    """Return a configuration as plain values, with no interpolation left."""
    return cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))


def _command_of(command: list[str], stage: str) -> str:
    """Turn this run's command into the one that trains another stage."""
    words = [word for word in command if not word.startswith("stage.run=")]
    return shlex.join([*words, f"stage.run=[{stage}]"])

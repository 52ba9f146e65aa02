"""What a command is asked to do: every stage of a configuration, checked and laid out."""

from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from kdmri.config import identity
from kdmri.config.checks import check, shipped
from kdmri.errors import ConfigurationError
from kdmri.experiment.stages import ROLES, Need, Stage


@dataclass(frozen=True)
class Plan:
    """A configuration that was checked, and its stages.

    Attributes:
        config: the configuration in use.
        stages: every stage that it defines, by name, each after those that it needs.
    """

    config: DictConfig
    stages: Mapping[str, Stage]

    @property
    def asked(self) -> list[Stage]:
        """The stages that `stage.run` names, in its order."""
        return [self.stages[name] for name in self.config.stage.run]


def make_plan(config: DictConfig) -> Plan:
    """Check a configuration and lay out its stages; no data is read.

    Raises:
        ConfigurationError: a value is not allowed, or stages do not fit together.
    """
    check(config)
    return Plan(config, lay_out(config, shipped(config)))


def lay_out(config: DictConfig, shipped: DictConfig) -> dict[str, Stage]:
    """Say of every stage that a configuration defines where it lies and what it depends on.

    Args:
        config: the configuration in use.
        shipped: the same choices without any other override.

    Returns:
        Stages by name, each after those that it needs.

    Raises:
        ConfigurationError: a stage needs one that is not defined, or has settings of its own
            (`under`) that the task does not have.
    """
    _check_run(config)
    stages: dict[str, Stage] = {}
    for name in _in_order(config):
        needs = {role: _need(stages, n) for role, n in config.stage.plan[name].needs.items()}
        stages[name] = _stage(name, config, shipped, needs)
    _check_order(list(config.stage.run), stages)
    return stages


def _stage(name: str, config: DictConfig, shipped: DictConfig, needs: dict[str, Need]) -> Stage:
    """Lay out one stage, whose needs are laid out already."""
    _check_under(config, name)
    definition = config.stage.plan[name]
    like = shipped.stage.plan.get(name, definition)
    own = _under(config, definition.under, definition.batch_size)
    own_shipped = _under(shipped, definition.under, like.batch_size)
    found = identity.identify(own, own_shipped, definition, like)
    directory = _directory(name, own, found.suffix)
    return Stage(
        name=name,
        config=_changed(own, {"run_name": directory.name}),
        network=definition.network,
        directory=directory,
        experiment=found.experiment,
        circumstances=found.circumstances,
        shipped=found.shipped,
        needs=needs,
    )


def _directory(name: str, config: DictConfig, suffix: str) -> Path:
    """Name the directory of a stage; the published distillation is not part of it."""
    distillation, stage = config.distillation.name, config.stage.plan[name]
    is_named = distillation != identity.PUBLISHED_DISTILLATION
    is_named &= "distillation" in identity.depends_on(config, stage)
    words = [config.name, *([distillation] if is_named else []), name]
    folder = Path(config.paths.experiments) / config.dataset.name / config.task.folder
    return folder / f"{'_'.join(words)}{suffix}"


def _need(stages: Mapping[str, Stage], words: str) -> Need:
    """Find "stage", its best weights, or "stage/network", a network trained beside it."""
    name, _, companion = words.partition("/")
    stage = stages[name]
    path = stage.directory / identity.companion_file(companion) if companion else stage.checkpoint
    return Need(stage, path)


def _in_order(config: DictConfig) -> list[str]:
    """Order the defined stages so that each comes after those that it needs."""
    defined = config.stage.plan
    graph = {}
    for name, definition in defined.items():
        graph[name] = [words.partition("/")[0] for words in definition.needs.values()]
        for role, words in definition.needs.items():
            if role not in ROLES or words.partition("/")[0] not in defined:
                raise ConfigurationError(
                    f"stage.plan.{name}.needs.{role}={words}: must be {' or '.join(ROLES)}, and a "
                    f"stage among {', '.join(defined)}"
                )
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        circle = " needs ".join(reversed(error.args[1]))
        raise ConfigurationError(f"stage.plan: {circle}, so none can be trained first") from error


def _check_run(config: DictConfig) -> None:
    """See that what is asked for is defined."""
    for name in config.stage.run:
        if name not in config.stage.plan:
            raise ConfigurationError(
                f"stage.run names {name}; defined are {', '.join(config.stage.plan)}; stage=... "
                "chooses other plans, such as stage=all_joint or stage=sft"
            )


def _check_order(run: list[str], stages: Mapping[str, Stage]) -> None:
    """See that no stage is asked for before one that it needs."""
    for number, name in enumerate(run):
        for need in stages[name].needs.values():
            if need.stage.name in run[number:]:
                right = ",".join(stage for stage in stages if stage in run)
                raise ConfigurationError(
                    f"stage.run: {name} needs {need.stage.name}, which comes after it; give "
                    f"stage.run=[{right}]"
                )


def _check_under(config: DictConfig, name: str) -> None:
    """See that what a stage changes of its task is there."""
    for key in config.stage.plan[name].under.get("task", ()):
        if key not in config.task:
            raise ConfigurationError(
                f"stage {name}: changes task.{key}, which {config.task.title} does not have; "
                "choose another stage"
            )


def _under(config: DictConfig, under: DictConfig, batch_size: int) -> DictConfig:
    """Change what a stage changes of the configuration that it is trained under."""
    if not under and batch_size == config.batch_size:
        return config
    return _changed(config, under, {"batch_size": batch_size})


def _changed(config: DictConfig, *changes: DictConfig | dict[str, Any]) -> DictConfig:
    changed = OmegaConf.merge(config, *changes)
    assert isinstance(changed, DictConfig)
    return changed

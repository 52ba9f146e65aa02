"""What lies in a tree of experiments: stage directories, and which of them were measured together.

Files of a tree may come from others. They are read as plain values: nothing that they name is
imported or called here, and whatever is not of the expected form counts as missing.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from kdmri.errors import DataError
from kdmri.identity import comparison_name

RECORD, CONFIG = "stage.json", "config.yaml"
LARGEST_TEXT = 2**20
"""A record or configuration of more bytes than this is not one of this program."""


@dataclass(frozen=True)
class Run:
    """One stage directory.

    Attributes:
        directory: `{experiments}/{dataset}/{task}/{name}_{stage}{suffix}`.
        record: its `stage.json`.
        config: its `config.yaml`, interpolations as they stand; empty where there is none.
    """

    directory: Path
    record: dict[str, Any]
    config: dict[str, Any]

    @property
    def stage(self) -> str:
        """Name of the stage, such as "kd"."""
        return str(self.record.get("stage", ""))

    @property
    def dataset(self) -> str:
        """Name of the data set's directory."""
        return self.directory.parent.parent.name

    @property
    def task(self) -> str:
        """Name of the task's directory, such as "acc_4x"."""
        return self.directory.parent.name

    @property
    def label(self) -> str:
        """Name of the stage for a reader."""
        return text(select(self.config, "stage", "plan", self.stage, "label")) or self.stage

    @property
    def comparison(self) -> str:
        """Name of the directory that a comparison with this as its last stage is written to."""
        name = text(self.config.get("name")) or ""
        return comparison_name(self.directory.name, name, self.stage)

    @property
    def common_name(self) -> str:
        """Directory name without the stage: what is common to the stages of one experiment."""
        return common_name(self.comparison)

    @property
    def reported(self) -> bool:
        """Whether its output is meant to be measured."""
        return select(self.config, "stage", "plan", self.stage, "reported") is not False

    @property
    def order(self) -> int:
        """Place of the stage in the plan of its configuration."""
        plan = select(self.config, "stage", "plan")
        known = list(plan) if isinstance(plan, dict) else []
        first = ["teacher", "student", "student_long"]
        known = first + [name for name in known if name not in first]
        return known.index(self.stage) if self.stage in known else len(known)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What has to be equal where two stages belong to one experiment, flat."""
        experiment = mapping(self.record.get("experiment"))
        circumstances = mapping(self.record.get("circumstances"))
        data = {k: v for k, v in circumstances.items() if k.startswith("dataset.")}
        return {**experiment, **data, "mask_file_digest": circumstances.get("mask_file_digest")}

    def agrees(self, other: "Run") -> bool:
        """Whether no setting that both depend on differs, nor the name of the experiment."""
        if self.config.get("name") != other.config.get("name"):
            return False
        mine, its = self.settings, other.settings
        return all(mine[key] == its[key] for key in mine.keys() & its.keys())


@dataclass(frozen=True)
class Experiment:
    """Stages of one data set and task that were, or would be, compared with one another.

    Attributes:
        folder: directory of the data set and task.
        comparison: name of the directory of their comparison, which need not be there.
        runs: its stages in the order of the plan, one of each name.
    """

    folder: Path
    comparison: str
    runs: list[Run]

    @property
    def anchor(self) -> Run:
        """The stage that gave the comparison its name."""
        return next((r for r in reversed(self.runs) if r.comparison == self.comparison), self.last)

    @property
    def last(self) -> Run:
        """The stage that the others lead to."""
        return self.runs[-1]


def find(experiments: Path) -> tuple[list[Run], list[str]]:
    """Read every stage directory of a tree.

    Returns:
        The stages in the order of their paths, and a line on each that cannot be used.

    Raises:
        DataError: there are none.
    """
    runs, notes = [], []
    for path in sorted(experiments.glob(f"*/*/*/{RECORD}")):
        try:
            record = mapping(json.loads(_read(path)))
            if not isinstance(record.get("stage"), str):
                raise ValueError("no stage is named in it")
            beside = path.with_name(CONFIG)
            config = read_yaml(beside) if beside.is_file() else {}
            runs.append(Run(path.parent, record, config))
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
            reason = str(error).splitlines()[0]
            notes.append(f"{path.parent.relative_to(experiments)}: left out ({reason})")
    if not runs:
        raise DataError(
            f"experiments={experiments}: no stage is there that can be read (expected "
            f"{experiments}/DATASET/TASK/NAME_STAGE/{RECORD}){''.join(f'; {n}' for n in notes[:1])}"
        )
    return runs, notes


def experiments_of(
    runs: Iterable[Run], compared: dict[tuple[Path, str], set[str]]
) -> list[Experiment]:
    """Sort stages into experiments; a stage that several have in common is in each of them.

    Args:
        runs: what `find` gave.
        compared: stages that were measured together, by folder and name of the comparison.
    """
    by_folder: dict[Path, list[Run]] = {}
    for run in runs:
        by_folder.setdefault(run.directory.parent, []).append(run)
    found = []
    for folder, here in by_folder.items():
        placed: set[Path] = set()
        names = [name for place, name in compared if place == folder]
        # A comparison that was written goes first; what is in none of them stands for itself.
        for name in [*names, *sorted({run.comparison for run in here} - set(names))]:
            anchors = [run for run in here if run.comparison == name]
            members = _members(here, anchors, compared.get((folder, name)))
            if name not in names and placed.issuperset(run.directory for run in anchors):
                continue
            placed.update(run.directory for run in members)
            if members:
                found.append(Experiment(folder, name, members))
    return sorted(found, key=lambda e: (e.folder, e.comparison))


def _members(here: list[Run], anchors: list[Run], measured: set[str] | None) -> list[Run]:
    chosen: dict[str, Run] = {run.stage: run for run in anchors}
    for run in sorted(here, key=lambda run: (len(run.directory.name), run.directory.name)):
        wanted = measured is None or run.stage in measured or not run.reported
        if wanted and anchors and all(run.agrees(anchor) for anchor in anchors):
            chosen.setdefault(run.stage, run)
    return sorted(chosen.values(), key=lambda run: run.order)


def common_name(comparison: str) -> str:
    """Name what the stages of a comparison have in common: its name without that word."""
    return comparison.replace("_comparison", " ", 1).replace(" _", " ").strip()


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping of plain values; references, which can grow without bound, are refused.

    Raises:
        ValueError: it is too large, or refers to itself.
        yaml.YAMLError: it is not YAML of plain values.
    """
    content = _read(path)
    if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(content, yaml.SafeLoader)):
        raise ValueError(f"{path.name} holds references")
    return mapping(yaml.safe_load(content))


def select(tree: Any, *keys: str) -> Any:
    """Follow keys through nested mappings; None where one is missing."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def mapping(value: Any) -> dict[str, Any]:
    """Return a mapping with text as keys; empty for anything else."""
    return {str(k): v for k, v in value.items()} if isinstance(value, dict) else {}


def number(value: Any) -> float | None:
    """Return a finite number; None for anything else."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if good else None


def text(value: Any) -> str | None:
    """Return text that is not empty; None for anything else."""
    return value if isinstance(value, str) and value else None


def _read(path: Path) -> str:
    if path.stat().st_size > LARGEST_TEXT:
        raise ValueError(f"{path.name} has more than {LARGEST_TEXT} bytes")
    return path.read_text(encoding="utf-8")

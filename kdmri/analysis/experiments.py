"""The one reader of a tree of experiments: what training and evaluation left of its stages.

`kdmri.collect` and `kdmri.compare` take what was measured (`find_records`); the report also takes
how it was trained (`find_runs`) and figures of single volumes (`find_comparisons`). Files of a tree
may come from others. They are read as plain values: nothing that they name is imported or called.
"""

import csv
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from kdmri.analysis.plain import mapping, read_json, read_yaml, select, text
from kdmri.analysis.records import RECORD, Record
from kdmri.config.identity import comparison_name
from kdmri.errors import CheckpointError, DataError
from kdmri.metrics import ALL_METRICS

STAGE, CONFIG, FIGURES = "stage.json", "config.yaml", "metrics.csv"

Figures = dict[str, dict[str, dict[str, float]]]
"""By stage (or label of what needs no network), volume and metric, in the order of the file."""


@dataclass(frozen=True)
class Run:
    """One stage directory.

    Attributes:
        directory: `{experiments}/{dataset}/{task}/{name}_{stage}{suffix}`.
        training: its `stage.json`.
        config: its `config.yaml`, interpolations as they stand; empty where there is none.
        dataset_title: of the data set, told apart from others; the folder's name where it has none.
        evaluation: what was measured of it; None where nothing was, or its file is damaged.
    """

    directory: Path
    training: dict[str, Any]
    config: dict[str, Any]
    dataset_title: str = ""
    evaluation: Record | None = None

    @property
    def stage(self) -> str:
        """Name of the stage, such as "kd"."""
        return str(self.training.get("stage", ""))

    @property
    def task_title(self) -> str:
        """Title of the task, such as "4x"; its folder's name where it has none."""
        if self.evaluation is not None:
            return self.evaluation.measured.task
        return text(select(self.config, "task", "title")) or self.directory.parent.name

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
        experiment = mapping(self.training.get("experiment"))
        circumstances = mapping(self.training.get("circumstances"))
        data = {k: v for k, v in circumstances.items() if k.startswith("dataset.")}
        return {**experiment, **data, "mask_file_digest": circumstances.get("mask_file_digest")}

    def agrees(self, other: "Run") -> bool:
        """Whether no setting that both depend on differs, nor the name of the experiment."""
        if self.config.get("name") != other.config.get("name"):
            return False
        mine, its = self.settings, other.settings
        return all(mine[key] == its[key] for key in mine.keys() & its.keys())


def common_name(comparison: str) -> str:
    """Name what the stages of a comparison have in common: its name without that word."""
    return comparison.replace("_comparison", " ", 1).replace(" _", " ").strip()


def find_records(root: Path, since: float = 0.0) -> list[Record]:
    """Read what evaluation left below a directory, in the order of the paths.

    Args:
        root: such as "experiments", which holds `{data set}/{task}/{stage}`.
        since: leaves out files that were written before, in seconds since the epoch.

    Returns:
        The records; where several data sets have one title, their directories join it, and where
        inputs of one task were made in several ways, how each was made joins its title.

    Raises:
        CheckpointError: a file is damaged.
    """
    return _titled([Record.read(path.parent) for path in _paths(root, RECORD, since)], root)


def find_runs(root: Path) -> tuple[list[Run], list[str]]:
    """Read every stage directory of a tree.

    Returns:
        The stages in the order of their paths, and a line on each file that cannot be used.

    Raises:
        DataError: there are no stages.
    """
    runs, records, notes = [], [], []
    for path in _paths(root, STAGE):
        try:
            training = read_json(path)
            if not isinstance(training.get("stage"), str):
                raise ValueError("no stage is named in it")
            beside = path.with_name(CONFIG)
            runs.append(Run(path.parent, training, read_yaml(beside) if beside.is_file() else {}))
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
            reason = str(error).splitlines()[0]
            notes.append(f"{path.parent.relative_to(root)}: left out ({reason})")
    if not runs:
        raise DataError(
            f"experiments={root}: no stage is there that can be read (expected "
            f"{root}/DATASET/TASK/NAME_STAGE/{STAGE}){''.join(f'; {n}' for n in notes[:1])}"
        )
    for run in runs:
        try:
            if (run.directory / RECORD).is_file():
                records.append(Record.read(run.directory))
        except CheckpointError as error:
            notes.append(str(error))
    measured = {record.directory: record for record in _titled(records, root)}
    titles = [
        text(select(run.config, "dataset", "title")) or run.directory.parent.parent.name
        for run in runs
    ]
    apart = _titles_apart(titles, [run.directory for run in runs], root)
    return [
        replace(run, dataset_title=title, evaluation=measured.get(run.directory))
        for run, title in zip(runs, apart, strict=True)
    ], notes


def find_comparisons(root: Path) -> tuple[dict[tuple[Path, str], Figures], list[str]]:
    """Read the figures of single volumes of every comparison of a tree.

    Returns:
        Figures by folder (of data set and task) and directory name, and a line on each file that
        cannot be used.
    """
    found, notes = {}, []
    for path in _paths(root, FIGURES):
        if any((above / STAGE).is_file() for above in path.parents):
            continue  # of a logger, within a stage's directory
        try:
            found[path.parent.parent, path.parent.name] = read_figures(path)
        except DataError as error:
            notes.append(str(error))
    return found, notes


def read_figures(path: Path) -> Figures:
    """Read one file of figures of single volumes; a figure that is not finite is left out.

    Raises:
        DataError: it is not such a file.
    """
    figures: Figures = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                values = {m: float(row[m]) for m in ALL_METRICS if row.get(m)}
                finite = {m: value for m, value in values.items() if math.isfinite(value)}
                figures.setdefault(row["stage"], {})[row["volume"]] = finite
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise DataError(f"{path}: not a file of figures ({error!r})") from error
    return figures


def _paths(root: Path, name: str, since: float = 0.0) -> list[Path]:
    """List the files of a name below a directory, those in folders that are links included."""
    found = {*root.rglob(name), *root.glob(f"*/*/*/{name}")}  # the former follows no links
    return sorted(path for path in found if path.is_file() and path.stat().st_mtime >= since)


def _titled(records: list[Record], root: Path) -> list[Record]:
    """Tell titles of data sets and tasks apart, see `find_records`."""
    datasets = _titles_apart(
        [record.measured.dataset for record in records], [r.directory for r in records], root
    )
    apart = [
        replace(record.measured, dataset=title)
        for record, title in zip(records, datasets, strict=True)
    ]
    ways: dict[tuple[str, str], set[str]] = defaultdict(set)
    for one in apart:
        ways[one.dataset, one.task] |= {one.input} - {""}
    return [
        Record(
            record.directory,
            one
            if len(ways[one.dataset, one.task]) < 2
            else replace(one, task=f"{one.task} ({one.input or 'input not recorded'})"),
        )
        for record, one in zip(records, apart, strict=True)
    ]


def _titles_apart(titles: Sequence[str], directories: Sequence[Path], root: Path) -> list[str]:
    """Add its folder to the title of a data set that lies in several folders.

    Args:
        titles: of each stage's data set.
        directories: of the stages.
        root: what folders are named relative to.
    """
    start = root.absolute()
    folders = [directory.absolute().parent.parent for directory in directories]
    folders = [path.relative_to(start) if path.is_relative_to(start) else path for path in folders]
    places = defaultdict(set)
    for title, folder in zip(titles, folders, strict=True):
        places[title].add(folder)
    return [
        title if len(places[title]) == 1 else f"{title} ({folder})"
        for title, folder in zip(titles, folders, strict=True)
    ]

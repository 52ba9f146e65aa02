"""Brings a tree of experiments to plain values for a page: rows, curves, settings, pictures."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kdmri.analysis.experiments import Figures, Run, find_comparisons, find_runs
from kdmri.analysis.plain import mapping, number, select, text
from kdmri.analysis.provenance import doubts
from kdmri.analysis.records import Record
from kdmri.analysis.statistics import ENDS, GapShare, Resampling, gap_note, subject_notes
from kdmri.errors import CheckpointError, DataError, KdmriError
from kdmri.metrics import ALL_METRICS
from kdmri.report import curves
from kdmri.report.gaps import gap_shares
from kdmri.report.images import Gallery
from kdmri.report.rebuild import open_reference
from kdmri.report.tree import Experiment, experiments_of

NO_DATA = "targets, zero-filled images and error maps are left out"


@dataclass
class Collection:
    """All that a page shows, as values that JSON can hold.

    Attributes:
        rows: of the table, a stage or something that needs no network each.
        experiments: each names its rows by their numbers.
        settings: distinct configurations, flat.
        galleries: what can be shown of each experiment, None where there is nothing.
        notes: on what was left out.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    experiments: list[dict[str, Any]] = field(default_factory=list)
    settings: list[dict[str, Any]] = field(default_factory=list)
    galleries: list[Gallery | None] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def collect(experiments: Path, datasets: Path | None, block: int, resamples: int) -> Collection:
    """Read a tree of experiments.

    Args:
        experiments: holds `{dataset}/{task}/{stage directories}`.
        datasets: holds the data sets; None looks where the configurations say.
        block: neighbouring slices of a block, where one subject is all there is.
        resamples: draws behind the interval of a gap.

    Raises:
        DataError: there is no stage.
    """
    runs, notes = find_runs(experiments)
    comparisons, more = find_comparisons(experiments)
    odd = doubts(run.evaluation for run in runs if run.evaluation is not None)
    found = Collection(notes=notes + more + odd)
    numbers: dict[Any, int] = {}
    stages = {key: set(figures) for key, figures in comparisons.items()}
    for experiment in experiments_of(runs, stages):
        figures = comparisons.get((experiment.folder, experiment.comparison), {})
        gaps, resampling = gap_shares(experiment.runs, figures, block, resamples)
        _add(found, experiments, experiment, figures, gaps, numbers)
        found.experiments[-1]["notes"] += _notes(experiment, figures, resampling, block)
        remarks: list[str] = []
        found.galleries.append(_gallery(experiment, figures, datasets, remarks))
        found.experiments[-1]["notes"] += remarks
    return found


def _add(
    found: Collection,
    root: Path,
    experiment: Experiment,
    figures: Figures,
    gaps: Mapping[str, GapShare],
    numbers: dict[Any, int],
) -> None:
    """Add an experiment with those of its rows that no other has brought yet."""
    rows, by_stage = [], {run.stage: run for run in experiment.runs}
    anchor = experiment.anchor
    for name, volumes in figures.items():
        if name not in by_stage:
            key = (experiment.folder, name, json.dumps(volumes))
            if key not in numbers:
                numbers[key] = len(found.rows)
                found.rows.append(_common(anchor, name, volumes) | {"baseline": True})
            rows.append(numbers[key])
    for run in experiment.runs:
        if run.directory not in numbers:
            numbers[run.directory] = len(found.rows)
            row = _row(found, root, run, figures.get(run.stage, {}))
            found.rows.append({**row, "measures": row["measures"] or _measured_alone(run)})
        row = found.rows[numbers[run.directory]]
        if run.stage in figures and not row["volumes"]:
            row.update(_measures(figures[run.stage]))
        if run.stage in gaps and row["gap"] is None:
            row.update(_gap(run.stage, gaps[run.stage]))
        rows.append(numbers[run.directory])
    title = f"{anchor.dataset_title}, {anchor.task_title}: {anchor.common_name}"
    found.experiments.append({"title": title, "rows": rows, "notes": []})


def _notes(
    experiment: Experiment, figures: Figures, resampling: Resampling | None, block: int
) -> list[str]:
    """Say what has to be read with the figures of an experiment, as tables do."""
    data = mapping(experiment.anchor.config.get("dataset"))
    by_block = resampling is not None and resampling.by_block
    notes = subject_notes(data.get("one_subject") is True, by_block)
    if weights := _weights(experiment):
        told = ", ".join(f"{label} {weight:g}" for label, weight in weights.items())
        notes.append(f"Weights of regularisation, chosen on selection slices: {told}.")
    if resampling is not None:
        notes.append(gap_note(resampling, block))
    if not figures and not any(map(_measured_alone, experiment.runs)):
        notes.append("No figures yet: kdmri evaluate with the same settings measures it.")
    return notes


def _gap(stage: str, share: GapShare) -> dict[str, Any]:
    """Return the gap of a row; the ends of a gap are no estimates and have no interval."""
    known = math.isfinite(share.low)
    interval = None if stage in ENDS else [share.low, share.high] if known else []
    return {"gap": share.value, "gap_interval": interval}


def _common(run: Run, label: str, volumes: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    return {
        "dataset": run.dataset_title,
        "task": run.task_title,
        "run": run.common_name,
        "label": label,
        "stage": None,
        "seed": None,
        "recipe": f"{run.directory.parent}/{label}",
        "parameters": None,
        "gap": None,
        "gap_interval": None,
        "epochs": None,
        "seconds": None,
        **_measures(volumes),
    }


def _row(
    found: Collection, root: Path, run: Run, volumes: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    best = mapping(run.training.get("best"))
    experiment = mapping(run.training.get("experiment"))
    folder = run.directory.parent.relative_to(root).as_posix()
    recipe = [folder, run.config.get("name"), run.stage]
    others = {key: value for key, value in experiment.items() if key != "seed"}
    return _common(run, run.label, volumes) | {
        "stage": run.stage,
        "seed": number(experiment.get("seed")),
        "recipe": hashlib.sha256(f"{recipe}{sorted(others.items())}".encode()).hexdigest()[:12],
        "parameters": number(run.training.get("parameters")),
        "epochs": number(select(run.training, "circumstances", "max_epochs")),
        "best_epoch": number(best.get("epoch")),
        "seconds": number(run.training.get("seconds")),
        "reported": run.reported,
        "finished": run.training.get("finished") is True,
        "directory": str(run.directory.relative_to(root)),
        "command": text(run.training.get("command")),
        "settings": _settings(found, run),
        "curves": _curves(run, found.notes),
    }


def _measures(volumes: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Return mean and standard deviation over volumes of every metric, and each volume's own."""
    measures = {}
    for metric in ALL_METRICS:
        values = [figures[metric] for figures in volumes.values() if metric in figures]
        if values:
            spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
            measures[metric] = [float(np.mean(values)), spread]
    rounded = {
        volume: {metric: float(f"{value:.6g}") for metric, value in figures.items()}
        for volume, figures in volumes.items()
    }
    return {"measures": measures, "volumes": rounded}


def _measured_alone(run: Run) -> dict[str, Any]:
    """Return what `_measures` does of a stage that no comparison holds, from its own record."""
    try:
        table = Record.read(run.directory).table
    except CheckpointError:  # not measured, or damaged
        return {}
    with np.errstate(all="ignore"):  # a table of others may hold anything
        volumes = {
            str(volume): {metric: table.measure(metric, volume) for metric in ALL_METRICS}
            for volume in table.volumes
        }
    finite = {
        volume: {metric: value for metric, value in figures.items() if math.isfinite(value)}
        for volume, figures in volumes.items()
    }
    return dict(_measures(finite)["measures"])


def _curves(run: Run, notes: list[str]) -> dict[str, curves.Curve]:
    try:
        return curves.read(run.directory)
    except DataError as error:
        notes.append(str(error))
        return {}


def _settings(found: Collection, run: Run) -> int | None:
    """Number of a stage's configuration among the distinct ones."""
    flat = _flat("", {k: v for k, v in run.config.items() if k not in ("run_name", "stage")})
    if not flat:
        return None
    if flat not in found.settings:
        found.settings.append(flat)
    return found.settings.index(flat)


def _flat(key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {key: _plain(value)} if key else {}
    flat: dict[str, Any] = {}
    for name, item in value.items():
        flat |= _flat(f"{key}.{name}" if key else str(name), item)
    return flat


def _plain(value: Any) -> Any:
    """Bring a value of YAML to what JSON can hold."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    known = value is None or isinstance(value, bool | int | str)
    return value if known or (isinstance(value, float) and math.isfinite(value)) else str(value)


def _weights(experiment: Experiment) -> dict[str, float]:
    """Return what classical methods regularised with, by label, as a stage's record tells."""
    found: dict[str, float] = {}
    for run in experiment.runs:
        with suppress(CheckpointError):  # not measured yet, or damaged, which the table tells
            found |= Record.read(run.directory).measured.weights
    return found


def _gallery(
    experiment: Experiment, figures: Figures, datasets: Path | None, notes: list[str]
) -> Gallery | None:
    """Find what can be shown; what cannot is told in `notes`."""
    reference = None
    try:
        reference = open_reference(experiment.anchor, datasets, _weights(experiment))
    except KdmriError as error:
        notes.append(f"Pictures: {NO_DATA}, since {error}.")
    runs: Sequence[Run] = experiment.runs
    try:
        gallery = Gallery(runs, reference)
        try:
            gallery.check(figures)
        except DataError as error:
            notes.append(f"Pictures: {NO_DATA}, since {error}.")
            return Gallery(runs, None)
    except KdmriError as error:
        notes.append(f"No pictures, since {error}.")
        return None
    if reference is not None:
        notes.append(f"{reference.sampling}; {reference.note}.")
    if gallery.others:
        height, width = gallery.size
        notes.append(
            f"Pictures: volumes of {height}x{width}; {gallery.others} of other sizes are left out."
        )
    return gallery

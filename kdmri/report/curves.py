"""Training curves from what a logger left in a stage's `summary` directory."""

import csv
import logging
import math
from pathlib import Path

from kdmri.errors import DataError

Curve = list[tuple[int, float]]
"""(epoch from 1, value), in order of the epochs."""


def read(directory: Path) -> dict[str, Curve]:
    """Read one value an epoch of every figure that was logged, by name such as "val/psnr".

    Args:
        directory: of the stage; without a summary there (another logger) nothing is found.

    Raises:
        DataError: a summary is there and cannot be read.
    """
    summary = directory / "summary"
    table = summary / "metrics.csv"
    try:
        if table.is_file():
            return _from_csv(table)
        if any(summary.glob("events.out.tfevents.*")):
            return _from_tensorboard(summary)
    except Exception as error:  # whatever a damaged file makes protobuf or the reader raise
        raise DataError(f"{summary}: training curves cannot be read ({error!r})") from error
    return {}


def thin(curve: Curve, points: int) -> Curve:
    """Keep at most so many points, evenly spaced, the last among them."""
    if len(curve) <= points:
        return curve
    return [curve[(i + 1) * len(curve) // points - 1] for i in range(points)]


def _from_csv(path: Path) -> dict[str, Curve]:
    values: dict[str, dict[int, float]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for name, cell in row.items():
                if name not in ("epoch", "step") and cell:
                    _add(values, name, int(row["epoch"]), float(cell))
    return _sorted(values)


def _from_tensorboard(folder: Path) -> dict[str, Curve]:
    from tensorboard.backend.event_processing import event_accumulator as reader

    logging.getLogger("tensorboard").setLevel(logging.WARNING)
    # Only scalars; one of everything else, since 0 means all.
    sizes = dict.fromkeys(reader.DEFAULT_SIZE_GUIDANCE, 1) | {reader.SCALARS: 0}
    events = reader.EventAccumulator(str(folder), size_guidance=sizes)
    events.Reload()
    names = events.Tags()[reader.SCALARS]
    epochs = {e.step: int(e.value) for e in events.Scalars("epoch")} if "epoch" in names else {}
    values: dict[str, dict[int, float]] = {}
    for name in names:
        for event in events.Scalars(name) if name != "epoch" else ():
            if event.step in epochs:
                _add(values, name, epochs[event.step], event.value)
    return _sorted(values)


def _add(values: dict[str, dict[int, float]], name: str, epoch: int, value: float) -> None:
    """Keep a value; of an epoch that was trained again after a cut, the later one."""
    if math.isfinite(value):
        values.setdefault(name, {})[epoch + 1] = value


def _sorted(values: dict[str, dict[int, float]]) -> dict[str, Curve]:
    return {name: sorted(by_epoch.items()) for name, by_epoch in sorted(values.items())}

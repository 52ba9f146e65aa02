"""Figures of each volume as the comparison of an experiment left them: the one reader of them."""

import csv
import math
from pathlib import Path

from kdmri.errors import DataError
from kdmri.metrics import ALL_METRICS

Figures = dict[str, dict[str, dict[str, float]]]
"""By stage (or label of what needs no network), volume and metric, in the order of the file."""

FILE = "metrics.csv"


def comparisons(experiments: Path) -> tuple[dict[tuple[Path, str], Figures], list[str]]:
    """Read every comparison of a tree.

    Returns:
        Figures by folder (of data set and task) and directory name, and a line on each file that
        cannot be used.
    """
    found, notes = {}, []
    for path in sorted(experiments.glob(f"*/*/*/{FILE}")):
        try:
            found[path.parent.parent, path.parent.name] = read(path)
        except DataError as error:
            notes.append(str(error))
    return found, notes


def read(path: Path) -> Figures:
    """Read one file of figures; a figure that is not finite is left out.

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

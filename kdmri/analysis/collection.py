"""All measured stages below a directory in one table: data sets, tasks, methods, over seeds."""

import csv
import io
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from kdmri.analysis.naming import distinct_label, without_seed
from kdmri.analysis.records import Record
from kdmri.analysis.tables import Table, with_deviation
from kdmri.metrics import FORMATS, MAIN_METRICS


@dataclass(frozen=True)
class Summary:
    """What evaluation says of one stage in `metrics.json`.

    Attributes:
        dataset: its title.
        task: its title, such as "4x".
        method: label of the stage, or of a baseline.
        variant: directory of the stage without its seed; what differs from the shipped choices.
        parameters: of the network, 0 without one.
        seed: of the training.
        figures: means over volumes, by metric.
        weight: of the regularisation of a baseline that has one, else None.
    """

    dataset: str
    task: str
    method: str
    variant: str
    parameters: int
    seed: int
    figures: dict[str, float]
    weight: float | None = None


def summarise(records: Iterable[Record]) -> list[Summary]:
    """Sum up what evaluation left, each baseline once for its data set and task.

    A baseline that has several figures there, as of other masks, has the directory of its stage for
    a variant.
    """
    found: list[Summary] = []
    baselines: dict[tuple[str, str, str], list[dict[str, float]]] = defaultdict(list)
    for directory, measured in ((r.directory, r.measured) for r in records):
        cell = measured.dataset, measured.task
        for label, figures in measured.baselines.items():
            known = baselines[*cell, label]
            if not any(_alike(figures, other) for other in known):  # of another mask or noise
                of_input = without_seed(directory) if known else ""
                weight = measured.weights.get(label)
                found.append(Summary(*cell, label, of_input, 0, 0, figures, weight))
                known.append(figures)
        found.append(
            Summary(
                *cell,
                method=measured.label,
                variant=without_seed(directory),
                parameters=measured.parameters,
                seed=measured.seed,
                figures=measured.figures,
            )
        )
    return found


def _alike(one: dict[str, float], other: dict[str, float]) -> bool:
    """Whether figures are the same but for rounding."""
    return all(math.isclose(one[metric], other[metric], rel_tol=1e-4) for metric in MAIN_METRICS)


def tabulate(summaries: Iterable[Summary], doubts: Iterable[str] = ()) -> Table:
    """Lay out one row for each data set, task, method and variant; seeds are averaged.

    Where a method has several variants, each row names what its directory's name has of its own.

    Args:
        summaries: what `summarise` gave.
        doubts: sentences for below the table, see `kdmri.analysis.provenance`.

    Returns:
        A table whose figures are means over seeds, with one standard deviation where there are
        several.
    """
    cells: dict[tuple[str, str, str, str, int], list[Summary]] = defaultdict(list)
    for one in summaries:
        cells[one.dataset, one.task, one.method, one.variant, one.parameters].append(one)
    names: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for dataset, task, method, name, _ in cells:
        names[dataset, task, method].add(name)
    weighted = any(one.weight is not None for one in chain.from_iterable(cells.values()))
    rows = []
    for (dataset, task, method, name, parameters), seeds in sorted(
        cells.items(), key=lambda cell: (cell[0][:2], cell[0][4] == 0 and -1, cell[0][2:])
    ):
        rows.append(
            [
                dataset,
                task,
                distinct_label(method, name, names[dataset, task, method]),
                f"{parameters:,}" if parameters else "–",
                *([_weights(seeds)] if weighted else []),
                *(
                    with_deviation([s.figures[m] for s in seeds], FORMATS[m].spec)
                    for m in MAIN_METRICS
                ),
                str(len(seeds)) if parameters else "–",
            ]
        )
    header = [
        "data set",
        "task",
        "method",
        "parameters",
        *(["weight"] if weighted else []),
        *(FORMATS[m].label for m in MAIN_METRICS),
        "seeds",
    ]
    notes = ["Means over volumes, then over seeds ± one standard deviation between seeds.", *doubts]
    return Table("All stages that were measured", header, rows, notes)


def _weights(seeds: Iterable[Summary]) -> str:
    """Write the weights of a baseline's regularisation, each once."""
    found = sorted({one.weight for one in seeds if one.weight is not None})
    return ", ".join(f"{weight:g}" for weight in found) or "–"


def to_csv(summaries: Iterable[Summary]) -> str:
    """Write one line a stage and seed, figures as they are."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    facts = ["dataset", "task", "method", "variant", "parameters", "seed"]
    writer.writerow([*facts, *MAIN_METRICS, "weight"])
    for one in summaries:
        figures = [f"{one.figures[metric]:.8g}" for metric in MAIN_METRICS]
        cell = (one.dataset, one.task, one.method, one.variant, one.parameters, one.seed)
        writer.writerow([*cell, *figures, "" if one.weight is None else f"{one.weight:g}"])
    return text.getvalue()

"""Which stages of a tree of experiments were measured together, or would be."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kdmri.analysis.experiments import Run


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

"""Methods against one another over seeds: paired differences, how sure they are, what they cost."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from kdmri.analysis.methods import Method, by_method
from kdmri.analysis.naming import without_seed
from kdmri.analysis.provenance import doubts
from kdmri.analysis.records import Record
from kdmri.analysis.statistics import GapBootstrap, Resampling, interval, subject_notes
from kdmri.analysis.tables import Table, with_deviation
from kdmri.errors import CheckpointError, ConfigurationError
from kdmri.metrics import FORMATS

FEWEST_FOR_TEST = 6
"""Pairs below which a signed-rank test can never be significant."""

FEWEST_FOR_SEEDS = 10
"""Seeds below which a percentile bootstrap over them covers less than nine times in ten (of 2, 3
and 5 seeds about 50, 73 and 83 % in place of 95)."""

NOT_TIMED = "not timed; kdmri evaluate evaluation.latency=20 adds it."

HEADER = [
    "",
    "seeds",
    *(FORMATS[metric].label for metric in ("psnr", "ssim")),
    *(f"Δ {FORMATS[metric].label}" for metric in ("psnr", "ssim")),
    "p",
    "gap recovered",
    "parameters",
    "GFLOP",
    "ms",
    "training min",
]


class PairedComparison:
    """All methods of one data set and task, each compared with a reference of the same seed."""

    def __init__(
        self, records: Sequence[Record], reference: str, block: int, resamples: int
    ) -> None:
        """Take what was measured.

        Args:
            records: of one data set and task.
            reference: what all are compared with: a stage of their plan, such as "student_long", or
                one directory without its seed, such as "attention_imitation_teacher".
            block: neighbouring slices of a block, where one subject is all there is.
            resamples: draws behind an interval.

        Raises:
            CheckpointError: they were not measured on the same slices.
        """
        self._by_directory = {record.directory: record for record in records}
        self._reference = reference
        self._block = block
        self._methods = by_method(records)
        first = records[0]
        for record in records:
            if not first.table.is_of_same_slices(record.table):
                raise CheckpointError(
                    f"{record.directory}: measured on other slices than {first.directory}; run "
                    "evaluate.py with the settings of both"
                )
        measured = first.measured
        self._resampling = Resampling(
            first.table, measured.one_subject, block, resamples, subjects=measured.subjects
        )
        self._resamples = resamples

    @property
    def table(self) -> Table:
        """The table, best PSNR first."""
        first = self._methods[0].any.measured
        ordered = sorted(self._methods, key=lambda m: -np.mean(m.figures("psnr")))
        rows = [self._row(method) for method in ordered]
        return Table(f"{first.dataset}, {first.task}", HEADER, rows, self._notes())

    def _row(self, method: Method) -> list[str]:
        measured = method.any.measured
        against = {metric: self._difference(method, metric) for metric in ("psnr", "ssim")}
        minutes = np.mean([r.measured.minutes for r in method.records.values()])
        before = np.mean([r.measured.teacher_minutes for r in method.records.values()])
        return [
            method.name,
            self._seeds(method),
            with_deviation(method.figures("psnr"), FORMATS["psnr"].spec),
            with_deviation(method.figures("ssim"), FORMATS["ssim"].spec),
            _with_interval(against["psnr"], "+" + FORMATS["psnr"].spec),
            _with_interval(against["ssim"], "+" + FORMATS["ssim"].spec),
            self._significance(method),
            self._gap_cell(method),
            f"{measured.parameters:,}",
            f"{measured.flops / 1e9:.2f}",
            "–" if measured.milliseconds is None else f"{measured.milliseconds:.1f}",
            f"{minutes:.1f}" + (f" + {before:.1f}" if before else ""),
        ]

    def _seeds(self, method: Method) -> str:
        """How many there are, and how many of them the reference has as well, if not all."""
        count, paired = len(method.records), len(self._against_reference(method))
        return str(count) if paired in (0, count) else f"{count} ({paired} paired)"

    def _pairs(self, method: Method, *stages: str) -> list[tuple[Record, ...]]:
        """A record and those of other stages of its plan, for each seed that has them all."""
        found = []
        for record in method.records.values():
            others = [self._other(record, stage) for stage in stages]
            if all(others):
                found.append((record, *(o for o in others if o is not None)))
        return found

    def _other(self, record: Record, words: str) -> Record | None:
        """Find a stage of a record's plan; else the directory of these words and its seed."""
        name = record.measured.beside.get(words)
        if name:
            return self._by_directory.get(record.directory.parent / name)
        return next(
            (
                other
                for other in self._by_directory.values()
                if without_seed(other.directory) == words
                and other.measured.seed == record.measured.seed
            ),
            None,
        )

    def _against_reference(self, method: Method) -> list[tuple[Record, ...]]:
        """Pair a method with the reference, seed by seed; not at all where it is the reference."""
        pairs = self._pairs(method, self._reference)
        return [pair for pair in pairs if pair[0] is not pair[1]]

    def _over_seeds(self, figures: list[np.ndarray]) -> np.ndarray:
        """Mean over seeds, and on each resample over as many drawn seeds, (1 + resamples,)."""
        stacked = np.stack(figures)
        count = len(stacked)
        generator = np.random.default_rng(1)  # the same draws for all methods of as many seeds
        draws = generator.integers(count, size=(self._resamples + 1, count))
        draws[0] = np.arange(count)
        return np.take_along_axis(stacked, draws.T, axis=0).mean(axis=0)

    def _difference(self, method: Method, metric: str) -> np.ndarray | None:
        """Resampled mean of a method minus that of the reference, (1 + resamples,)."""
        pairs = self._against_reference(method)
        if not pairs:
            return None
        figures = [
            self._resampling.figures(one.table, metric)
            - self._resampling.figures(other.table, metric)
            for one, other in pairs
        ]
        return self._over_seeds(figures)

    @property
    def _tests(self) -> bool:
        """Whether there are enough subjects for a test to tell something."""
        resampling = self._resampling
        return not resampling.by_block and len(resampling.groups) >= FEWEST_FOR_TEST

    def _significance(self, method: Method) -> str:
        """Wilcoxon's signed-rank test of the PSNR of subjects, means over seeds."""
        pairs = self._against_reference(method)
        if not (pairs and self._tests):
            return "–"
        gains = [one.table.per_volume("psnr") - o.table.per_volume("psnr") for one, o in pairs]
        gain = np.mean(gains, axis=0)
        of_subjects = [gain[group].mean() for group in self._resampling.groups]
        from scipy.stats import wilcoxon  # loads much of SciPy

        return f"{wilcoxon(of_subjects).pvalue if any(of_subjects) else 1.0:.2g}"

    def _gap_cell(self, method: Method) -> str:
        measured = method.any.measured
        found = self._pairs(method, "student", "teacher")
        if not found:
            return "–"
        figures = [
            self._over_seeds([self._resampling.figures(records[i].table) for records in found])
            for i in range(3)
        ]
        gap = GapBootstrap(self._resampling, figures[1], figures[2])
        return gap.cell(measured.stage, figures[0])

    def _reference_label(self) -> str:
        """Name the reference, which each name of an experiment may have one of."""
        names = [
            method.name
            for method in self._methods
            if self._reference in (method.any.measured.stage, method.directory)
        ]
        if len(names) > 1:
            return "the one of the plan among " + ", ".join(f'"{name}"' for name in names)
        return f'"{names[0] if names else self._reference}"'

    def _alone(self) -> list[str]:
        """Say which methods have no difference since they were measured as a single stage."""
        records = self._by_directory.values()
        if self._reference not in {record.measured.stage for record in records}:
            return []
        names = [
            f'"{method.name}"'
            for method in self._methods
            if not any(self._reference in r.measured.beside for r in method.records.values())
        ]
        if not names:
            return []
        return [
            f"Measured without a {self._reference} beside it, so without Δ: {', '.join(names)}; "
            "the command that trained it, with stage=all, adds what it lacks, nothing twice."
        ]

    def _of_seeds(self) -> str:
        """Say what the intervals say of other seeds."""
        most = max(len(method.records) for method in self._methods)
        if most == 1:
            return ", of one seed, which says nothing of others"
        if most < FEWEST_FOR_SEEDS:
            return (
                f", and over seeds ({most} of them: what seeds add is understated, since no draw "
                "leaves the range of those seen)"
            )
        return ", and over seeds"

    def _notes(self) -> list[str]:
        measured = self._methods[0].any.measured
        label = self._reference_label()
        unit = self._resampling.describe(self._block)
        tested = "p is not given, since there are too few subjects"
        if self._tests:
            tested = "p: Wilcoxon's signed-rank test over subjects, not corrected for many methods"
        every = [record.measured for method in self._methods for record in method.records.values()]
        trained = _listed(measured.trained_on or measured.device for measured in every)
        timed = _listed(measured.device for measured in every)
        times = [measured.milliseconds for measured in every]
        notes = [
            f"Means over volumes, then over seeds ± one standard deviation; {measured.evaluated}.",
            f"Δ: paired difference to {label} of the same seed, 95 % interval by bootstrap over "
            f"{unit}{self._of_seeds()}; {tested}."
            if any(map(self._against_reference, self._methods))
            else f"Δ: nothing here was measured beside the reference, {label}.",
            *self._alone(),
            f"Training min: of the student in all its stages + of its teacher, {trained}; ms: "
            + (f"median of a slice, {timed}." if any(times) else NOT_TIMED),
        ]
        notes += subject_notes(measured.one_subject, self._resampling.by_block)
        return notes + doubts(self._by_directory.values())


class ComparisonTables(NamedTuple):
    """Tables of data sets and tasks, and what is wrong with those that have none."""

    tables: list[Table]
    errors: list[str]


def compare_methods(
    records: Iterable[Record], reference: str, block: int, resamples: int
) -> ComparisonTables:
    """Lay out one table for each data set and task; see `PairedComparison`.

    Raises:
        CheckpointError: there is none, since what belongs into a table was measured on different
            slices.
        ConfigurationError: no data set has such a reference.
    """
    records = list(records)
    known = {without_seed(record.directory) for record in records}
    known |= {stage for r in records for stage in (r.measured.stage, *r.measured.beside)}
    if reference not in known:
        raise ConfigurationError(
            f"reference={reference}: there is none among {', '.join(sorted(known))}"
        )
    cells: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        cells[record.measured.dataset, record.measured.task].append(record)
    found = ComparisonTables([], [])
    for cell in cells.values():
        try:
            found.tables.append(PairedComparison(cell, reference, block, resamples).table)
        except CheckpointError as error:
            found.errors.append(str(error))
    if not found.tables:
        raise CheckpointError("; ".join(found.errors))
    return found


def _listed(names: Iterable[str]) -> str:
    return " / ".join(dict.fromkeys(names))


def _with_interval(figures: np.ndarray | None, digits: str) -> str:
    if figures is None:
        return "–"
    low, high = interval(figures)
    if np.isnan(low):
        return f"{figures[0]:{digits}} (unsure)"
    return f"{figures[0]:{digits}} ({low:{digits}} to {high:{digits}})"

"""Methods that are compared: stages under all their seeds."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kdmri.analysis.naming import distinct_label, without_seed
from kdmri.analysis.records import Record


@dataclass(frozen=True)
class Method:
    """A stage under all its seeds.

    Attributes:
        name: for a reader.
        records: by seed.
    """

    name: str
    records: Mapping[int, Record]

    @property
    def any(self) -> Record:
        """One of its records."""
        return next(iter(self.records.values()))

    @property
    def directory(self) -> str:
        """Name of its directories without the seed."""
        return without_seed(self.any.directory)

    def figures(self, metric: str) -> list[float]:
        """Means over volumes of a metric, one a seed."""
        return [record.measured.figures[metric] for record in self.records.values()]


def by_method(records: Sequence[Record]) -> list[Method]:
    """Put the seeds of a stage together; where settings differ, the words that differ join."""
    seeds: dict[tuple[str, str], dict[int, Record]] = defaultdict(dict)
    for record in records:
        seeds[record.measured.label, without_seed(record.directory)][record.measured.seed] = record
    alike: dict[str, list[str]] = defaultdict(list)
    for label, name in seeds:
        alike[label].append(name)
    return [
        Method(distinct_label(label, name, alike[label]), of_seeds)
        for (label, name), of_seeds in seeds.items()
    ]

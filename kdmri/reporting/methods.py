"""Methods that are compared: stages under all their seeds."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from kdmri.reporting.collection import variant
from kdmri.reporting.records import Record


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
        return variant(self.any.directory)

    def figures(self, metric: str) -> list[float]:
        """Means over volumes of a metric, one a seed."""
        return [record.told.figures[metric] for record in self.records.values()]


def by_method(records: Sequence[Record]) -> list[Method]:
    """Put the seeds of a stage together; where settings differ, the words that differ join."""
    seeds: dict[tuple[str, str], dict[int, Record]] = defaultdict(dict)
    for record in records:
        seeds[record.told.label, variant(record.directory)][record.told.seed] = record
    alike: dict[str, list[str]] = defaultdict(list)
    for label, name in seeds:
        alike[label].append(name)
    return [
        Method(_named(label, name, alike[label]), of_seeds)
        for (label, name), of_seeds in seeds.items()
    ]


def _named(label: str, name: str, alike: Sequence[str]) -> str:
    """Add to a label what its directory's name has beyond the words that all of its kind share."""
    words = [other.split("_") for other in alike]
    first = _shared(words)
    last = _shared([each[first:][::-1] for each in words])
    own = name.split("_")
    rest = "_".join(own[first : len(own) - last])
    return f"{label} ({rest})" if rest else label


def _shared(words: Sequence[Sequence[str]]) -> int:
    """Count the words with which all begin."""
    return sum(1 for _ in takewhile(lambda found: len(set(found)) == 1, zip(*words, strict=False)))

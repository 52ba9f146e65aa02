"""How stages that stand in one table came about: what names of directories do not tell.

How long a stage was trained, its data's size or its precision name no directory, and a teacher that
is trained again leaves students of the one before. Both are said beside the table.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from kdmri.analysis.naming import without_seed
from kdmri.analysis.plain import mapping, read_json, read_yaml, select, text
from kdmri.analysis.records import Record
from kdmri.config.identity import BEST, companion_file, file_digest

STAGE, CONFIG = "stage.json", "config.yaml"

OF_A_SEED = ("seed", "initial_weights")
"""Settings that seeds of one method may differ in."""

DAMAGED = (OSError, ValueError, RecursionError, yaml.YAMLError)


def doubts(records: Iterable[Record]) -> list[str]:
    """Say in sentences which figures do not belong together, though their directories' names do.

    Args:
        records: of one table. What is missing beside them, or damaged, is passed over.
    """
    records = list(records)
    return [*_unlike_seeds(records), *_of_teachers_before(records)]


def _unlike_seeds(records: Iterable[Record]) -> Iterator[str]:
    """Compare the seeds of each method."""
    methods: dict[tuple[Path, str], list[Record]] = defaultdict(list)
    for record in records:
        methods[record.directory.parent, without_seed(record.directory)].append(record)
    for seeds in methods.values():
        settings = {r.directory.name: found for r in seeds if (found := _settings(r.directory))}
        shared = set.intersection(*map(set, settings.values())) if settings else set()
        differing = []
        for key in sorted(shared.difference(OF_A_SEED)):
            by_value: dict[str, list[str]] = defaultdict(list)
            for name, found in settings.items():
                by_value[str(found[key])].append(name)
            if len(by_value) > 1:
                told = (f"{value} in {', '.join(names)}" for value, names in by_value.items())
                differing.append(f"{key} is {' and '.join(told)}")
        if differing:
            one = seeds[0].measured
            yield (
                f"{one.label}, {one.dataset}, {one.task}: its seeds were trained with other "
                f"settings, so they are no repetitions of one training: {'; '.join(differing)}."
            )


def _of_teachers_before(records: Iterable[Record]) -> Iterator[str]:
    """Compare what stages learnt from with what is there now."""
    digest = cache(file_digest)
    for record in records:
        training, config = _read(record.directory)
        for role, before in mapping(training.get("needs")).items():
            words = text(select(config, "stage", "plan", record.measured.stage, "needs", role))
            stage, _, companion = (words or "").partition("/")
            beside = text(record.measured.beside.get(stage))
            if beside is None or Path(beside).name != beside:
                continue
            name = companion_file(Path(companion).name) if companion else BEST
            path = record.directory.parent / beside / name
            if path.is_file() and digest(path) != before:
                yield (
                    f"{record.directory.name}: learnt from another {role} than {beside} holds now, "
                    "which was trained again; train it again as well."
                )


def _settings(directory: Path) -> dict[str, Any]:
    training, _ = _read(directory, config=False)
    return {**mapping(training.get("experiment")), **mapping(training.get("circumstances"))}


def _read(directory: Path, config: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read `stage.json` and `config.yaml`; empty where one is missing or damaged."""
    try:
        training = read_json(directory / STAGE)
        return training, read_yaml(directory / CONFIG) if config else {}
    except DAMAGED:
        return {}, {}

"""What evaluation leaves of a stage: `metrics.json`, and `slices.csv` with a row a slice."""

import json
import re
from collections import defaultdict
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

from kdmri.errors import CheckpointError
from kdmri.files import write_text
from kdmri.metrics import MAIN_METRICS, SliceTable

RECORD = "metrics.json"
SLICES = "slices.csv"
EARLIER_WORDS = re.compile(r"\b(\d+\.\d+)x in truth\b")
"""How earlier versions described an effective acceleration: one input has one description."""


@dataclass(frozen=True)
class Measurements:
    """A measured stage, as `metrics.json` tells it.

    Attributes:
        dataset: its title.
        task: its title, such as "4x".
        stage: name of the stage, such as "kd".
        label: of the stage, for a reader.
        seed: of the training.
        parameters: of the network.
        flops: operations of one slice.
        milliseconds: median latency of one slice; None where it was not timed.
        minutes: wall time of the training, without what was trained before it by a teacher.
        teacher_minutes: the same for its teacher; 0 without one.
        device: what it was measured on, such as "CPU, 2 threads" or the name of a GPU.
        one_subject: whether all slices show one subject.
        subjects: of each volume of the evaluation split.
        evaluated: what is measured, in a sentence.
        figures: means over volumes, by metric.
        baselines: the same of what needs no network, by label.
        trained_on: the same of its training; "" where that is not known.
        beside: names of the directories beside this one that hold the stages of its plan.
        input: how the input was made, such as its mask; "" where that is not known.
    """

    dataset: str
    task: str
    stage: str
    label: str
    seed: int
    parameters: int
    flops: int
    milliseconds: float | None
    minutes: float
    teacher_minutes: float
    device: str
    one_subject: bool
    subjects: list[str]
    evaluated: str
    figures: dict[str, float]
    baselines: dict[str, dict[str, float]]
    trained_on: str = ""
    beside: dict[str, str] = field(default_factory=dict)
    input: str = ""

    def write(self, directory: Path, table: SliceTable) -> None:
        """Write both files."""
        write_text(directory / SLICES, table.to_csv())
        write_text(directory / RECORD, json.dumps(asdict(self), indent=2))


@dataclass(frozen=True)
class Record:
    """Measurements and the directory that they lie in."""

    directory: Path
    told: Measurements

    @cached_property
    def table(self) -> SliceTable:
        """One row a slice.

        Raises:
            CheckpointError: the file is missing or damaged.
        """
        path = self.directory / SLICES
        try:
            return SliceTable.from_csv(path.read_text())
        except (OSError, ValueError) as error:
            raise CheckpointError(_damaged(path, error)) from error


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
    paths = sorted(path for path in root.rglob(RECORD) if path.stat().st_mtime >= since)
    return _inputs_apart(_told_apart([_read(path) for path in paths], root))


def _read(path: Path) -> Record:
    try:
        told = Measurements(**json.loads(path.read_text()))
        told = replace(told, input=EARLIER_WORDS.sub(r"effective acceleration \1x", told.input))
        for figures in (told.figures, *told.baselines.values()):
            if {type(figures[name]) for name in MAIN_METRICS} != {float}:
                raise ValueError("figures that are no numbers")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(_damaged(path, error)) from error
    return Record(path.parent, told)


def _told_apart(records: list[Record], root: Path) -> list[Record]:
    """Add directories to a title that several data sets have, or one in several places."""
    start = root.absolute()
    folders = [record.directory.absolute().parent.parent for record in records]
    folders = [path.relative_to(start) if path.is_relative_to(start) else path for path in folders]
    of_title = defaultdict(set)
    for record, folder in zip(records, folders, strict=True):
        of_title[record.told.dataset].add(folder)
    return [
        record
        if len(of_title[record.told.dataset]) == 1
        else replace(record, told=replace(record.told, dataset=f"{record.told.dataset} ({folder})"))
        for record, folder in zip(records, folders, strict=True)
    ]


def _inputs_apart(records: list[Record]) -> list[Record]:
    """Add to the title of a task how its inputs were made, where there are several ways."""
    ways: dict[tuple[str, str], set[str]] = defaultdict(set)
    for told in (record.told for record in records):
        ways[told.dataset, told.task] |= {told.input} - {""}
    return [
        record
        if len(ways[record.told.dataset, record.told.task]) < 2
        else replace(record, told=replace(record.told, task=_of_input(record.told)))
        for record in records
    ]


def _of_input(told: Measurements) -> str:
    return f"{told.task} ({told.input or 'input not recorded'})"


def _damaged(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{path}: is missing; run evaluate.py there again"
    return f"{path}: not what evaluation writes ({error!r}); run evaluate.py there again"

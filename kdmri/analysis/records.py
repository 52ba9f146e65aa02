"""What evaluation leaves of a stage: `metrics.json`, and `slices.csv` with a row a slice.

Trees of them are read by `kdmri.analysis.experiments`.
"""

import json
import re
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

from kdmri.analysis.plain import read_json
from kdmri.errors import CheckpointError
from kdmri.files import write_text
from kdmri.metrics import MAIN_METRICS, SliceTable

RECORD = "metrics.json"
SLICES = "slices.csv"
EARLIER_WORDS = re.compile(r"\b(\d+\.\d+)x in truth\b")
"""How earlier versions described an effective acceleration: one input has one description."""

EARLIER_LABELS = re.compile(r"(CG-SENSE|BART l1-wavelet) \(([\d.e+-]+)\)")
"""How earlier versions named baselines: each weight would be a method of its own."""

TEXTS = ("dataset", "task", "stage", "label", "device", "evaluated", "trained_on", "input")
"""What of a record is text; subjects are, too."""

DAMAGED = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What a file that is no record raises where it is read."""

LARGEST_TABLE = 2**26
"""A table of more bytes than this, of some 400,000 slices, is not one of this program."""


@dataclass(frozen=True)
class Measurements:
    """A measured stage, as `metrics.json` has it.

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
        weights: of the regularisation of baselines that have one, by label.
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
    weights: dict[str, float] = field(default_factory=dict)

    def write(self, directory: Path, table: SliceTable) -> None:
        """Write both files."""
        write_text(directory / SLICES, table.to_csv())
        write_text(directory / RECORD, json.dumps(asdict(self), indent=2))


@dataclass(frozen=True)
class Record:
    """Measurements and the directory that they lie in."""

    directory: Path
    measured: Measurements

    @classmethod
    def read(cls, directory: Path) -> "Record":
        """Read the measurements of a stage's directory.

        Raises:
            CheckpointError: the file is missing or damaged.
        """
        path = directory / RECORD
        try:
            measured = _weights_apart(Measurements(**read_json(path)))
            for figures in (measured.figures, *measured.baselines.values()):
                if {type(figures[name]) for name in MAIN_METRICS} != {float}:
                    raise ValueError("figures that are no numbers")
            if not all(type(weight) is float for weight in measured.weights.values()):
                raise ValueError("weights that are no numbers")
            texts = [value for name, value in vars(measured).items() if name in TEXTS]
            if not all(isinstance(text, str) for text in (*texts, *measured.subjects)):
                raise ValueError("texts that are none")
            words = EARLIER_WORDS.sub(r"effective acceleration \1x", measured.input)
        except (OSError, *DAMAGED) as error:
            raise CheckpointError(_damaged(path, error)) from error
        return cls(directory, replace(measured, input=words))

    @cached_property
    def table(self) -> SliceTable:
        """One row a slice.

        Raises:
            CheckpointError: the file is missing or damaged.
        """
        path = self.directory / SLICES
        try:
            if path.stat().st_size > LARGEST_TABLE:
                raise ValueError(f"more than {LARGEST_TABLE} bytes")
            return SliceTable.from_csv(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CheckpointError(_damaged(path, error)) from error


def _weights_apart(measured: Measurements) -> Measurements:
    """Take the weights out of labels, where earlier versions wrote them: "CG-SENSE (0.03)"."""
    found = {label: EARLIER_LABELS.fullmatch(label) for label in measured.baselines}
    names = {label: label if match is None else match[1] for label, match in found.items()}
    weights = {match[1]: float(match[2]) for match in found.values() if match is not None}
    baselines = {names[label]: figures for label, figures in measured.baselines.items()}
    return replace(measured, baselines=baselines, weights={**weights, **measured.weights})


def _damaged(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{path}: is missing; run evaluate.py there again"
    return f"{path}: not what evaluation writes ({error!r}); run evaluate.py there again"

"""What a command said, compared with what it left."""

import json
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import nibabel
import numpy as np
from PIL import Image

from kdmri.prepare.checking import check
from kdmri.prepare.manifest import NAME


class Finding(NamedTuple):
    """What went wrong.

    Attributes:
        kind: one of `KINDS`.
        text: command, place and message.
    """

    kind: str
    text: str


KINDS = ("traceback", "timeout", "memory", "crash", "half-written", "check", "output", "exit")


@dataclass
class Verdict:
    """How a case went.

    Attributes:
        case: its number.
        format: of the source.
        accepted: whether a command wrote something.
        findings: what went wrong.
        seconds: wall time.
    """

    case: int
    format: str
    accepted: bool = False
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def judge_prepared(verdict: Verdict, ended: Ended, folder: Path) -> None:
    """Compare what `prepare` said with what it left."""
    made = folder / "sets" / "fuzz"
    entries: dict[str, Any] = {}
    if (made / NAME).is_file():
        try:
            text = (made / NAME).read_text()
            entries = json.loads(text, parse_constant=_no_constant)["volumes"]
        except ValueError as error:
            verdict.findings.append(Finding("output", f"prepare: {NAME}: {error}"))
            return
    _judge_exit(verdict, "prepare", ended, bool(entries))
    _judge_hidden(verdict, "prepare", folder / "sets", folder / "masks")
    there = {str(p.relative_to(made)) for p in made.glob("*/*.h5")}
    noted = {entry["file"] for entry in entries.values()}
    if there != noted:
        text = f"prepare: not in both h5 files and manifest: {sorted(there ^ noted)}"
        verdict.findings.append(Finding("half-written", text))
    if not there:
        return
    verdict.accepted = True
    try:
        for path, found in check(made):
            if isinstance(found, str):
                verdict.findings.append(Finding("check", f"{path.relative_to(made)}: {found}"))
    except Exception as error:
        verdict.findings.append(Finding("check", where(error)))


def judge_reconstructed(verdict: Verdict, ended: Ended, output: Path) -> None:
    """Compare what `reconstruct` said with what it left."""
    files = [output] if output.is_file() else [p for p in output.rglob("*") if p.is_file()]
    _judge_exit(verdict, "reconstruct", ended, bool(files))
    _judge_hidden(verdict, "reconstruct", output.parent, output)
    for path in files:
        verdict.accepted = True
        try:
            values = _read(path)
        except Exception as error:
            verdict.findings.append(Finding("output", f"reconstruct: {path.name}: {error!r}"))
            continue
        if not values.size or not np.isfinite(values).all():
            text = f"reconstruct: {path.suffix} is empty, or holds NaN or infinite values"
            verdict.findings.append(Finding("output", text))


def _read(path: Path) -> np.ndarray:
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            return file["reconstruction"][...]
    if path.suffix == ".png":
        return np.asarray(Image.open(path))
    return np.asarray(nibabel.load(path).dataobj)


def _judge_exit(verdict: Verdict, name: str, ended: Ended, wrote: bool) -> None:
    lines = [line for line in ended.err.split("\n") if line.strip()]
    description = len(lines) == 1 and lines[0].startswith("error: ")
    if ended.code == 0 and not lines and wrote:
        return
    if ended.code == 2 and (description or (not lines and "left out" in ended.out)):
        return
    text = f"{name}: exit code {ended.code}, {'' if wrote else 'nothing '}written, {ended.err!r}"
    verdict.findings.append(Finding("exit", text))


def _judge_hidden(verdict: Verdict, name: str, *folders: Path) -> None:
    hidden = {p.name for folder in folders for p in folder.glob("**/.*")}
    if hidden:
        verdict.findings.append(Finding("half-written", f"{name}: left {sorted(hidden)}"))


def _no_constant(name: str) -> None:
    raise ValueError(f"holds {name}, which is no JSON")


def where(error: BaseException) -> str:
    """Name an error with the last place in this project's code that it passed."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "/kdmri/" in f.filename]
    text = " ".join(str(error).split())[:200]
    place = f"{own[-1].filename.rpartition('/kdmri/')[2]}:{own[-1].lineno}" if own else "?"
    return f"{type(error).__name__} at {place}: {text}"

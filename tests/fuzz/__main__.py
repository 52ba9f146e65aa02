"""Damaged files of every format through `prepare` and `reconstruct`: `python -m tests.fuzz`.

    python -m tests.fuzz count=20000 seed=0 processes=2 formats=[nifti1,dicom] keep=DIR
    python -m tests.fuzz seed=0 case=1234 keep=DIR

`formats` takes some of `tests.fuzz.samples.FORMATS`, `case` runs one case again, `keep` keeps the
damaged files of findings. The exit code is 1 where there is a finding.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.fuzz import pool, samples
from tests.fuzz.judging import KINDS, Verdict
from tests.fuzz.trial import format_of

SHOWN = 5
"""Cases that are listed of findings of one place."""


@dataclass
class Words:
    """The command's words."""

    count: int = 20000
    seed: int = 0
    processes: int = 2
    formats: tuple[str, ...] = tuple(samples.FORMATS)
    keep: Path | None = None
    case: int | None = None

    def cases(self) -> Iterable[int]:
        """Number the cases to run."""
        if self.case is not None:
            return [self.case]
        return islice((n for n in count() if format_of(n) in self.formats), self.count)


def parse(words: list[str]) -> Words:
    """Read the command's words; raises ValueError, which says what is wrong."""
    found = Words()
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not hasattr(found, key) or key == "cases":
            raise ValueError(f"{word}: give {', '.join(f'{k}=...' for k in vars(found))}")
        if key == "formats":
            found.formats = tuple(filter(None, value.strip("[]").split(",")))
            unknown = [name for name in found.formats if name not in samples.FORMATS]
            if unknown or not found.formats:
                raise ValueError(f"{word}: choose among {', '.join(samples.FORMATS)}")
        elif key == "keep":
            found.keep = Path(value)
        elif not value.isdecimal() or (int(value) < 1 and key in ("count", "processes")):
            raise ValueError(f"{word}: must be a whole number")
        else:
            setattr(found, key, int(value))
    return found


def verdicts(words: Words) -> Iterator[Verdict]:
    """Run the cases; yields verdicts as they come."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as made:
        templates, scratch = Path(made, "templates"), Path(made, "scratch")
        samples.write_all(templates)
        scratch.mkdir()
        folders = templates, scratch
        for verdict in pool.run(words.cases(), words.processes, words.seed, folders):
            left = scratch / f"case-{verdict.case}"
            if left.exists() and words.keep is not None:
                shutil.copytree(left, words.keep / left.name, dirs_exist_ok=True)
            shutil.rmtree(left, ignore_errors=True)
            yield verdict


def table(found: list[Verdict], seconds: float) -> Table:
    """Count the verdicts by format."""
    slowest = max(v.seconds for v in found)
    shown = Table(title=f"{len(found)} files in {seconds:.0f} s, the slowest in {slowest:.1f} s")
    for name in ("format", "files", "refused", "accepted", *KINDS):
        shown.add_column(name, justify="left" if name == "format" else "right")
    rows = [name for name in samples.FORMATS if any(v.format == name for v in found)]
    for name in [*rows, "all"]:
        some = [v for v in found if name in (v.format, "all")]
        taken = sum(v.accepted for v in some)
        kinds = [sum(any(f.kind == kind for f in v.findings) for v in some) for kind in KINDS]
        cells = [len(some), len(some) - taken, taken, *kinds]
        shown.add_row(name, *map(str, cells), style="bold" if name == "all" else None)
    return shown


def listing(found: list[Verdict], seed: int) -> Iterator[str]:
    """List findings, those of one place together, each with cases that show it again."""
    places: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for verdict in found:
        for finding in verdict.findings:
            place = finding.kind, finding.text.partition(": ")[2].partition(": ")[0]
            places.setdefault(place, []).append((verdict.case, f"{verdict.format}: {finding.text}"))
    for (kind, _), cases in sorted(places.items(), key=lambda item: -len(item[1])):
        numbers = " ".join(f"case={case}" for case in list(dict(cases))[:SHOWN])
        yield f"{kind}, {len(cases)} times, seed={seed} {numbers}: {cases[0][1]}"


def main(words: list[str]) -> int:
    """Run the command; returns its exit code."""
    try:
        wanted = parse(words)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    terminal, began, found = Console(width=160), time.monotonic(), []
    for verdict in verdicts(wanted):
        found.append(verdict)
        for finding in verdict.findings:
            print(
                f"case={verdict.case} {verdict.format} {finding.kind}: {finding.text}", flush=True
            )
        if len(found) % 1000 == 0:
            print(f"{len(found)} files, {time.monotonic() - began:.0f} s", flush=True)
    terminal.print(table(found, time.monotonic() - began))
    for line in listing(found, wanted.seed):
        terminal.print(escape(line), highlight=False, soft_wrap=True)
    return int(any(verdict.findings for verdict in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

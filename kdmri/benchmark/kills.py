"""A training that is killed at random moments beside one that is not."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from rich.progress import Progress

from kdmri.analysis.records import RECORD as MEASURED
from kdmri.analysis.tables import Table
from kdmri.benchmark.chains import TRAIN, environment
from kdmri.config.identity import BEST
from kdmri.console import console
from kdmri.errors import KdmriError
from kdmri.experiment.stages import RECORD
from kdmri.models.stored import read_checkpoint

POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Kill:
    """One interruption.

    Attributes:
        seconds: since the command had been started.
        during: what the command was about.
        went_on: whether the same command, started again, did not end with an error.
    """

    seconds: float
    during: str
    went_on: bool


class Chain:
    """A training in a directory of its own."""

    def __init__(self, folder: Path, words: list[str]) -> None:
        """Take the directory and the overrides of `train.py`."""
        self.folder = folder
        folder.mkdir()
        options_first = sorted(words, key=lambda word: not word.startswith("-"))
        self._command = [*TRAIN, *options_first]
        self._log = folder / "log"

    def run(self, seconds: float | None = None) -> float | None:
        """Run the command; kill it after some seconds, or let it end.

        Returns:
            Seconds until the kill; None where it ended by itself.

        Raises:
            KdmriError: it ended with an error.
        """
        began = time.monotonic()
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                self._command,
                cwd=self.folder,
                env=environment(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            try:
                status = process.wait(seconds)
            except subprocess.TimeoutExpired:
                taken = time.monotonic() - began
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return taken
        if status:
            last = self._log.read_text(errors="replace").strip().splitlines()[-1:]
            raise KdmriError(f"{self._log}: train.py ended with status {status}: {' '.join(last)}")
        return None

    def records(self) -> dict[str, dict[str, Any]]:
        """What each stage's directory says of itself, by its path below the chain's."""
        found = sorted((self.folder / "experiments").rglob(RECORD))
        return {
            str(path.parent.relative_to(self.folder)): json.loads(path.read_text())
            for path in found
        }

    @property
    def during(self) -> str:
        """What was going on: before the first stage, in one, between two, or after the last."""
        records = self.records()
        if not records:
            return "before the first stage"
        open_stages = [r["stage"] for r in records.values() if not r["finished"]]
        return f"in {open_stages[0]}" if open_stages else f"after {len(records)} stages"


def recover(config: DictConfig) -> None:
    """Print a row for each kill and whether both ends are the same; exit code 1 where not."""
    with (
        tempfile.TemporaryDirectory(prefix="kdmri-recovery-") as folder,
        Progress(console=console(), transient=True) as bar,
    ):
        task = bar.add_task("without interruption", total=config.kills + 2)
        words = [f"paths.datasets={Path(folder) / 'datasets'}", *map(str, config.train)]
        whole = Chain(Path(folder) / "whole", words)
        start, duration = _timed(whole)
        bar.advance(task)

        killed = Chain(Path(folder) / "killed", words)
        kills: list[Kill] = []
        for seconds in _moments(config.kills, config.seed, start, duration - start):
            bar.update(task, description=f"kill {len(kills) + 1}", advance=1)
            kills.append(_kill(killed, seconds))
        bar.update(task, description="to the end")
        ended = _ends(killed)
        differing = differences(whole, killed) if ended else ["did not end"]
    console().print(_table(kills, duration).to_rich())
    survived = sum(kill.went_on for kill in kills)
    same = "the same, bit for bit" if not differing else f"not the same: {'; '.join(differing)}"
    console().print(
        f"{survived} of {len(kills)} kills survived; weights and figures of all stages are {same}",
        highlight=False,
        soft_wrap=True,
    )
    if differing or survived < len(kills):
        sys.exit(1)


def _timed(chain: Chain) -> tuple[float, float]:
    """Run a chain to its end; give the seconds until its first stage began, and all of them."""
    began = time.monotonic()
    with ThreadPoolExecutor() as pool:
        ended = pool.submit(chain.run)
        while not ended.done() and not chain.records():
            time.sleep(POLL_SECONDS)
        start = time.monotonic() - began
        ended.result()
    return start, time.monotonic() - began


def _moments(kills: int, seed: int, start: float, work: float) -> list[float]:
    """Draw how long each run lasts, so that the kills are spread evenly over the work.

    Each run has to start before it goes on.
    """
    generator = random.Random(seed)
    places = sorted(generator.uniform(0, work) for _ in range(kills))
    return [start + b - a for a, b in zip([0.0, *places], places, strict=False)]


def _kill(chain: Chain, seconds: float) -> Kill:
    try:
        taken = chain.run(seconds)
    except KdmriError as error:
        console(stderr=True).print(str(error), highlight=False, soft_wrap=True)
        return Kill(seconds, chain.during, went_on=False)
    if taken is None:
        return Kill(seconds, "had ended before", went_on=True)
    return Kill(taken, chain.during, went_on=True)


def _ends(chain: Chain) -> bool:
    try:
        chain.run()
    except KdmriError as error:
        console(stderr=True).print(str(error), highlight=False, soft_wrap=True)
        return False
    return True


def differences(one: Chain, other: Chain) -> list[str]:
    """Name what differs between two chains: stages, weights, best figures, measured figures."""
    first, second = one.records(), other.records()
    if first.keys() != second.keys():
        return [f"stages {sorted(first.keys() ^ second.keys())}"]
    found = []
    for name, record in first.items():
        if _best(record) != _best(second[name]):
            found.append(f"{name}: best figures")
        weights = [read_checkpoint(c.folder / name / BEST)["weights"] for c in (one, other)]
        if not all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0]):
            found.append(f"{name}: weights")
        measured = [c.folder / name / MEASURED for c in (one, other)]
        figures = [json.loads(p.read_text())["figures"] for p in measured if p.is_file()]
        if figures and (len(figures) == 1 or figures[0] != figures[1]):
            found.append(f"{name}: measured figures")
    return found


def _best(record: dict[str, Any]) -> dict[str, Any]:
    """Return epoch, score and validation figures of the best weights.

    Training losses are left out: that of an epoch which was cut is a mean over the rest of it.
    """
    best = dict(record["best"])
    metrics = best.pop("metrics", {})
    return best | {key: value for key, value in metrics.items() if key.startswith("val/")}


def _table(kills: list[Kill], duration: float) -> Table:
    rows = [
        [str(number), f"{kill.seconds:.1f}", kill.during, "yes" if kill.went_on else "no"]
        for number, kill in enumerate(kills, start=1)
    ]
    return Table(
        title=f"A chain of {duration:.0f} s, killed {len(kills)} times",
        header=["kill", "after s", "killed", "the command went on"],
        rows=rows,
        notes=[],
    )

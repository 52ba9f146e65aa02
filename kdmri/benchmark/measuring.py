"""Interleaves the arms of a work and collects their figures."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kdmri.benchmark.startup import seconds_to_first_step
from kdmri.benchmark.works import PEAK_CHANNELS, Setting
from kdmri.errors import KdmriError

START_UP = "start-up"
STARTS = 3


@dataclass
class Measured:
    """Repetitions of one arm.

    Attributes:
        seconds: of each repetition, for one slice (for one step: of the whole step).
        peak_mib: largest resident memory of the arm's process, 0 where it is not known.
        threads: of its process.
    """

    seconds: list[float] = field(default_factory=list)
    peak_mib: float = 0.0
    threads: int = 0

    @property
    def median(self) -> float:
        """Median of the repetitions, in seconds."""
        return float(np.median(self.seconds))

    @property
    def quartiles(self) -> tuple[float, float]:
        """First and third quartile, in seconds."""
        low, high = np.percentile(self.seconds, (25, 75))
        return float(low), float(high)


@dataclass(frozen=True)
class Plan:
    """How often and how a work is repeated; see `configs/benchmark.yaml`."""

    setting: Setting
    rounds: int
    warm_up: int
    threads: int | None
    clock: str


class _Worker:
    """A process that repeats one arm of a work."""

    def __init__(self, plan: Plan, arm: str, work: str) -> None:
        self.name = f"{work} ({arm})"
        job = {"arm": arm, "work": work, "threads": plan.threads, "clock": plan.clock}
        command = [sys.executable, "-m", "kdmri.benchmark.worker"]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self._send(json.dumps(job | {"setting": asdict(plan.setting)}))

    def repeat(self) -> dict[str, Any]:
        """Ask for one repetition and wait for its figures."""
        self._send("again")
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            raise KdmriError(f"{self.name}: its process ended with code {self._process.wait()}")
        return json.loads(answer)

    def close(self) -> None:
        """Let the process end."""
        self._process.communicate()

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()


def measure(plan: Plan, work: str, arms: Sequence[str]) -> dict[str, Measured]:
    """Repeat a work, one arm after the other in every round.

    Raises:
        KdmriError: an arm's process failed.
    """
    if work == START_UP:
        return {"suite": _start_up()}
    workers = {arm: _Worker(plan, arm, work) for arm in arms}
    measured = {arm: Measured() for arm in arms}
    try:
        for number in range(plan.warm_up + plan.rounds):
            for arm, worker in workers.items():
                figures = worker.repeat()
                whole = "step" in work or arm == "bound"
                if number >= plan.warm_up:
                    share = 1 if whole else figures["items"]
                    measured[arm].seconds.append(figures["seconds"] / share)
                measured[arm].peak_mib = figures["peak_mib"]
                measured[arm].threads = figures["threads"]
    finally:
        for worker in workers.values():
            worker.close()
    return measured


def peak_flops(plan: Plan, bound: Measured) -> float:
    """Give the operations a second of the convolution that the bound repeated."""
    height, width = plan.setting.size
    return 2 * 9 * PEAK_CHANNELS**2 * height * width / bound.median


def _start_up() -> Measured:
    """Start `train.py` a few times, once more to make its data and warm the caches."""
    with tempfile.TemporaryDirectory() as folder:
        seconds = [seconds_to_first_step(Path(folder)) for _ in range(STARTS + 1)]
    return Measured(seconds[1:])

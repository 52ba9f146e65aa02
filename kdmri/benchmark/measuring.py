"""Interleaves the arms of a work, each in a process of its own, and collects their figures."""

import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch

from kdmri.benchmark import coils
from kdmri.benchmark.peak import own_peak
from kdmri.benchmark.setting import Setting
from kdmri.benchmark.works import Work
from kdmri.errors import KdmriError
from kdmri.hardware import keep_freed_memory


@dataclass
class Repetitions:
    """Repetitions of one arm.

    Attributes:
        seconds: of each repetition.
        slices: of one repetition.
        peak_mib: largest memory, of its process or, on a GPU, of its tensors; 0: not known.
    """

    seconds: list[float] = field(default_factory=list)
    slices: int = 1
    peak_mib: float = 0.0

    @property
    def median(self) -> float:
        """Median of the repetitions, in seconds."""
        return float(np.median(self.seconds))

    @property
    def quartiles(self) -> tuple[float, float]:
        """First and third quartile, in seconds."""
        low, high = np.percentile(self.seconds, (25, 75))
        return float(low), float(high)

    @property
    def a_slice(self) -> float:
        """Median for one slice, in seconds."""
        return self.median / self.slices


@dataclass(frozen=True)
class Plan:
    """How often a work is repeated, `warm_up` times more than `rounds`, and by how many threads."""

    setting: Setting
    rounds: int
    warm_up: int
    threads: int | None


def measure(plan: Plan, work: str, arms: Sequence[str]) -> dict[str, Repetitions]:
    """Repeat a work, one arm after the other in every round.

    A process for each arm keeps their memory apart, and the way in which it is allocated.

    Raises:
        KdmriError: an arm's process failed.
    """
    context = multiprocessing.get_context("spawn")  # a fork would inherit memory and threads
    measured, ends, processes = {arm: Repetitions() for arm in arms}, {}, []
    for arm in arms:
        ends[arm], other = context.Pipe()
        process = context.Process(target=_serve, args=(other, plan, work, arm), daemon=True)
        process.start()
        other.close()
        processes.append(process)
    try:
        for number in range(plan.warm_up + plan.rounds):
            for arm, figures in measured.items():
                ends[arm].send("again")
                seconds, figures.slices, figures.peak_mib = ends[arm].recv()
                if number >= plan.warm_up:
                    figures.seconds.append(seconds)
    except (EOFError, OSError) as error:
        raise KdmriError(f"{work}: a process failed; its error is above") from error
    finally:
        for end in ends.values():
            end.close()
        for process in processes:
            process.join()
    return measured


def _serve(end: Connection, plan: Plan, work: str, arm: str) -> None:
    """Repeat an arm of a work as often as the other end asks for it."""
    if arm != "reference":
        keep_freed_memory()
    if plan.threads is not None:
        torch.set_num_threads(plan.threads)
    torch.manual_seed(plan.setting.seed)
    with tempfile.TemporaryDirectory() as folder:
        built = _built(plan.setting, arm, work, Path(folder))
        while _asked(end):
            built.prepare()
            began = _now(plan.setting.device)
            built.run()
            seconds = _now(plan.setting.device) - began
            peak = _peak(plan.setting.device, built.outside) / 2**20
            end.send((seconds, built.slices, peak))
        built.close()


def _built(setting: Setting, arm: str, work: str, folder: Path) -> Work:
    if work in coils.ROWS:
        return coils.build(setting, arm, work, folder)
    from kdmri.benchmark import arms  # which would count in the memory of the others

    return arms.build(setting, arm, work, folder)


def _now(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _peak(device: str, outside: bool) -> int:
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    if outside:  # what the system tells of a child begins with the memory of this process
        return 0
    return own_peak()


def _asked(end: Connection) -> bool:
    try:
        return bool(end.recv())
    except EOFError:
        return False

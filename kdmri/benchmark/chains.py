"""Runs `kdmri train` as a user does, and takes its time."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kdmri.benchmark.measuring import Repetitions
from kdmri.errors import KdmriError

TRAIN = [sys.executable, "-m", "kdmri", "train"]
"""The command, from any directory, with `environment()`."""

STARTS = 3


def environment() -> dict[str, str]:
    """Return this process's environment, in which another Python finds this very package."""
    here = str(Path(__file__).parents[2])
    before = os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": os.pathsep.join([here, *([before] if before else [])])}


def start_up() -> Repetitions:
    """Start the student's training, to its first step; once more to make the data."""
    end = "+callbacks.end._target_=kdmri.benchmark.first_step.EndAfterFirstStep"
    with tempfile.TemporaryDirectory() as folder:
        return _train(folder, ["stage=student", "overwrite=true", end], STARTS + 1, warm_up=1)


def demo() -> Repetitions:
    """Train and measure all stages of the demo, once."""
    with tempfile.TemporaryDirectory() as folder:
        return _train(folder, [], 1)


def _train(folder: str, arguments: list[str], times: int, warm_up: int = 0) -> Repetitions:
    command = [
        *(*TRAIN, "experiment=demo"),
        *(f"paths.datasets={folder}/datasets", f"paths.experiments={folder}/experiments"),
        *arguments,
    ]
    measured = Repetitions()
    for number in range(times):
        with tempfile.TemporaryFile() as said:
            began = time.perf_counter()
            process = subprocess.Popen(command, env=environment(), stdout=said, stderr=said)
            _, process.returncode, used = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - began
            said.seek(0)
            if process.returncode:
                raise KdmriError(f"kdmri train failed: {said.read().decode(errors='replace')}")
        if number >= warm_up:
            measured.seconds.append(seconds)
            measured.peak_mib = max(measured.peak_mib, used.ru_maxrss / 1024)
    return measured

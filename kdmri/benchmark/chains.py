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

HERE = Path(__file__).parents[2]
"""The tree of this very package."""

STARTS = 3


def environment(tree: Path = HERE) -> dict[str, str]:
    """Return this process's environment, in which another Python finds the package of a tree."""
    before = os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(tree), *([before] if before else [])])}


def start_up(earlier: Path | None) -> dict[str, Repetitions]:
    """Start the student's training, to its first step; once more to make the data.

    Args:
        earlier: another checkout, whose training takes turns with this one as the "reference".
    """
    trees = {"suite": HERE, **({} if earlier is None else {"reference": earlier})}
    measured = {arm: Repetitions() for arm in trees}
    with tempfile.TemporaryDirectory() as folder:
        callback = Path(folder) / "first_step.py"  # for trees that have no such module, too
        callback.write_bytes(Path(__file__).with_name("first_step.py").read_bytes())
        end = "+callbacks.end._target_=first_step.EndAfterFirstStep"
        for number in range(STARTS + 1):
            for arm, tree in trees.items():
                found = environment(tree)
                found["PYTHONPATH"] += os.pathsep + folder
                once = _train(folder, ["stage=student", "overwrite=true", end], found)
                if number:
                    _add(measured[arm], once)
    return measured


def demo(_earlier: Path | None) -> dict[str, Repetitions]:
    """Train and measure all stages of the demo, once."""
    measured = Repetitions()
    with tempfile.TemporaryDirectory() as folder:
        _add(measured, _train(folder, [], environment()))
    return {"suite": measured}


def _add(measured: Repetitions, once: tuple[float, float]) -> None:
    measured.seconds.append(once[0])
    measured.peak_mib = max(measured.peak_mib, once[1])


def _train(folder: str, arguments: list[str], found: dict[str, str]) -> tuple[float, float]:
    """Run the command in an environment; return seconds and MiB at most."""
    command = [
        *(*TRAIN, "experiment=demo"),
        *(f"paths.datasets={folder}/datasets", f"paths.experiments={folder}/experiments"),
        *arguments,
    ]
    with tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        process = subprocess.Popen(command, env=found, stdout=said, stderr=said, cwd=folder)
        _, process.returncode, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        said.seek(0)
        if process.returncode:
            raise KdmriError(f"kdmri train failed: {said.read().decode(errors='replace')}")
    return seconds, used.ru_maxrss / 1024

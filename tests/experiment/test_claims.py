"""Two programs in one directory, by real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kdmri.errors import StageConflictError
from kdmri.experiment.claims import SILENT_SECONDS, claim, is_claimed
from tests.conftest import ROOT, TINY, Result

LONG = "trainer.max_epochs=5"


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *TINY, LONG, *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def holder(folder: Path) -> tuple[subprocess.Popen[str], Path]:
    """Start a program that trains a teacher, and halt it when it has saved something."""
    process = start(folder, "stage=teacher")
    directory = folder / "experiments" / "own" / "acc_4x" / "tiny_teacher"
    while not (directory / "model.pt").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGSTOP)
    assert is_claimed(directory)
    return process, directory


@pytest.mark.usefixtures("own")
def test_teacher_that_another_program_trains_is_waited_for_and_shared(
    train: Callable[..., Result], tmp_path: Path
) -> None:
    first, directory = holder(tmp_path)
    second = start(tmp_path, "stage=feature")
    refused = train(LONG, "stage=teacher", "wait=false")
    line = first_line(second)
    first.send_signal(signal.SIGCONT)
    texts = [first.communicate()[0], line + second.communicate()[0]]
    assert refused.code == 2
    assert "is training this stage; wait for it with wait=true" in " ".join(refused.err.split())
    assert (first.returncode, second.returncode) == (0, 0), texts
    words = " ".join(texts[1].split())
    assert f"waits for process {first.pid} on" in words
    assert not is_claimed(directory)


@pytest.mark.usefixtures("own")
def test_claim_of_a_killed_program_ends_with_it(tmp_path: Path) -> None:
    first, directory = holder(tmp_path)
    second = start(tmp_path, "stage=teacher")
    assert f"waits for process {first.pid}" in first_line(second)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    text = second.communicate()[0]
    assert second.returncode == 0, text
    assert "goes on from" in text
    assert (directory / "best_model.pt").is_file()


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    with claim(tmp_path, "kd", wait=False):
        assert is_claimed(tmp_path)
        with (
            pytest.raises(StageConflictError, match=f"process {os.getpid()} on"),
            claim(tmp_path, "kd", wait=False),
        ):
            pass
    assert not is_claimed(tmp_path)


def test_holder_on_another_machine_is_dead_when_it_is_silent(tmp_path: Path) -> None:
    """Locks of some clusters' file systems end at the machine; the holder's file does not."""
    holder = tmp_path / "claim.holder"
    (tmp_path / "claim").touch()
    holder.write_text(json.dumps({"machine": "elsewhere", "process": 1}))
    assert is_claimed(tmp_path)
    with (
        pytest.raises(StageConflictError, match="process 1 on elsewhere"),
        claim(tmp_path, "kd", wait=False),
    ):
        pass
    long_ago = time.time() - 2 * SILENT_SECONDS
    os.utime(holder, (long_ago, long_ago))
    with claim(tmp_path, "kd", wait=False):
        assert json.loads(holder.read_text())["process"] == os.getpid()
    assert not holder.exists()


def test_damaged_note_of_a_holder_is_no_holder_for_ever(tmp_path: Path) -> None:
    holder = tmp_path / "claim.holder"
    holder.write_text("")
    long_ago = time.time() - 2 * SILENT_SECONDS
    os.utime(holder, (long_ago, long_ago))
    with claim(tmp_path, "kd", wait=False):
        assert is_claimed(tmp_path)

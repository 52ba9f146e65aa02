"""What the machine does to a training: a full disk, files that vanish, directories that close."""

import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdmri.data.layout import write_volume
from tests.conftest import Result
from tests.killing import as_user, finish, kill_after_first_save, weights_of

LENGTH = ("stage=student", "trainer.max_epochs=6", "checkpoint_minutes=0", "logger=csv")


def fail(call: dict[str, Any]) -> str:
    """Run a command that has to end with one error; gives its text."""
    done = subprocess.run(**call, text=True, capture_output=True)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


@pytest.fixture
def cut(tmp_path: Path, own: Path) -> Path:
    """The directory of a stage that was killed on its way."""
    folder = tmp_path / "experiments" / "own" / "acc_4x" / "cut_student"
    kill_after_first_save(as_user(tmp_path, *LENGTH, "name=cut"), folder)
    return folder


def test_full_disk_is_told_and_the_last_state_goes_on(
    train: Callable[..., Result], tmp_path: Path, cut: Path
) -> None:
    before = (cut / "model.pt").read_bytes()
    (cut / ".model.pt.1").write_bytes(before[:99])  # as a kill in the middle of a save leaves it

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, len(before) // 2))

    message = fail(as_user(tmp_path, *LENGTH, "name=cut") | {"preexec_fn": no_room})
    assert "model.pt: cannot be written" in message
    assert (cut / "model.pt").read_bytes() == before
    assert not [path for path in cut.iterdir() if path.name.startswith(".")], "nothing half-written"
    assert train(*LENGTH, "name=cut").code == 0
    assert train(*LENGTH, "name=whole").code == 0
    expected = weights_of(cut.with_name("whole_student"))
    for name, value in weights_of(cut).items():
        assert torch.equal(value, expected[name]), name


def test_training_file_that_vanished_or_is_another_is_named(
    train: Callable[..., Result], tmp_path: Path, own: Path, cut: Path, anatomy: np.ndarray
) -> None:
    (own / "train" / "2.h5").rename(tmp_path / "aside.h5")
    for told in ("train/2.h5: vanished", "train/2.h5: holds other images than when"):
        failed = train(*LENGTH, "name=cut")
        assert failed.code == 2
        message = " ".join(failed.err.split())
        assert "Traceback" not in message
        assert told in message
        assert "overwrite=true" in message
        write_volume(own / "train" / "2.h5", anatomy[:, :, 7:14], {})
    (tmp_path / "aside.h5").rename(own / "train" / "2.h5")
    assert train(*LENGTH, "name=cut").code == 0


def test_training_file_that_breaks_off_during_the_run_is_named(tmp_path: Path, own: Path) -> None:
    """Slices that are read at each step (no cache) of a file that something cuts meanwhile."""
    words = (*LENGTH, "name=late", "cache_gib=0", "trainer.max_epochs=500")
    call = as_user(tmp_path, *words)
    folder = tmp_path / "experiments" / "own" / "acc_4x" / "late_student"
    with subprocess.Popen(
        **call, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        while not (folder / "model.pt").exists():
            assert process.poll() is None
            time.sleep(0.01)
        with (own / "train" / "2.h5").open("r+b") as file:
            file.truncate(3000)
        _, error = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "2.h5" in error
    assert "Traceback" not in error
    assert (folder / "model.pt").exists()


def process_of_rank(rank: int, directory: Path) -> int:
    """Find one of the processes that a command in a directory started for its devices."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            variables = (process / "environ").read_text(errors="replace").split("\0")
            there = (process / "cwd").readlink() == directory
        except OSError:  # ended, or another user's
            continue
        if there and f"RANK={rank}" in variables:
            return int(process.name)
    raise AssertionError(f"rank {rank} is not there")


def test_process_of_a_device_that_dies_ends_the_command_and_nothing_is_lost(
    tmp_path: Path, own: Path
) -> None:
    words = (*LENGTH, "name=two", "trainer=ddp", "trainer.accelerator=cpu", "num_workers=0")
    folder = tmp_path / "experiments" / "own" / "acc_4x" / "two_student"
    call = as_user(tmp_path, *words, "trainer.max_epochs=40")
    with subprocess.Popen(
        **call, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        while not (folder / "model.pt").exists():
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(process_of_rank(1, tmp_path), signal.SIGKILL)
        _, error = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "processes that train it failed" in " ".join(error.split())
    assert "cannot be resumed" not in error
    finish(call)

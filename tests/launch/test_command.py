"""What one command began it does not begin anew."""

from pathlib import Path

import pytest

from kdmri.launch.command import COMMAND, Command
from tests.test_train import Run, contents


def test_sweep_that_overwrites_trains_a_shared_teacher_once(train: Run, tmp_path: Path) -> None:
    runs = tmp_path / "experiments" / "own" / "acc_4x"
    assert train("stage=teacher").code == 0
    before = contents(runs)
    sweep = ("--multirun", "stage.run=[teacher,feature,kd]", "loss.imitation=0.3,0.4")
    result = train(*sweep, "overwrite=true")
    assert result.code == 0, result.err
    assert result.out.count("teacher: done before") == 1, "by the first cell"
    assert result.out.count("feature: done before") == 1
    assert contents(runs) != before
    again = train(*sweep, "overwrite=true")
    assert again.code == 0, again.err
    assert again.out.count("teacher: done before") == 1, "another command replaces it"


def test_sweep_that_overwrites_replaces_what_learnt_from_a_replaced_teacher(train: Run) -> None:
    words = ("--multirun", "stage.run=[teacher,feature]", "teacher_epochs=2,1")
    assert train(*words, "overwrite=true").code == 0
    again = train(*words, "overwrite=true")
    assert again.code == 0, again.err
    assert "done before" not in again.out


def test_job_that_is_queued_again_goes_on(
    train: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    first = train("stage=student", "overwrite=true")
    assert "done before" not in first.out
    shell = train("stage=student", "overwrite=true")
    assert "done before" not in shell.out, "another command in the same allocation"
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert "student: done before" in train("stage=student", "overwrite=true").out
    monkeypatch.setenv("SLURM_JOB_ID", "18")
    assert "done before" not in train("stage=student", "overwrite=true").out


def test_children_belong_to_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(COMMAND, raising=False)
    first = Command.this()
    assert first.is_same(Command.this())
    monkeypatch.delenv(COMMAND)
    assert not Command.this().is_same(first)

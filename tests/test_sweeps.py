"""Sweeps by real processes: several devices, every launcher, a search, a preempted job."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import pytorch_lightning
import torch
import yaml

from kdmri.config.words import PLUGINS, check_words
from kdmri.errors import ConfigurationError
from tests.conftest import ROOT, TINY, Result, command

Run = Callable[..., Result]
CPU_DDP = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")


def needs(plugin: str) -> pytest.MarkDecorator:
    """Skip a test where a package of an extra is missing."""
    there = find_spec("hydra_plugins") and find_spec(f"hydra_plugins.{plugin}")
    return pytest.mark.skipif(not there, reason=f"{plugin} is not installed")


def sweep(folder: Path, *words: str) -> str:
    return command(folder, "train.py", TINY[0], "-m", *TINY[1:], *words)


def figures(folder: Path) -> dict[tuple[str, str], float]:
    """Read PSNR by task and method from a sweep's table."""
    with (folder / "experiments" / "table.csv").open() as file:
        return {(r["task"], r["method"]): float(r["psnr"]) for r in csv.DictReader(file)}


def measured(folder: Path) -> dict[str, float]:
    """Read the PSNR of all test slices by the directory of each stage."""
    found = folder.glob("*/*/metrics.json")
    return {
        str(path.parent.relative_to(folder)): json.loads(path.read_text())["figures"]["psnr"]
        for path in found
    }


def weights(directory: Path) -> dict[str, torch.Tensor]:
    return torch.load(directory / "best_model.pt", weights_only=True)["weights"]


@pytest.mark.usefixtures("own")
def test_cells_with_two_processes_and_with_one_take_turns(train: Run, tmp_path: Path) -> None:
    """Trap: ranks that a job of two devices left behind halved the next job's data."""
    words = ("stage=student", *CPU_DDP[:2])
    cells = ("trainer.devices=2,1", "acceleration=4x,8x", "name=on_${trainer.devices}")
    sweep(tmp_path, *words, *cells)
    found = tmp_path / "experiments" / "own"
    names = {f"acc_{a}/on_{n}_student" for a in ("4x", "8x") for n in (1, 2)}
    assert {str(p.relative_to(found)) for p in found.glob("*/*")} == names
    assert len(list(found.glob("*/on_2_student/config.yaml"))) == 2
    psnr = measured(found)
    for acceleration in ("4x", "8x"):
        folder = found / f"acc_{acceleration}"
        two, one = (psnr[f"acc_{acceleration}/on_{n}_student"] for n in (2, 1))
        assert two == pytest.approx(one, abs=0.01)
        alone = ("stage=student", f"acceleration={acceleration}", "name=alone")
        assert train(*alone).code == 0
        after = weights(folder / "on_1_student")
        for name, value in weights(folder / "alone_student").items():
            assert torch.equal(value, after[name]), name
    assert len(figures(tmp_path)) == 4, "zero-filled and student of two accelerations"


@needs("hydra_submitit_launcher")
@pytest.mark.usefixtures("own")
def test_submitit_runs_a_task_for_each_device(train: Run, tmp_path: Path) -> None:
    grid = ("acceleration=4x,8x", "stage=student")
    text = sweep(tmp_path, *grid, *CPU_DDP, "launcher=submitit_local")
    assert "All stages that were measured" in text
    logs = list((tmp_path / "experiments" / ".submitit").glob("*/*_log.out"))
    assert {path.name.split("_")[1] for path in logs} == {"0", "1"}
    assert len(logs) == 4, "two jobs of two tasks"
    two = figures(tmp_path)
    assert train("--multirun", *grid, "overwrite=true").code == 0
    assert figures(tmp_path) == pytest.approx(two, abs=0.01)


@needs("hydra_submitit_launcher")
@pytest.mark.usefixtures("own")
def test_preempted_job_is_queued_again_and_goes_on(train: Run, tmp_path: Path) -> None:
    words, launcher = ("stage=student", "trainer.max_epochs=15"), "launcher=submitit_local"
    directory = tmp_path / "experiments" / "own" / "acc_4x" / "tiny_student"
    with subprocess.Popen(
        [
            *(sys.executable, ROOT / "train.py", TINY[0], "-m"),
            *(*TINY[1:], *words, "overwrite=true", launcher),
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as process:
        while not (directory / "model.pt").exists() and process.poll() is None:
            time.sleep(0.01)
        holder = json.loads((directory / "claim.holder").read_text())["process"]
        os.kill(holder, signal.SIGUSR2)  # what SLURM sends before it ends a job
    assert process.returncode == 0
    log = next((tmp_path / "experiments" / ".submitit").glob("*/*_0_log.out")).read_text()
    assert "student: goes on from" in log
    resumed = weights(directory)
    assert train(*words, "overwrite=true").code == 0
    for name, value in weights(directory).items():
        assert torch.equal(value, resumed[name]), name


@needs("hydra_joblib_launcher")
@pytest.mark.usefixtures("own")
def test_jobs_at_once_share_a_teacher(tmp_path: Path) -> None:
    words = ("stage.run=[teacher,feature,kd]", "loss.imitation=0.3,0.5")
    text = " ".join(sweep(tmp_path, *words, "launcher=joblib").split())
    assert text.count("teacher (d3c2") == 1, "trained once"
    assert text.count("teacher: done before") == 1
    names = {p.name for p in (tmp_path / "experiments" / "own" / "acc_4x").iterdir()}
    assert {"tiny_teacher", "tiny_kd", "tiny_kd_loss.imitation-0.3"} <= names
    table = (tmp_path / "experiments" / "table.md").read_text()
    assert table.count("Student + KD") == 2


@needs("hydra_optuna_sweeper")
@pytest.mark.usefixtures("own")
def test_search_finds_the_best_of_its_trials(tmp_path: Path) -> None:
    text = sweep(tmp_path, "search=loss_and_depth", "hydra.sweeper.n_trials=2")
    root = tmp_path / "experiments"
    found = yaml.safe_load((root / "optimization_results.yaml").read_text())
    assert set(found["best_params"]) == {"loss.imitation", "student.depth"}
    records = [json.loads((p / "stage.json").read_text()) for p in root.glob("own/acc_4x/tiny_kd*")]
    psnr = [record["best"]["metrics"]["val/psnr"] for record in records]
    assert found["best_value"] == pytest.approx(max(psnr))
    assert text.count("teacher: done before") == 1


def test_job_that_fails_leaves_the_others_their_table(train: Run, tmp_path: Path) -> None:
    result = train("--multirun", "stage=teacher", "batch_size=0,4")
    assert result.code == 2
    assert "batch_size=0: must be a whole number" in " ".join(result.err.split())
    assert figures(tmp_path).keys() == {("4x", "Zero-filled"), ("4x", "Teacher")}


@pytest.mark.usefixtures("own")
def test_ctrl_c_ends_the_sweep_and_not_its_job_alone(
    train: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise SystemExit(1)  # what Lightning makes of Ctrl-C

    monkeypatch.setattr(pytorch_lightning.Trainer, "fit", interrupted)
    result = train("--multirun", "stage=teacher", "seed=1,2")
    assert result.code == 2
    assert result.err.count("stage teacher: interrupted; the same command goes on") == 1
    assert len([*(tmp_path / "experiments").glob("*/*/*")]) == 1


def test_crash_of_a_later_job_is_told_with_its_place(
    train: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_transform.py").write_text("def fail(slices):\n    1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    transform = "augmentation.transform={_target_:own_transform.fail,_partial_:true}"
    result = train("--multirun", "stage=teacher", "batch_size=0,4", transform)
    assert result.code != 0
    assert "batch_size=0: must be a whole number" in " ".join(result.err.split())
    assert 'own_transform.py", line 2, in fail' in result.err
    assert "ZeroDivisionError" in result.err


def test_several_nodes_need_a_task_on_each(train: Run) -> None:
    result = train("stage=teacher", "trainer.num_nodes=2")
    assert result.code == 2
    assert "this command runs as 1 task(s); start one on each node with srun" in " ".join(
        result.err.split()
    )


@needs("hydra_submitit_launcher")
def test_slurm_gets_a_task_and_a_gpu_for_each_device(train: Run) -> None:
    words = ("trainer=ddp", "trainer.devices=4", "launcher=submitit_slurm")
    result = train("--cfg=all", "--package=hydra.launcher", "--resolve", *words)
    launcher = yaml.safe_load(result.out)
    assert (launcher["tasks_per_node"], launcher["gpus_per_node"], launcher["nodes"]) == (4, 4, 1)
    assert launcher["max_num_timeout"] > 0, "runs out of time are queued again"


@needs("hydra_submitit_launcher")
def test_launcher_belongs_to_a_sweep() -> None:
    with pytest.raises(ConfigurationError, match="launcher=submitit_slurm: belongs to a sweep"):
        check_words(["seed=1", "launcher=submitit_slurm"])
    check_words(["--multirun", "seed=1", "launcher=submitit_slurm"])
    check_words(["--cfg=all", "launcher=submitit_slurm"])


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PLUGINS, "joblib", "hydra_no_such_plugin")
    with pytest.raises(ConfigurationError, match=r"launcher=joblib.*pip install 'kdmri\[joblib\]'"):
        check_words(["-m", "seed=1,2", "hydra/launcher=joblib"])
    check_words(["-m", "launcher=basic", "hydra/launcher=basic", "seed=1", "~search"])
    check_words(["--cfg", "job", "-p", "dataset", "--config-dir", "/tmp", "scale=2x,4x", 'x="a=1"'])

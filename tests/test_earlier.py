"""What an earlier version left in `tests/earlier`: finished stages, a killed one, checkpoints.

It was written by the last version in which `kdmri/` had its modules at its top (November 2026), by
the commands that each `stage.json` names; the killed one had done seven of its eight epochs.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from tests.conftest import ROOT, Result

SMALL = (
    *("experiment=demo", "architecture@student=d2c5", "architecture@teacher=d2c5"),
    *("student.cascades=1", "teacher.cascades=1", "dataset.image_size=[32,24]"),
    "evaluation.latency=0",
)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "tests" / "earlier", tmp_path, dirs_exist_ok=True)
    return tmp_path / "experiments" / "mni" / "acc_4x"


def stored(folder: Path, name: str) -> dict:
    return json.loads((folder / name).read_text())


def test_finished_stages_are_found_and_measured_alike(
    run: Callable[..., Result], runs: Path
) -> None:
    networks = {path: path.read_bytes() for path in runs.glob("earlier_*/best_model.pt")}
    kd = runs / "earlier_kd_student-d2c1_teacher-d2c1"
    before = stored(kd, "metrics.json")["figures"]
    words = ("name=earlier", "trainer.max_epochs=2", "stage.run=[teacher,feature,kd]")
    result = run("train.py", *SMALL, *words)
    assert result.code == 0, result.err
    assert result.out.count("done before") == len(networks) == 3
    assert {path: path.read_bytes() for path in networks} == networks
    assert stored(kd, "metrics.json")["figures"] == pytest.approx(before, rel=1e-3)


def test_killed_stage_goes_on(run: Callable[..., Result], runs: Path) -> None:
    cut = runs / "cut_teacher_teacher-d2c1"
    assert not stored(cut, "stage.json")["finished"]
    before = torch.load(cut / "model.pt", weights_only=True)["global_step"]
    result = run("train.py", *SMALL, "name=cut", "trainer.max_epochs=8", "stage=teacher")
    assert result.code == 0, result.err
    assert "teacher: goes on from" in result.out
    assert stored(cut, "stage.json")["finished"]
    after = torch.load(cut / "model.pt", weights_only=True)["global_step"]
    assert after == before * 8 // 7


def test_checkpoint_reconstructs(
    run: Callable[..., Result], runs: Path, tmp_path: Path, anatomy: np.ndarray
) -> None:
    nibabel.save(nibabel.Nifti1Image(anatomy, np.eye(4)), tmp_path / "scan.nii")
    checkpoint = runs / "earlier_kd_student-d2c1_teacher-d2c1" / "best_model.pt"
    words = (f"checkpoint={checkpoint}", "input=scan.nii", "output=image.nii")
    result = run("kdmri/reconstruct/__main__.py", *words)
    assert result.code == 0, result.err
    image = nibabel.load(tmp_path / "image.nii").get_fdata()
    assert np.corrcoef(image.ravel(), anatomy.ravel())[0, 1] > 0.9

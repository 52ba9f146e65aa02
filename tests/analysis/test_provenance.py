"""What names of directories do not tell of stages in one table is said beside it."""

import json
from pathlib import Path
from typing import Any

import pytest

from kdmri.analysis.experiments import find_records
from kdmri.analysis.provenance import doubts
from kdmri.config.identity import file_digest
from kdmri.metrics import SliceTable
from tests.analysis.measured import measurements

FOLDER = "heart/acc_4x"


def leave(root: Path, name: str, stage: str, beside: dict[str, str], **training: Any) -> Path:
    """Leave what training and evaluation leave of a stage, of one of few bytes for a network."""
    folder = root / FOLDER / name
    measured = measurements(
        stage=stage,
        label=stage.upper(),
        beside=beside,
        figures={"psnr": 30.0, "ssim": 0.9, "nmse": 0.01},
    )
    measured.write(folder, SliceTable({}))
    (folder / "stage.json").write_text(json.dumps({"stage": stage, **training}))
    (folder / "best_model.pt").write_bytes(name.encode())
    plan = "{kd: {needs: {teacher: teacher, start: joint/teacher}}, teacher: {needs: {}}}"
    (folder / "config.yaml").write_text(f"stage: {{plan: {plan}}}")
    return folder


def seed(root: Path, number: int, **circumstances: Any) -> Path:
    settings = {"experiment": {"seed": number, "batch_size": 2}, "circumstances": circumstances}
    return leave(root, f"run_teacher_seed-{number}", "teacher", {}, **settings)


def test_seeds_that_were_trained_otherwise_are_told(tmp_path: Path) -> None:
    seed(tmp_path, 1, max_epochs=150, initial_weights="a_seed-1/best_model.pt")
    seed(tmp_path, 2, max_epochs=150, initial_weights="a_seed-2/best_model.pt")
    assert doubts(find_records(tmp_path)) == []
    seed(tmp_path, 3, max_epochs=10, initial_weights=None)
    (found,) = doubts(find_records(tmp_path))
    assert found == (
        "TEACHER, Set, 4x: its seeds were trained with other settings, so they are no repetitions "
        "of one training: max_epochs is 150 in run_teacher_seed-1, run_teacher_seed-2 and 10 in "
        "run_teacher_seed-3."
    )


def test_settings_that_an_earlier_version_did_not_record_are_no_difference(tmp_path: Path) -> None:
    seed(tmp_path, 1, max_epochs=150)
    seed(tmp_path, 2, max_epochs=150, **{"trainer.precision": "bf16-mixed"})
    (seed(tmp_path, 3, max_epochs=10) / "stage.json").write_text("{")
    (seed(tmp_path, 4, max_epochs=10) / "stage.json").unlink()
    assert doubts(find_records(tmp_path)) == []


@pytest.mark.parametrize("role", ["teacher", "start"])
def test_student_of_a_network_that_was_trained_again_is_told(tmp_path: Path, role: str) -> None:
    beside = {"teacher": "run_teacher", "joint": "run_joint", "kd": "run_kd"}
    learnt_from = {
        "teacher": leave(tmp_path, "run_teacher", "teacher", {}) / "best_model.pt",
        "start": leave(tmp_path, "run_joint", "joint", {}) / "best_teacher.pt",
    }
    learnt_from["start"].write_text("trained beside")
    needs = {name: file_digest(path) for name, path in learnt_from.items()}
    leave(tmp_path, "run_kd", "kd", beside, needs=needs)
    assert doubts(find_records(tmp_path)) == []
    learnt_from[role].write_text("trained again")
    (found,) = doubts(find_records(tmp_path))
    assert found.startswith(f"run_kd: learnt from another {role} than run_")
    learnt_from[role].unlink()
    assert doubts(find_records(tmp_path)) == [], "nothing to compare with"


def test_names_of_others_lead_to_no_file_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "best_model.pt").write_text("elsewhere")
    leave(tmp_path, "run_kd", "kd", {"teacher": "../.."}, needs={"teacher": "0" * 16})
    assert doubts(find_records(tmp_path)) == []

"""Every distillation method, in two stages and jointly, and teachers of another kind."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from tests.conftest import ROOT, Result

Run = Callable[..., Result]
METHODS = sorted(
    p.stem
    for p in (ROOT / "configs" / "distillation").glob("*.yaml")
    if p.stem != "attention_imitation"
)


def record(folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    return json.loads((folder / "stage.json").read_text())


def test_every_method_trains_in_two_stages_and_shares_one_teacher(
    train: Run, tmp_path: Path
) -> None:
    result = train(
        "--multirun", f"distillation={','.join(METHODS)}", "stage.run=[teacher,feature,kd]"
    )
    assert result.code == 0, result.err
    folder = tmp_path / "experiments" / "own" / "acc_4x"
    expected = {f"tiny_{m}_{stage}" for m in METHODS for stage in ("feature", "kd")}
    found = {p.name for p in folder.iterdir() if not p.name.endswith("comparison")}
    assert found == {"tiny_teacher", *expected}
    for method in METHODS:
        start = torch.load(folder / f"tiny_{method}_feature" / "best_model.pt", weights_only=True)
        assert {k.split(".")[0] for k in start["weights"]} == {"cascades"}  # no adaptation layers
        assert record(folder / f"tiny_{method}_feature")["best"]["metrics"]["val/loss"] != 0


@pytest.mark.parametrize("distillation", ["fitnets", "fsp"])
def test_joint_training_of_a_narrow_student_with_fewer_cascades(
    train: Run, tmp_path: Path, distillation: str
) -> None:
    result = train(
        f"distillation={distillation}",
        "loss=joint",
        "stage=joint",
        "stage.run=[teacher,joint]",
        "student.width=3",
        "student.cascades=1",
    )
    assert result.code == 0, result.err
    assert "KD, joint" in result.out
    (folder,) = (tmp_path / "experiments" / "own" / "acc_4x").glob(f"tiny_{distillation}_joint*")
    metrics = record(folder)["best"]["metrics"]
    for term in ("reconstruction", "imitation", "attention"):
        assert metrics[f"train/{term}"] > 0


def test_student_of_a_unet(run: Run, own: Path, tmp_path: Path) -> None:
    result = run(
        "train.py",
        f"--config-dir={ROOT / 'tests' / 'configs'}",
        "experiment=tiny_unet",
        "dataset=own",
        "dataset.name=own",
        "stage.run=[teacher,feature,kd]",
        "distillation.taps.teacher=[[0,down1],[0,bottleneck]]",
    )
    assert result.code == 0, result.err
    (folder,) = (tmp_path / "experiments" / "own" / "acc_4x").glob("tiny_kd*")
    assert (folder / "report.txt").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("distillation=relational", "batch_size=2"), "batch_size=2: distillation=relational"),
        (
            ("distillation=similarity", "trainer=ddp", "trainer.devices=4", "batch_size=7"),
            "batch_size=7 shared out among 4 processes: distillation=similarity",
        ),
        (
            ("distillation=fsp", "distillation.taps={student:[[0,0]],teacher:[[0,0]]}"),
            "distillation=fsp compares pairs of taps; there are 1",
        ),
        (("distillation=variational", "distillation.loss.variance=0"), "variance=0: must be above"),
        (("distillation=correlation", "distillation.loss.order=0"), "order=0: must be at least 1"),
        (("distillation=correlation", "distillation.loss.gamma=-1"), "gamma=-1: must be above 0"),
        (("distillation=relational", "distillation.loss.angle=-1"), "angle=-1: must be at least 0"),
        (("distillation.loss.weights=[2,-1]",), "weights=[2, -1]: must be at least 0"),
        (("distillation.taps.student=[[0,9]]",), "tap [0, 9]: the network has cascades of [2, 2]"),
        (("distillation.taps.student=[[0,0]]",), "the student has 1, the teacher 2"),
        (("distillation.loss.weights=[1,2,3]",), "one for each of the 2 taps"),
    ],
)
def test_methods_that_do_not_fit_are_refused_before_training(
    train: Run, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    result = train(*words)
    assert result.code != 0
    assert message in " ".join(result.err.split())
    assert not (tmp_path / "experiments").exists()


def test_student_friendly_teacher_hands_its_student_on(train: Run, tmp_path: Path) -> None:
    result = train("stage=sft", "stage.run=[sft_teacher,sft_feature,sft_kd,sft_joint]")
    assert result.code == 0, result.err
    folder = tmp_path / "experiments" / "own" / "acc_4x"
    kept = torch.load(folder / "tiny_sft_teacher" / "best_student.pt", weights_only=True)
    teacher = torch.load(folder / "tiny_sft_teacher" / "best_model.pt", weights_only=True)
    assert kept["network"]["depth"] == 2
    assert teacher["network"]["depth"] == 3
    for label in ("Student + KD, student-friendly", "Student + KD, joint, student-friendly"):
        assert label in " ".join(result.out.split())

    again = train("stage=sft", "stage.run=[sft_teacher,sft_feature,sft_kd]")
    assert again.out.count("done before") == 3
    other = train("stage=sft", "stage.run=[sft_kd]", "student.cascades=1")
    assert other.code != 0
    assert "train it first" in " ".join(other.err.split())
    wrong = train("stage=sft", "student.cascades=1", "name=wrong")
    assert "a student of at least 2 cascades" in " ".join(wrong.err.split())


def test_recipes_train_and_name_themselves(train: Run, tmp_path: Path) -> None:
    recipe = ("augmentation=flips_and_masks", "weight_averaging=0.9", "optimizer=muon")
    words = (*recipe, "loss.fade=0.5")
    result = train(*words, "trainer.max_epochs=3", "stage.run=[teacher,feature,kd]")
    assert result.code == 0, result.err
    folder = tmp_path / "experiments" / "own" / "acc_4x"
    (kd,) = folder.glob("tiny_kd_*")
    stored = torch.load(kd / "model.pt", weights_only=True)["state_dict"]
    best = torch.load(kd / "best_model.pt", weights_only=True)["weights"]
    name = "cascades.0.layers.0.weight"
    if record(kd)["best"]["epoch"] == 3:
        torch.testing.assert_close(best[name], stored[f"_averages.network.module.{name}"])
    assert not torch.equal(best[name], stored[f"network.{name}"])


def test_schedules_follow_the_length_of_each_stage(train: Run, tmp_path: Path) -> None:
    result = train(
        "scheduler=one_cycle",
        "trainer.max_epochs=2",
        "stage.plan.feature.max_epochs=1",
        "stage.plan.kd.max_epochs=4",
        "stage.run=[teacher,feature,kd,student_long]",
    )
    assert result.code == 0, result.err
    folder = tmp_path / "experiments" / "own" / "acc_4x"
    steps = {
        path.parent.name.removeprefix("tiny_").split("_scheduler")[0]: OmegaConf.load(path)
        for path in folder.glob("*/config.yaml")
    }
    found = {name: config.scheduler.epochs for name, config in steps.items()}
    assert found == {"teacher": 2, "feature": 1, "kd": 4, "student_long": 3}


def test_teacher_that_sees_more_lines_teaches_in_stages_and_jointly(
    train: Run, tmp_path: Path
) -> None:
    own = [f"privileged_{stage}" for stage in ("teacher", "feature", "kd", "joint")]
    words = ("acceleration=8x", "stage=privileged", f"stage.run=[student,{','.join(own)}]")
    result = train(*words, "task.noise=0.01")
    assert result.code == 0, result.err
    assert "Student + KD, joint, 2x teacher" in " ".join(result.out.split())
    folder = tmp_path / "experiments" / "own" / "acc_8x"
    for stage in own:
        assert (folder / f"tiny_{stage}_noise-0.01" / "best_model.pt").is_file()
    kept = torch.load(folder / "tiny_privileged_teacher_noise-0.01" / "best_model.pt")
    assert kept["task"]["sampling"]["more"]["acceleration"] == 2
    again = train(*words, "task.noise=0.01")
    assert again.out.count("done before") == 5
    fewer = ("stage.teacher_factor=3", "stage.run=[privileged_joint]")
    other = train(*words[:2], *fewer, "task.noise=0.01")
    assert other.code == 2
    assert "tiny_privileged_teacher_more_lines-3_noise-0.01" in "".join(other.err.split())


@pytest.mark.parametrize(
    ("words", "description"),
    [
        (("stage.teacher_factor=4",), "teacher_factor=4: its teacher must see more lines than"),
        (("stage.teacher_factor=0.5",), "at least 1"),
        (("task=super_resolution",), "changes task.more_lines, which super-resolution 4x does not"),
    ],
)
def test_teacher_that_sees_no_more_is_refused(
    train: Run, words: tuple[str, ...], description: str
) -> None:
    result = train("stage=privileged", *words)
    assert result.code == 2
    assert description in " ".join(result.err.split())


def test_teacher_that_fades_leaves_the_feature_stage_its_loss(train: Run, tmp_path: Path) -> None:
    result = train("loss=fading", "trainer.max_epochs=3", "stage.run=[teacher,feature,kd]")
    assert result.code == 0, result.err
    folder = tmp_path / "experiments" / "own" / "acc_4x"
    (feature,) = folder.glob("tiny_feature*")
    assert record(feature)["best"]["metrics"]["val/loss"] > 0
    wrong = train("loss=fading", "stage.plan.feature.method.weights.fade=0.5", "name=wrong")
    assert "in the stage feature nothing would be learnt once the teacher has faded" in wrong.err


def test_schedule_that_is_too_long_for_one_stage_is_told_before_the_others(
    train: Run, tmp_path: Path
) -> None:
    words = ("scheduler=warmup_cosine", "feature_share=0.125", "trainer.max_epochs=10")
    result = train(*words, "stage.run=[teacher,feature,kd]")
    assert result.code == 2
    assert "scheduler, stage feature: " in result.err
    assert not (tmp_path / "experiments").exists()


def test_schedule_of_fixed_epochs_ends_alike_with_distillation_and_in_its_control(
    train: Run, tmp_path: Path
) -> None:
    words = ("trainer.max_epochs=4", "feature_share=0.25", "scheduler.step_size=1")
    result = train(*words, "scheduler.gamma=0.5", "stage.run=[teacher,student_long,feature,kd]")
    assert result.code == 0, result.err
    folder = tmp_path / "experiments" / "own" / "acc_4x"
    halvings = {}
    for stage in ("teacher", "student_long", "feature", "kd"):
        (path,) = folder.glob(f"tiny_{stage}_*/model.pt")
        stored = torch.load(path, weights_only=True)["lr_schedulers"][0]
        halvings[stage] = round(math.log2(stored["base_lrs"][0] / stored["_last_lr"][0]))
    assert halvings == {"teacher": 4, "student_long": 4, "feature": 2, "kd": 4}

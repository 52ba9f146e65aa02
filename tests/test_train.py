"""The commands as a user runs them, on a small data set of real anatomy."""

import csv
import gc
import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kdmri.data.dataset import SliceDataset
from kdmri.models import CascadedNetwork
from kdmri.training.frozen_teacher import FrozenTeacher
from tests.conftest import Result
from tests.killing import as_user, finish, kill_after_first_save, weights_of

Run = Callable[..., Result]
STAGES = ("teacher", "student", "student_long", "feature", "kd")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "experiments" / "own" / "acc_4x"


def times(folder: Path) -> dict[str, int]:
    return {p.parent.name: p.stat().st_mtime_ns for p in folder.glob("*/best_model.pt")}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_whole_distillation(train: Run, evaluate: Run, runs: Path, anatomy: np.ndarray) -> None:
    result = train()
    assert result.code == 0, result.err
    assert {p.name for p in runs.iterdir()} == {f"tiny_{s}" for s in (*STAGES, "comparison")}
    for label in ("Zero-filled", "Teacher", "Student, long", "Student + KD", "gap recovered"):
        assert label in result.out

    for stage in STAGES:
        folder = runs / f"tiny_{stage}"
        record = json.loads((folder / "stage.json").read_text())
        assert record["finished"]
        for name in ("best_model.pt", "model.pt"):
            stored = torch.load(folder / name, weights_only=True)
            assert "teacher" not in str(stored.keys() | stored.get("state_dict", {}).keys())
        assert str(runs.parent.parent) not in str(
            torch.load(folder / "model.pt", weights_only=True)
        )
    long = json.loads((runs / "tiny_student_long" / "stage.json").read_text())
    assert long["circumstances"]["max_epochs"] == 2

    before = times(runs)
    assert train().code == 0
    assert times(runs) == before, "finished stages are used again"

    first = contents(runs)
    assert evaluate().code == 0
    assert contents(runs) == first, "evaluation repeats to the byte"
    assert_figures_are_true(runs, anatomy)

    figures = (runs / "tiny_comparison" / "metrics.csv").read_text()
    assert evaluate("evaluation.batch_size=16", "num_workers=2").code == 0
    other = (runs / "tiny_comparison" / "metrics.csv").read_text()
    for mine, its in zip(
        csv.reader(figures.splitlines()), csv.reader(other.splitlines()), strict=True
    ):
        assert mine[:3] == its[:3]
        if mine[0] != "stage":
            np.testing.assert_allclose([*map(float, mine[3:])], [*map(float, its[3:])], rtol=1e-5)


def assert_figures_are_true(runs: Path, anatomy: np.ndarray) -> None:
    """Measure the stored reconstructions with scikit-image and compare with every report."""
    psnr, ssim = [], []
    for name, cut in (("a", slice(20, 25)), ("b", slice(27, 31))):
        target = anatomy[:, :, cut]
        with h5py.File(runs / "tiny_kd" / "results" / f"{name}.h5") as file:
            stored = file["reconstruction"][...].transpose(1, 2, 0).astype(float)
        psnr.append(peak_signal_noise_ratio(target, stored, data_range=target.max()))
        ssim.append(structural_similarity(target, stored, channel_axis=-1, data_range=target.max()))
    rows = csv.DictReader((runs / "tiny_comparison" / "metrics.csv").read_text().splitlines())
    kd = [row for row in rows if row["stage"] == "kd"]
    assert [row["volume"] for row in kd] == ["a", "b"]
    np.testing.assert_allclose([float(row["psnr"]) for row in kd], psnr, atol=1e-4)
    np.testing.assert_allclose([float(row["ssim"]) for row in kd], ssim, atol=1e-4)
    line = (runs / "tiny_kd" / "report.txt").read_text()
    assert f"PSNR = {np.mean(psnr):.4g} +/- {2 * np.std(psnr):.4g}" in line
    assert [w for w in line.split() if w.isupper()] == ["HFN", "MSE", "NMSE", "PSNR", "SSIM"]
    table = (runs / "tiny_comparison" / "table.md").read_text()
    assert f"{np.mean(psnr):.2f} ± {np.std(psnr, ddof=1):.2f}" in table
    picture = (runs / "tiny_comparison" / "comparison.png").read_bytes()
    assert picture.startswith(b"\x89PNG")


def test_best_weights_are_chosen_on_selection_slices_alone(
    train: Run, runs: Path, own: Path
) -> None:
    """Defect of the original: weights were chosen on the data that was reported."""
    assert train("stage=student", "trainer.max_epochs=3").code == 0
    chosen = (runs / "tiny_student" / "best_model.pt").read_bytes()
    with h5py.File(own / "test" / "a.h5", "a") as file:
        file["volfs"][...] = np.random.default_rng(0).random(file["volfs"].shape)
    assert train("stage=student", "trainer.max_epochs=3", "overwrite=true").code == 0
    assert (runs / "tiny_student" / "best_model.pt").read_bytes() == chosen


def test_same_command_gives_the_same_numbers(train: Run, runs: Path) -> None:
    for name, extra in (("one", ()), ("two", ()), ("three", ("seed=1",))):
        assert train("stage=student", f"name={name}", *extra).code == 0
    weights = [
        torch.load(runs / folder / "best_model.pt", weights_only=True)["weights"]
        for folder in ("one_student", "two_student", "three_student_seed-1")
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


def test_summary_holds_losses_metrics_and_pictures(train: Run, runs: Path) -> None:
    assert train("stage=student").code == 0
    events = EventAccumulator(str(runs / "tiny_student" / "summary"))
    events.Reload()
    tags = events.Tags()
    assert {"train/l1", "val/l1", "val/psnr", "val/ssim"} <= set(tags["scalars"])
    assert len(tags["images"]) == 3
    image = events.Images(tags["images"][0])[0]
    assert (image.height, image.width) == (48, 4 * 40)


def test_one_changed_weight_trains_one_stage_beside_the_others(train: Run, runs: Path) -> None:
    assert train().code == 0
    before = times(runs)
    result = train("stage=kd", "loss.imitation=0.3")
    assert result.code == 0, result.err
    after = times(runs)
    assert after.pop("tiny_kd_loss.imitation-0.3")
    assert after == before

    recorded = runs / "tiny_kd" / "metrics.json"
    beside = json.loads(recorded.read_text())["beside"]
    assert beside["student_long"] == "tiny_student_long"
    assert train("stage=kd").code == 0
    assert json.loads(recorded.read_text())["beside"] == beside, "measured alone, its control stays"


def test_other_length_is_refused_and_overwrite_replaces(
    train: Run, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train("stage=student").code == 0
    before = contents(runs)
    result = train("stage=student", "trainer.max_epochs=2")
    assert result.code == 2
    assert "max_epochs was 1, now 2" in result.err
    assert "name=" in result.err
    assert "overwrite=true" in result.err
    assert contents(runs) == before
    with monkeypatch.context() as patched:
        patched.setattr(torch.cuda, "is_available", lambda: False)
        patched.setattr(torch.backends.mps, "is_available", lambda: False)
        result = train("stage=student", "trainer.accelerator=gpu", "overwrite=true")
    assert result.code == 2
    assert "finds no GPU here" in result.err
    assert contents(runs) == before, "what was trained is not removed for what cannot be trained"
    assert train("stage=student", "trainer.max_epochs=2", "overwrite=true").code == 0
    assert contents(runs) != before


def test_stage_that_ran_out_of_time_is_not_finished(train: Run, runs: Path) -> None:
    words = ("stage=student", "trainer.max_epochs=3")
    result = train(*words, "+trainer.max_time={seconds: 0}")
    assert result.code == 2
    assert "trainer.max_time is over after" in result.err
    assert train(*words).code == 0
    record = json.loads(next(runs.glob("*_student/stage.json")).read_text())
    assert record["finished"]
    assert record["circumstances"]["max_epochs"] == 3


def test_stage_whose_teacher_changed_is_refused(train: Run, runs: Path) -> None:
    assert train().code == 0
    assert train("stage=teacher", "trainer.max_epochs=2", "overwrite=true").code == 0
    result = train("stage=kd")
    assert result.code == 2
    assert "tiny_teacher" in result.err
    assert "learnt from another teacher" in result.err
    description = " ".join(result.out.split())
    assert "its teacher was trained with other settings: max_epochs was 2, now 1" in description
    begun = runs / "tiny_feature" / "stage.json"
    begun.write_text(begun.read_text().replace('"finished": true', '"finished": false'))
    assert "learnt from another teacher" in train("stage=feature").err, "nor gone on with"


def test_stage_alone_says_which_command_trains_what_it_needs(train: Run, runs: Path) -> None:
    result = train("stage=kd")
    assert result.code == 2
    assert "stage kd needs" in result.err
    assert "tiny_teacher/best_model.pt" in result.err
    assert "stage=kd 'stage.run=[teacher]'" in " ".join(result.err.split())
    assert not runs.exists()


def test_sweep_over_acceleration_and_stage(train: Run, tmp_path: Path) -> None:
    result = train("--multirun", "acceleration=4x,8x", "stage=teacher,student")
    assert result.code == 0, result.err
    folder = tmp_path / "experiments" / "own"
    found = {str(p.parent.relative_to(folder)) for p in folder.rglob("best_model.pt")}
    assert found == {f"acc_{a}/tiny_{s}" for a in ("4x", "8x") for s in ("teacher", "student")}


def test_complex_images_train_complex_networks(
    train: Run, runs: Path, own: Path, anatomy: np.ndarray
) -> None:
    from kdmri.data.layout import write_volume

    phase = np.exp(2j * np.linspace(0, 1, 48))[:, None, None]
    for path in own.rglob("*.h5"):
        with h5py.File(path) as file:
            values = file["volfs"][...]
        write_volume(path, values * phase, {})
    result = train("dataset.channels=2", "name=complex")
    assert result.code == 0, result.err
    folder = next(runs.glob("complex_kd*"))
    with h5py.File(folder / "results" / "a.h5") as file:
        assert file["reconstruction"].dtype == np.complex64


@pytest.mark.parametrize("minutes", ["null", "0"])
def test_killed_stage_goes_on_to_the_same_weights(
    train: Run, tmp_path: Path, runs: Path, minutes: str
) -> None:
    """With 0 minutes every step is saved, and the first save is in the middle of an epoch."""
    length = ("stage=student", "trainer.max_epochs=6", "scheduler.step_size=2")
    length += (f"checkpoint_minutes={minutes}", "num_workers=1")
    length += ("augmentation=affine", "augmentation.masks=100")
    assert train(*length, "name=whole").code == 0
    whole = next(runs.glob("whole_student*"))
    folder = whole.with_name(whole.name.replace("whole", "cut"))
    kill_after_first_save(as_user(tmp_path, *length, "name=cut"), folder)
    assert train(*length, "name=cut").code == 0
    expected = weights_of(whole)
    for name, value in weights_of(folder).items():
        assert torch.equal(value, expected[name]), name


def test_two_processes_learn_what_one_learns(train: Run, tmp_path: Path, runs: Path) -> None:
    """Each way of learning; a student learns alone as a teacher does."""
    # A large epsilon keeps Adam from blowing up rounding errors of gradients near zero.
    # Of 12 slices in batches of 11 one process has 6 and 1, the other 5 and none.
    words = ("+optimizer.eps=0.01", "batch_size=11", "stage.run=[teacher,feature,kd]")
    assert train(*words, "name=one").code == 0
    finish(as_user(tmp_path, "trainer=ddp", "trainer.accelerator=cpu", *words, "name=two"))
    for stage in ("teacher", "feature", "kd"):
        expected = weights_of(runs / f"one_{stage}_batch_size-11_optimizer.eps-0.01")
        for name, value in weights_of(
            runs / f"two_{stage}_batch_size-11_optimizer.eps-0.01"
        ).items():
            torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-6)
        one, two = (
            json.loads(
                (
                    runs / f"{name}_{stage}_batch_size-11_optimizer.eps-0.01" / "stage.json"
                ).read_text()
            )["best"]["metrics"]
            for name in ("one", "two")
        )
        assert {key for key in one if key.startswith("train/")}
        assert two == pytest.approx(one, rel=1e-3)
    reports = [
        (runs / f"{name}_kd_batch_size-11_optimizer.eps-0.01" / "report.txt").read_text().split()[2]
        for name in ("one", "two")
    ]
    assert float(reports[0]) == pytest.approx(float(reports[1]), rel=1e-3)


def test_loss_that_is_not_finite_stops_and_names_its_slices(train: Run) -> None:
    result = train("stage=student", "optimizer.lr=1e30", "trainer.max_epochs=3")
    assert result.code == 2
    message = " ".join(result.err.split())
    assert "stage student, step 2: the loss is NaN or infinite; its batch was" in message
    assert ".h5 slice" in message
    assert "skip_nonfinite=10" in message
    assert "Traceback" not in result.err


def test_slices_to_show_are_looked_for_before_anything_is_trained(
    train: Run, tmp_path: Path
) -> None:
    for wanted in ("c:0", "a:5", "a:-1", "a"):
        result = train("stage=student", f'evaluation.slices=["{wanted}"]')
        assert result.code == 2
        assert f'evaluation.slices: "{wanted}" is no slice of the evaluation data' in result.err
    assert not (tmp_path / "experiments").exists()
    words = ("stage=all", "stage.run=[student,student_long]")
    result = train(*words, 'evaluation.slices=["a:4","b:0"]')
    assert result.code == 0, result.err


def test_stages_that_are_done_leave_no_slices_in_memory(train: Run) -> None:
    gc.collect()
    gc.disable()
    try:
        assert train("stage.run=[teacher,feature,kd]").code == 0
        kept = [o for o in gc.get_objects() if type(o) in (SliceDataset, FrozenTeacher)]
    finally:
        gc.enable()
    assert kept == []


def test_stage_without_finite_figures_is_not_finished(train: Run, runs: Path) -> None:
    for _ in range(2):
        result = train("stage=teacher", "optimizer.lr=1e30", "skip_nonfinite=100")
        assert result.code == 2
        assert "val/l1 was NaN or infinite after every epoch, so no weights are best" in result.err
    result = train("stage=teacher", "name=short", "+trainer.max_steps=1")
    assert result.code == 2
    assert "ended before its first epoch did, so no weights were measured" in result.err
    records = [*runs.glob("tiny_teacher_*/stage.json"), *runs.glob("short_teacher/stage.json")]
    assert [json.loads(record.read_text())["finished"] for record in records] == [False, False]


def test_figures_are_of_single_precision_on_a_gpu_as_well(
    train: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training may round what it convolves, as is PyTorch's default; measuring may not."""
    rounds, forward = [], CascadedNetwork.forward

    def seen(self: CascadedNetwork, *inputs: torch.Tensor) -> torch.Tensor:
        rounds.append(torch.backends.cudnn.allow_tf32)
        return forward(self, *inputs)

    monkeypatch.setattr(CascadedNetwork, "forward", seen)
    assert train("stage=student").code == 0
    assert rounds[0]
    assert rounds.count(False) == 5, "the nine test slices, two at once"
    assert torch.backends.cudnn.allow_tf32

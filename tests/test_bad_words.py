"""Words of a command that cannot be used: one clear line, before anything is read or written."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Result

Run = Callable[..., Result]


COILS = "+sensitivities@dataset.sensitivities=espirit"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("feature_share=1", "feature_share=1: must be a number between 0 and 1"),
        ("evaluation.bootstrap=0", "evaluation.bootstrap=0: must be a whole number, at least 1"),
        ("dataset.name=2024", "dataset.name=2024: must be text"),
        ("dataset.image_size=[2,2]", "at least 7 each"),
        ("+trainer.limit_val_batches=0", "trainer.limit_val_batches=0: must be a number above 0"),
        ("+trainer.fast_dev_run=true", "for a trial give +trainer.limit_train_batches=2"),
        ("+trainer.val_check_interval=0.5", "trainer.val_check_interval=0.5: must be 1.0 or null"),
        ("+trainer.val_check_interval=1", "trainer.val_check_interval=1: must be 1.0 or null"),
        ("+trainer.barebones=true", "trainer.barebones=true: must be false"),
        ("+traner.max_epochs=2", "+traner: there are no such settings; did you mean trainer?"),
        ("teacher_epochs=0", "teacher_epochs=0: must be a whole number, at least 1"),
        ("distilled_batch_size=0", "distilled_batch_size=0: must be a whole number, at least 1"),
        ("augmentation.transform=affine", "as configs/augmentation/affine.yaml has them"),
        ("augmentation=affine augmentation.transform.share=2", "share must be in (0, 1]"),
        ("stage.run=[]", "stage.run=[]: must be a list of stages, such as [teacher,feature,kd]"),
        ("stage.run=teacher", "stage.run=teacher: must be a list of stages"),
        ('trainer.devices="0,1"', "trainer.devices=0,1: must be a number, auto, or a list"),
        ("dataset.mask._target_=types.SimpleNamespace", "SimpleNamespace is not named in DrawnL"),
        ("task.sampling.noise=0.2", "task.sampling.noise: follows other settings"),
        ("feature_share=half", "feature_share=half: must be a number"),
        ("batch_size=0", "batch_size=0: must be a whole number, at least 1"),
        ("seed=-1", "seed=-1: must be"),
        ("acceleration.factor=0.5", "acceleration.factor=0.5: must be a number, at least 1"),
        ("dataset.mask.centre_lines=abc", "centre_lines=abc: must be a whole number, at least 0"),
        ("dataset.channels=3", "dataset.channels=3: must be 1 (magnitude) or 2 (complex)"),
        ("dataset.image_size=[128]", "dataset.image_size=[128]: must be null or [H,W]"),
        ("loss.imitation=-1", "loss.imitation=-1: must be a number, at least 0"),
        ("loss.fade=0", "loss.fade=0: must be null or a number above 0, at most 1"),
        ("loss.fade=0.5 loss.reconstruction=0", "loss.reconstruction must be above 0"),
        ("trainer.max_epochs=ten", "trainer.max_epochs=ten: must be a whole number"),
        ("trainer.max_epochs=ten stage=all", "trainer.max_epochs=ten: must be a whole number"),
        ("trainer.max_epochs=null experiment=best", "trainer.max_epochs=null: must be a whole"),
        ("student=d3c5_residual", "another network is architecture@student=NAME"),
        ("student.depth=1", "needs cascades >= 1, depth >= 2"),
        ("+student.dept=3", "closing, noise_floor, not dept"),
        ("+optimizer.speed=3", "unexpected keyword argument 'speed'"),
        ("optimizer.lr=-1", "optimizer.lr=-1: must be a number above 0"),
        ("stage.run=[student,nothing]", "stage.run names nothing; defined are"),
        (COILS, "dataset.channels=1: dataset.name=own is of several coils (dataset.sensitivities)"),
        (f"{COILS} dataset.channels=2 dataset.image_size=[40,32]", "grid that was acquired; give"),
        (
            f"{COILS} dataset.channels=2 task.noise=0.1",
            "task.noise=0.1: dataset.name=own is of sev",
        ),
        (f"{COILS} dataset.channels=2 task=super_resolution", "no other task takes k-space of sev"),
        ("evaluation.baselines=[grappa]", "evaluation.baselines=['grappa']: must be a list of cg"),
    ],
)
def test_values_are_checked_before_data_is_read(
    refused: Callable[..., str], own: Path, override: str, message: str
) -> None:
    own.rename(own.with_name("moved"))
    assert message in refused(*override.split())


def test_taps_that_do_not_fit_together(train: Run) -> None:
    result = train("distillation.taps.student=ends")
    assert result.code == 2
    assert "the student has 4, the teacher 2" in result.err


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dataset=brian", "dataset=brian: there is no such choice; did you mean brain?; choose"),
        ("acceleration=6x", "choose one of 2x, 4x, 5x, 8x; any other is acceleration.factor=6"),
        (
            "dataset=mine",
            "; your own is dataset=own dataset.name=mine, with coils dataset=mul",
        ),
        (
            "mask_rule=offset_lines",
            "mask_rule: is chosen for a place; give mask_rule@dataset.mask=...",
        ),
        ("architecture=d5c5", "give architecture@teacher=... or architecture@student=..."),
        ("sede=1", "sede: there is no such setting; did you mean seed?"),
        ("optimzer=adam", "optimzer: there is no such setting; did you mean optimizer?"),
        ("student.dpeth=2", "student.dpeth: there is no such setting; did you mean student.depth?"),
        ("trainer.max_epoch=2", "did you mean trainer.max_epochs?"),
        ("trainer.max_time=1", "trainer.max_time: is Lightning's, and not among the settings here"),
        ("student.levels=2", "these have: architecture@student=unet"),
        ("xyzzy.plugh=1", "xyzzy.plugh: there is no such setting; --cfg job shows all"),
        ("seed=[", "seed=[: cannot be read (no viable alternative at input '['); if it is text"),
        ("dataset.name=???", "dataset.name: is needed; give dataset.name=..."),
        ("distillation.taps=${distillation.tabs}", "Interpolation key 'distillation.tabs' not f"),
        ("optimizer.lr=fast", "optimizer.lr=fast: must be a number above 0"),
        ("trainer.precision=bf16-true", "must be 32-true, bf16-mixed or 16-mixed"),
        ("+trainer.check_val_every_n_epoch=5", "stage teacher has 1 epochs and would never"),
        ("distillation=fitnets stage=joint", "distillation=fitnets: has no effect on the stage jo"),
        ("loss.fade=0.5 loss.imitation=0 stage=joint", "loss.fade=0.5: in the stage joint nothing"),
        ("task=super_resolution task.patches=4", "task.patches=4: of what size?"),
        ("task=super_resolution augmentation=flips_and_masks", "super-resolution 4x has no masks"),
        ("image_loss.l1=0", "image_loss: l1 and ssim are both 0"),
        ("image_loss.ssim=-1", "image_loss.ssim=-1: "),
        ("student.cascades=1 intermediate_supervision=0.1", "d2c1 (student) has one cascade, and"),
        ("~student.name", "student.name: is not there; tables and messages need it"),
        ("~distillation.name", "distillation.name: is not there"),
        ("distillation.loss._target_=torch.nn.Identity", "Identity does not derive from kdmri.dis"),
        ("distillation.loss._target_=kdmri.models.DCCNN", "unexpected keyword argument 'weights'"),
    ],
)
def test_words_that_cannot_be_used_are_told_in_one_line(
    train: Run, override: str, message: str
) -> None:
    result = train(*override.split())
    assert result.code == 2, result.err
    assert message in result.err
    assert len(result.err.splitlines()) == 1, result.err
    assert not Path("experiments").exists()


def test_hydras_own_traceback_is_there_for_who_asks(
    train: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(Exception, match="Could not override 'sede'"):
        train("sede=1")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("acceleration=4", "acceleration=4: choose one of 2x, 4x, 5x, 8x; any other is accel"),
        ("logger=null", "logger=null: choose one of csv, mlflow, tensorboard, wandb"),
        ("architecture@student=3", "architecture@student=3: choose one of d2c5"),
    ],
)
def test_choice_that_is_no_name_is_told_before_hydra_stumbles(
    train: Run, word: str, message: str
) -> None:
    result = train(word)
    assert result.code == 2
    assert message in result.err
    assert len(result.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "description"),
    [
        (
            ("stage=sft", "stage.run=[sft_teacher,sft_joint]", "distillation=fitnets"),
            "distillation=fitnets: has no effect on the stage sft_joint",
        ),
        (
            ("stage=all_joint", "distillation.taps.student=ends", "distillation.taps.teacher=ends"),
            "distillation.taps.student=ends: has no effect on the stage joint",
        ),
    ],
)
def test_distillation_that_no_stage_compares_is_told(
    train: Run, words: tuple[str, ...], description: str
) -> None:
    result = train(*words)
    assert result.code == 2
    assert description in " ".join(result.err.split())

"""What a user can do wrong: one clear line, an exit code that is not 0, and nothing lost."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from kdmri.data.layout import write_volume
from kdmri.data.masks import GaussianLines
from tests.conftest import Result, write_original

Run = Callable[..., Result]


@pytest.fixture
def refused(train: Run, tmp_path: Path) -> Callable[..., str]:
    """Run `train.py` on something wrong and return its one line of error."""

    def call(*overrides: str, code: int = 2) -> str:
        result = train("stage=student", *overrides)
        assert result.code == code
        lines = [line for line in result.err.splitlines() if line]
        assert len(lines) == 1, result.err
        assert not list((tmp_path / "experiments").rglob("*.pt"))
        return lines[0]

    return call


def test_missing_data_set(refused: Callable[..., str]) -> None:
    message = refused("dataset.name=elsewhere")
    assert "datasets/elsewhere: there is no such data set" in message
    assert "paths.datasets" in message


def test_empty_split(refused: Callable[..., str], own: Path) -> None:
    for path in (own / "train").iterdir():
        path.unlink()
    assert "own/train: no h5 files here" in refused()


def damage(path: Path, key: str, values: np.ndarray | None) -> None:
    with h5py.File(path, "a") as file:
        file.attrs.clear()
        del file[key]
        if values is not None:
            file[key] = values


COILS = "+sensitivities@dataset.sensitivities=espirit"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (None, "key volfs is missing"),
        (np.ones((2, 3, 4, 5)), "it must be (H, W, S)"),
        (np.full((48, 40, 3), np.nan), "holds NaN"),
        (np.zeros((48, 40, 3)), "zero everywhere"),
        (np.ones((47, 40, 3)), "dataset.image_size"),
    ],
)
def test_damaged_volume(
    refused: Callable[..., str], own: Path, values: np.ndarray | None, message: str
) -> None:
    damage(own / "train" / "2.h5", "volfs", values)
    error = refused()
    assert "train/2.h5" in error
    assert message in error


def test_truncated_volume(refused: Callable[..., str], own: Path) -> None:
    path = own / "validation" / "1.h5"
    path.write_bytes(path.read_bytes()[:1000])
    assert "validation/1.h5: missing, truncated or not an HDF5 file" in refused()


@pytest.fixture
def original(own: Path, anatomy: np.ndarray) -> Path:
    """The small data set with undersampled copies, as the original project ships it."""
    mask = GaussianLines(4)((48, 40))
    for n in (1, 2):
        write_original(own / "train" / "acc_4x" / f"{n}.h5", anatomy[:, :, 4 * n : 4 * n + 4], mask)
    for split in ("validation", "test"):
        write_original(own / split / "acc_4x" / "1.h5", anatomy[:, :, 20:24], mask)
    return own


def test_original_files_train_unchanged(train: Run, original: Path, tmp_path: Path) -> None:
    (tmp_path / "us_masks" / "own").mkdir(parents=True)
    np.save(tmp_path / "us_masks" / "own" / "mask_4x.npy", GaussianLines(4)((48, 40)))
    result = train("stage=student", "augmentation=flips")
    assert result.code == 0, result.err
    assert "file mask_4x.npy" in result.out


def test_stored_kspace_has_one_mask(refused: Callable[..., str], original: Path) -> None:
    message = refused("augmentation=flips_and_masks")
    assert "augmentation.masks=100: the data set stores k-space, sampled by one mask" in message
    message = refused("augmentation=affine")
    assert "1.h5: augmentation.transform cannot be applied to k-space that is stored" in message
    assert "augmentation=flips" in message


def test_kspace_that_does_not_match_its_image(
    refused: Callable[..., str], original: Path, anatomy: np.ndarray
) -> None:
    path = original / "train" / "acc_4x" / "1.h5"
    write_original(path, anatomy[:, :, :4], GaussianLines(4)((48, 40)), scale=0.5)
    assert "acc_4x/1.h5: |IFFT2(kspace_volus_4x)| is not img_volus_4x" in refused()


def test_kspace_of_another_mask(refused: Callable[..., str], original: Path) -> None:
    message = refused("dataset.mask.seed=7")
    assert "acc_4x/1.h5: kspace_volus_4x has samples outside the mask" in message


def test_masks_that_cannot_be_used(refused: Callable[..., str], tmp_path: Path) -> None:
    folder = tmp_path / "us_masks" / "own"
    folder.mkdir(parents=True)
    np.save(folder / "mask_4x.npy", np.ones((240, 240)))
    assert "mask_4x.npy: its shape is (240, 240), the slices are (48, 40)" in refused()
    np.save(folder / "mask_4x.npy", np.fft.fftshift(GaussianLines(4)((48, 40))))
    assert "the zero frequency, index (0, 0), is not measured" in refused()
    assert "task.mask_file=none.npy: there is no such file" in refused("task.mask_file=none.npy")
    message = refused("dataset.mask.seed=7")
    assert "dataset.mask.seed=7: has no effect" in message
    assert "mask_4x.npy holds the mask" in message


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("feature_share=1", "feature_share=1: must be a number between 0 and 1"),
        ("evaluation.bootstrap=0", "evaluation.bootstrap=0: must be a whole number, at least 1"),
        ("dataset.name=2024", "dataset.name=2024: must be text"),
        ("dataset.image_size=[2,2]", "at least 7 each"),
        ("+trainer.limit_val_batches=0", "trainer.limit_val_batches=0: must be a number above 0"),
        ("+trainer.fast_dev_run=true", "for a trial give +trainer.limit_train_batches=2"),
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


def test_evaluation_before_training(evaluate: Run) -> None:
    result = evaluate()
    assert result.code == 2
    assert "tiny_teacher: nothing is trained there yet; run train.py" in result.err


def test_checkpoint_of_another_architecture(train: Run, tmp_path: Path) -> None:
    assert train("stage=teacher").code == 0
    folder = tmp_path / "experiments" / "own" / "acc_4x"
    path = folder / "tiny_teacher" / "best_model.pt"
    stored = torch.load(path, weights_only=True)
    stored["network"]["width"] = 8
    torch.save(stored, path)
    before = path.read_bytes()
    result = train("stage=feature")
    assert result.code == 2
    assert "tiny_teacher/best_model.pt: holds another network: width is 8, not 4" in result.err
    assert path.read_bytes() == before


def test_directory_of_unknown_origin_is_not_touched(train: Run, tmp_path: Path) -> None:
    folder = tmp_path / "experiments" / "own" / "acc_4x" / "tiny_student"
    folder.mkdir(parents=True)
    (folder / "best_model.pt").write_text("precious")
    result = train("stage=student")
    assert result.code == 2
    assert "tiny_student: holds checkpoints that this program did not record" in result.err
    assert (folder / "best_model.pt").read_text() == "precious"


def test_output_directory_that_cannot_be_written(
    refused: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("a file, no directory")
    message = refused("paths.experiments=file/experiments")
    assert "file/experiments/own/acc_4x/tiny_student" in message
    assert "cannot be written" in message


def test_selection_and_evaluation_that_share_data_are_reported(
    train: Run, own: Path, anatomy: np.ndarray
) -> None:
    for path in (own / "test").iterdir():
        path.unlink()
    (own / "test").rmdir()
    write_volume(own / "train" / "3.h5", anatomy[:, :, 31:34], {})
    shared = train("stage=student", "dataset.selection=shared")
    assert "selection and evaluation share the files" in " ".join(shared.out.split())
    carved = train("stage=student", "name=carved")
    assert "weights selected on 1 of the training files" in " ".join(carved.out.split())


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


def test_slices_too_small_for_a_network_are_told_in_one_line(refused: Callable[..., str]) -> None:
    words = ("architecture@student=unet", "~student.cascades", "~student.depth")
    message = refused(*words, "student.levels=5", "student.width=2")
    assert "UNet: fails on slices of (48, 40)" in message
    assert "64 pixels along each axis will do" in message


def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Leave a module whose import fails, and name a class in it."""
    (tmp_path / "broken_loss.py").write_text("import nosuchpackage\n")
    monkeypatch.syspath_prepend(tmp_path)
    return "distillation.loss._target_=broken_loss.Loss"


def test_own_code_that_cannot_be_imported_is_told_with_its_place(
    train: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    word = broken(tmp_path, monkeypatch)
    result = train("stage=all_joint", "loss=joint", word)
    assert result.code == 2
    assert len(result.err.splitlines()) == 1, result.err
    assert "ModuleNotFoundError at" in result.err
    assert "broken_loss.py:1: No module named 'nosuchpackage'" in result.err
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(Exception, match=r"Error locating target 'broken_loss.Loss'"):
        train("stage=all_joint", "loss=joint", word)

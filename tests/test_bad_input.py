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

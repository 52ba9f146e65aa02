"""Each data set from its owner's layout to a trained network, from the configuration as shipped."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT, Result
from tests.data.readers import test_acdc, test_calgary, test_fastmri, test_hammernik, test_mrbrains
from tests.data.readers.coils import phased

TINY = (f"--config-dir={ROOT / 'tests' / 'configs'}", "experiment=tiny", "stage=student")


def cardiac(folder: Path, anatomy: np.ndarray) -> None:
    for place, number in (("training", 1), ("training", 12), ("testing", 101)):
        test_acdc.write_patient(folder / place / f"patient{number:03d}", number, anatomy)


def brain(folder: Path, anatomy: np.ndarray) -> None:
    for number in range(1, 6):
        test_mrbrains.save(folder / "TrainingData" / str(number) / "T1.nii", anatomy[:, :, 10:14])
    test_mrbrains.save(folder / "TestData" / "6" / "T1.nii", anatomy[:, :, 10:14])


def knee(folder: Path, anatomy: np.ndarray) -> None:
    image = phased(anatomy, slice(20, 21))[0]
    for case in (1, 2, 11):
        for number, write in ((1, test_hammernik.write_classic), (2, test_hammernik.write_73)):
            test_hammernik.write_slice(folder / str(case), number, image, write)


def calgary(folder: Path, anatomy: np.ndarray) -> None:
    images = phased(anatomy, slice(10, 13))
    for name in ("Train/e1", "Train/e2", "Val/e3", "Test/e4"):
        test_calgary.save_single(folder / f"{name}.npy", images)


def fastmri(folder: Path, anatomy: np.ndarray) -> None:
    images = test_fastmri.oversampled(anatomy)
    for number, place in enumerate(("train/a", "train/b", "val/c")):
        path = folder / f"multicoil_{place}.h5"
        test_fastmri.write(path, images, coils=4, patient=f"p{number}")


@pytest.mark.parametrize("write", [cardiac, brain, knee, calgary, fastmri])
def test_prepare_then_train(
    run: Callable[..., Result],
    tmp_path: Path,
    anatomy: np.ndarray,
    write: Callable[[Path, np.ndarray], None],
) -> None:
    name = write.__name__
    write(tmp_path / "source", anatomy)
    prepared = run("kdmri/prepare/__main__.py", f"dataset={name}", f"source={tmp_path / 'source'}")
    assert prepared.code == 0, prepared.err + prepared.out
    assert "0 left out" in prepared.out
    trained = run("train.py", *TINY, f"dataset={name}")
    assert trained.code == 0, trained.err
    assert "Zero-filled" in trained.out

"""Layouts of MRBrainS13 and MRBrainS18, from mrbrains13.isi.uu.nl and mrbrains18.isi.uu.nl."""

from pathlib import Path

import nibabel
import numpy as np
import pytest

from kdmri.data.readers.mrbrains import MRBrainS
from kdmri.errors import DataError
from kdmri.prepare.subjects import assign


def save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([0.958, 0.958, 3, 1])
    nibabel.save(nibabel.Nifti1Image(values.astype(np.float32), affine), path)


@pytest.fixture
def of_2013(tmp_path: Path, anatomy: np.ndarray) -> Path:
    for number in (1, 2, 10):
        for factor, name in ((1, "T1"), (2, "T1_1mm"), (3, "T1_IR"), (4, "T2_FLAIR")):
            save(tmp_path / "TrainingData" / str(number) / f"{name}.nii", anatomy * factor * number)
        save(tmp_path / "TrainingData" / str(number) / "LabelsForTraining.nii", anatomy > 0.5)
    save(tmp_path / "TestData" / "3" / "T1.nii", anatomy)
    return tmp_path


@pytest.fixture
def of_2018(tmp_path: Path, anatomy: np.ndarray) -> Path:
    for number in ("1", "070"):
        folder = tmp_path / "training" / number
        save(folder / "orig" / "T1.nii.gz", anatomy * 5)
        save(folder / "orig" / "reg_T1.nii.gz", anatomy * 6)
        save(folder / "pre" / "reg_T1.nii.gz", anatomy * 7)
        save(folder / "pre" / "FLAIR.nii.gz", anatomy * 8)
        save(folder / "segm.nii.gz", anatomy > 0.5)
    return tmp_path


@pytest.mark.parametrize(("contrast", "factor"), [("T1", 1), ("T1_IR", 3), ("FLAIR", 4)])
def test_2013(of_2013: Path, anatomy: np.ndarray, contrast: str, factor: int) -> None:
    volumes = [v for v in MRBrainS(contrast).volumes(of_2013) if v.split == "train"]
    assert [v.subject for v in volumes] == ["1", "2", "10"]
    found = np.stack([item.image for item in volumes[2].slices()], axis=-1)
    np.testing.assert_allclose(found, anatomy * factor * 10, rtol=1e-6)
    assert volumes[0].spacing == pytest.approx((0.958, 0.958, 3))


def test_2013_test_data_are_the_validation_split(of_2013: Path) -> None:
    found = {v.subject: v.split for v in MRBrainS("T1").volumes(of_2013)}
    assert found == {"1": "train", "2": "train", "10": "train", "3": "validation"}


@pytest.mark.parametrize(("contrast", "factor"), [("T1", 5), ("FLAIR", 8)])
def test_2018(of_2018: Path, anatomy: np.ndarray, contrast: str, factor: int) -> None:
    volumes = list(MRBrainS(contrast).volumes(of_2018))
    assert sorted(v.subject for v in volumes) == ["070", "1"]
    found = np.stack([item.image for item in volumes[0].slices()], axis=-1)
    np.testing.assert_allclose(found, anatomy * factor, rtol=1e-6)


def test_2018_registered_images_come_from_pre(of_2018: Path, anatomy: np.ndarray) -> None:
    for path in of_2018.rglob("T1.nii.gz"):
        path.unlink()
    volume = next(iter(MRBrainS("T1").volumes(of_2018)))
    found = np.stack([item.image for item in volume.slices()], axis=-1)
    np.testing.assert_allclose(found, anatomy * 7, rtol=1e-6)


def test_contrast_that_nobody_has(of_2013: Path) -> None:
    with pytest.raises(DataError, match="no subject has PD"):
        list(MRBrainS("PD").volumes(of_2013))


def test_2013_numbers_of_training_and_test_are_different_people(
    of_2013: Path, anatomy: np.ndarray
) -> None:
    save(of_2013 / "TestData" / "1" / "T1.nii", anatomy / 2)
    volumes = {v.name: v for v in MRBrainS("T1").volumes(of_2013)}
    assert set(volumes) == {"TrainingData_1_T1", "TestData_1_T1", "2_T1", "10_T1", "3_T1"}
    assert assign(list(volumes.values()), None, seed=0) == {
        "TrainingData_1": "train",
        "TestData_1": "validation",
        "2": "train",
        "10": "train",
        "3": "validation",
    }
    found = np.stack([item.image for item in volumes["TestData_1_T1"].slices()], axis=-1)
    np.testing.assert_allclose(found, anatomy / 2, rtol=1e-6)

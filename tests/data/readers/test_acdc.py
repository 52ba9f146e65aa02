"""Layout of the ACDC release as its owner describes it (Bernard et al. 2018, and its readme)."""

from pathlib import Path

import nibabel
import numpy as np
import pytest

from kdmri.data.readers.acdc import ACDC
from kdmri.errors import ConfigurationError, DataError

ED, ES, FRAMES = 1, 4, 5


def write_patient(folder: Path, number: int, anatomy: np.ndarray) -> None:
    """Write 10 slices in five frames of int16, with labels beside them."""
    folder.mkdir(parents=True)
    slices = anatomy[:, :, 10:20]
    frames = [(slices * (200 + 10 * n + number)).astype(np.int16) for n in range(FRAMES)]

    def save(values: np.ndarray, name: str) -> None:
        image = nibabel.Nifti1Image(values, np.diag([1.4, 1.4, 10, 1]))
        nibabel.save(image, folder / f"{folder.name}_{name}.nii.gz")

    save(np.stack(frames, axis=-1), "4d")
    for n in (ED, ES):
        save(frames[n - 1], f"frame{n:02d}")
        save(np.ones_like(frames[0]), f"frame{n:02d}_gt")
    info = f"ED: {ED}\nES: {ES}\nGroup: DCM\nHeight: 184.0\nNbFrame: {FRAMES}\nWeight: 95.0\n"
    (folder / "Info.cfg").write_text(info)


@pytest.fixture
def source(tmp_path: Path, anatomy: np.ndarray) -> Path:
    for place, number in (("training", 1), ("training", 12), ("testing", 101)):
        write_patient(tmp_path / "database" / place / f"patient{number:03d}", number, anatomy)
    return tmp_path


def test_end_diastole_and_end_systole(source: Path, anatomy: np.ndarray) -> None:
    volumes = list(ACDC("ed_es").volumes(source))
    assert [v.name for v in volumes] == [
        f"patient{p}_frame{f}" for p in ("101", "001", "012") for f in ("01", "04")
    ]
    assert [v.split for v in volumes[::2]] == ["validation", "train", "train"]
    assert [v.subject for v in volumes[:2]] == ["patient101"] * 2
    for volume, number, frame in ((volumes[2], 1, ED), (volumes[5], 12, ES)):
        expected = (anatomy[:, :, 10:20] * (200 + 10 * (frame - 1) + number)).astype(np.int16)
        found = np.stack([item.image for item in volume.slices()], axis=-1)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == np.float32
    assert volumes[0].spacing == pytest.approx((1.4, 1.4, 10))


def test_every_frame(source: Path, anatomy: np.ndarray) -> None:
    volumes = [v for v in ACDC("all").volumes(source) if v.subject == "patient012"]
    assert [v.name for v in volumes] == [f"patient012_frame{n:02d}" for n in range(1, 6)]
    found = np.stack([item.image for item in volumes[2].slices()], axis=-1)
    np.testing.assert_array_equal(found, (anatomy[:, :, 10:20] * 232).astype(np.int16))


def test_without_info_the_frames_that_are_there_are_read(source: Path) -> None:
    (source / "database" / "training" / "patient001" / "Info.cfg").unlink()
    folder = source / "database" / "training" / "patient001"
    volumes = list(ACDC("ed_es").volumes(folder.parent))
    assert [v.name for v in volumes if v.subject == "patient001"] == [
        "patient001_frame01",
        "patient001_frame04",
    ]


def test_frame_that_is_missing_is_named(source: Path) -> None:
    (source / "database" / "testing" / "patient101" / "patient101_frame04.nii.gz").unlink()
    volume = next(v for v in ACDC("ed_es").volumes(source) if "frame04" in v.name)
    with pytest.raises(DataError, match=r"patient101_frame04\.nii\.gz"):
        list(volume.slices())


def test_nothing_there_and_wrong_options(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found no ACDC folders"):
        list(ACDC("ed_es").volumes(tmp_path))
    with pytest.raises(ConfigurationError, match=r"format.frames=some: must be ed_es or all"):
        ACDC("some")


def test_source_can_be_one_patient_and_unpacked(source: Path, anatomy: np.ndarray) -> None:
    folder = source / "database" / "testing" / "patient101"
    for path in folder.glob("*.nii.gz"):
        nibabel.save(nibabel.load(path), path.with_suffix(""))
        path.unlink()
    names = ["patient101_frame01", "patient101_frame04"]
    volumes = list(ACDC("ed_es").volumes(folder))
    assert [(v.name, v.split) for v in volumes] == [(name, "validation") for name in names]
    found = np.stack([item.image for item in volumes[1].slices()], axis=-1)
    np.testing.assert_array_equal(found, (anatomy[:, :, 10:20] * 331).astype(np.int16))
    (folder / "Info.cfg").unlink()
    assert [v.name for v in ACDC("ed_es").volumes(folder)] == names

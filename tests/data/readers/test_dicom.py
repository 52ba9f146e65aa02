import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from pydicom.tag import Tag

from kdmri.data.readers.dicom import Dicom
from kdmri.errors import DataError
from tests.conftest import ROOT, Result
from tests.data.readers.dicom_files import (
    APART,
    dataset,
    enhanced,
    expected,
    image,
    read,
    read_one,
    save,
    save_series,
    volumes,
)


@pytest.mark.parametrize("compress", [False, True])
def test_slices_lie_in_the_order_of_their_positions(
    tmp_path: Path, stored: np.ndarray, compress: bool
) -> None:
    paths = save_series(tmp_path / "deep" / "er", stored, compress)
    (volume,) = volumes(tmp_path)
    np.testing.assert_array_equal(read(volume), expected(stored))
    np.testing.assert_array_equal(read(volume), expected(stored), "can be read again")
    assert volume.files == tuple(paths)
    assert volume.spacing == pytest.approx((1.5, 1.25, APART))
    assert volume.split is None


def test_instance_numbers_order_slices_without_positions(
    tmp_path: Path, stored: np.ndarray
) -> None:
    for n in range(12):
        made = image(stored[:, :, n], InstanceNumber=n + 1, SpacingBetweenSlices=3)
        del made.ImagePositionPatient
        save(made, tmp_path / f"{(5 * n) % 12}.dcm")
    (volume,) = volumes(tmp_path)
    np.testing.assert_array_equal(read(volume), expected(stored[:, :, :12]))
    assert volume.spacing == (1.5, 1.25, 3)


def test_every_file_has_its_own_scale(tmp_path: Path, stored: np.ndarray) -> None:
    for n in range(6):
        save(image(stored[:, :, n], n, RescaleSlope=n + 1, RescaleIntercept=-n), tmp_path / f"{n}")
    wanted = stored[:, :, :6] * np.arange(1.0, 7) - np.arange(6)
    np.testing.assert_array_equal(read_one(tmp_path), wanted.astype(np.float32))


def test_values_without_rescale_are_taken_as_they_are(tmp_path: Path, stored: np.ndarray) -> None:
    made = image(stored[:, :, 20])
    del made.RescaleSlope, made.RescaleIntercept, made.PixelSpacing
    save(made, tmp_path / "a")
    (volume,) = volumes(tmp_path / "a")
    np.testing.assert_array_equal(read(volume)[:, :, 0], stored[:, :, 20])
    assert volume.spacing is None


def test_series_are_parted_and_chosen_by_description(tmp_path: Path, stored: np.ndarray) -> None:
    save_series(tmp_path / "a", stored[:, :, :8])
    second = {"SeriesInstanceUID": "1.2.3.5", "SeriesDescription": "T2 TSE"}
    save_series(tmp_path / "b", stored[:, :, 8:20], SeriesNumber=12, **second)
    third = {"SeriesInstanceUID": "1.2.3.6", "SeriesDescription": "T2 again"}
    save_series(tmp_path / "c", stored[:, :, 20:25], SeriesNumber=12, **third)
    for path in tmp_path.glob("?/*"):
        path.rename(tmp_path / f"{path.parent.name}{path.name}")
    found = volumes(tmp_path)
    assert [volume.name[16:] for volume in found] == ["_001", "_012", "_012_2"]
    parts = [stored[:, :, :8], stored[:, :, 8:20], stored[:, :, 20:25]]
    for volume, part in zip(found, parts, strict=True):
        np.testing.assert_array_equal(read(volume), expected(part))
    assert [v.files for v in volumes(tmp_path, "t2")] == [v.files for v in found[1:]]
    with pytest.raises(DataError, match=r"'T1w axial', 'T2 TSE', 'T2 again'"):
        volumes(tmp_path, "flair")


@pytest.mark.parametrize("told_by", ["TriggerTime", "TemporalPositionIdentifier", "EchoTime", None])
@pytest.mark.parametrize("placed", [True, False])
def test_cine_is_one_volume_a_time_point(
    tmp_path: Path, stored: np.ndarray, told_by: str | None, placed: bool
) -> None:
    beats = stored[:, :, :24].reshape(48, 40, 4, 6)
    for time, place in np.ndindex(4, 6):
        number = 6 * time + place
        made = image(beats[:, :, time, place], place, InstanceNumber=number + 1)
        if told_by:  # then InstanceNumber tells nothing about time
            setattr(made, told_by, (time + 1) * 20)
            made.InstanceNumber = place + 1
        if not placed:
            del made.ImagePositionPatient
        save(made, tmp_path / f"{(7 * number) % 24}")
    found = volumes(tmp_path)
    if not placed and told_by is None:
        assert len(found) == 1, "nothing tells time from place"
        return
    assert [volume.name[16:] for volume in found] == [
        "_001_t01",
        "_001_t02",
        "_001_t03",
        "_001_t04",
    ]
    for time, volume in enumerate(found):
        np.testing.assert_array_equal(read(volume), expected(beats[:, :, time]))
        assert volume.spacing == pytest.approx((1.5, 1.25, APART if placed else 2))


def test_directions_of_a_localiser_are_volumes(tmp_path: Path, stored: np.ndarray) -> None:
    axes = np.eye(3)
    for turn in range(3):
        row, column, normal = np.roll(axes, turn, axis=0)
        for n in range(3):
            made = image(stored[:, :, 3 * turn + n], InstanceNumber=3 * turn + n + 1)
            made.ImageOrientationPatient = [*row, *(column + n * 1e-6)]
            made.ImagePositionPatient = list(10 * n * normal)
            save(made, tmp_path / f"{turn}{n}")
    found = volumes(tmp_path)
    assert [volume.name[16:] for volume in found] == ["_001", "_001_2", "_001_3"]
    for turn, volume in enumerate(found):
        np.testing.assert_array_equal(read(volume), expected(stored[:, :, 3 * turn :][:, :, :3]))


@pytest.mark.parametrize("in_time", [False, True])
def test_frames_of_a_classic_file(tmp_path: Path, stored: np.ndarray, in_time: bool) -> None:
    frames = np.ascontiguousarray(np.moveaxis(stored[:, :, :10], -1, 0))
    made = image(frames)
    if in_time:
        made.FrameTime = 40
        made.FrameIncrementPointer = Tag("FrameTime")
    save(made, tmp_path / "cine.dcm")
    found = volumes(tmp_path)
    if in_time:
        assert [volume.name[-4:] for volume in found] == [f"_t{n:02d}" for n in range(1, 11)]
    else:
        assert len(found) == 1
        assert found[0].spacing == (1.5, 1.25, 2)
    values = np.concatenate([read(volume) for volume in found], axis=-1)
    np.testing.assert_array_equal(values, expected(stored[:, :, :10]))


@pytest.mark.parametrize("compress", [False, True])
def test_frames_of_an_enhanced_file(tmp_path: Path, stored: np.ndarray, compress: bool) -> None:
    order = np.random.default_rng(3).permutation(36)
    keys = [divmod(int(n), 18) for n in order]
    save(enhanced(stored[:, :, order], keys), tmp_path / "enhanced.dcm", compress)
    found = volumes(tmp_path)
    assert [volume.name[16:] for volume in found] == ["_001_t01", "_001_t02"]
    at = np.argsort(order)  # the frame that holds each slice
    wanted = (stored * (at + 1.0) + at).astype(np.float32)
    for time, volume in enumerate(found):
        np.testing.assert_array_equal(read(volume), wanted[:, :, 18 * time :][:, :, :18])
        assert volume.spacing == pytest.approx((1.5, 1.25, APART))
        assert volume.files == (tmp_path / "enhanced.dcm",)


def test_enhanced_file_whose_groups_do_not_match_its_frames(
    tmp_path: Path, stored: np.ndarray
) -> None:
    made = enhanced(stored[:, :, :3], [(0, 0), (0, 1), (0, 2)])
    del made.PerFrameFunctionalGroupsSequence[2]
    save(made, tmp_path / "enhanced.dcm")
    with pytest.raises(DataError, match=r"enhanced\.dcm: has 3 frames, but .* groups for 2"):
        read_one(tmp_path)


COMPLEX_PARTS = [
    {"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]},
    {"ImageType": ["ORIGINAL", "PRIMARY", "PHASE MAP", "P", "FFE"]},
    {"ComplexImageComponent": "IMAGINARY"},
]


@pytest.mark.parametrize("part", COMPLEX_PARTS)
def test_phase_beside_magnitude_is_left_out(
    tmp_path: Path, stored: np.ndarray, part: dict[str, Any]
) -> None:
    save_series(tmp_path / "magnitude", stored[:, :, :5])
    save_series(tmp_path / "phase", stored[:, :, 5:10], **part)
    np.testing.assert_array_equal(read_one(tmp_path), expected(stored[:, :, :5]))


def test_copies_of_a_file_count_once(tmp_path: Path, stored: np.ndarray) -> None:
    save_series(tmp_path / "a", stored[:, :, :5])
    shutil.copytree(tmp_path / "a", tmp_path / "again")
    np.testing.assert_array_equal(read_one(tmp_path), expected(stored[:, :, :5]))


def test_images_that_share_an_identifier_are_kept(tmp_path: Path, stored: np.ndarray) -> None:
    for n in range(5):  # as careless anonymisation leaves them
        save(image(stored[:, :, n], n, SOPInstanceUID="1.2.3"), tmp_path / f"{n}")
    np.testing.assert_array_equal(read_one(tmp_path), expected(stored[:, :, :5]))


def test_private_class_with_an_image_is_read(tmp_path: Path, stored: np.ndarray) -> None:
    save(image(stored[:, :, 20], SOPClassUID="1.3.46.670589.11.0.0.12.1"), tmp_path / "a")
    np.testing.assert_array_equal(read_one(tmp_path)[:, :, 0], expected(stored[:, :, 20]))


def test_folders_tell_the_split(tmp_path: Path, stored: np.ndarray) -> None:
    for n, folder in enumerate(("train/a", "val/b", "other")):
        values = {"SeriesInstanceUID": f"1.2.3.{n}", "SeriesNumber": n}
        save_series(tmp_path / folder, stored[:, :, :2], **values)
    assert [volume.split for volume in volumes(tmp_path)] == ["train", "validation", None]


def test_names_tell_nobody_who_was_scanned(tmp_path: Path, stored: np.ndarray) -> None:
    people = [
        {"PatientID": "4711", "PatientName": "Doe^Jane"},
        {"PatientID": " 4711", "PatientName": "Doe^Jane^M", "StudyInstanceUID": "1.2.9"},
        {"PatientID": "", "PatientName": "Doe^Jane"},
        {"PatientID": None, "PatientName": "Roe^Rick"},
        {"PatientID": " ", "PatientName": "", "StudyInstanceUID": "1.2.7"},
        {"PatientID": "", "PatientName": "", "StudyInstanceUID": "1.2.8"},
    ]
    for n, person in enumerate(people):
        made = image(stored[:, :, n], SeriesInstanceUID=f"1.2.3.{n}", SeriesNumber=n + 20)
        made.SeriesDate = "20240131"
        made.update(dataset(**person))
        save(made, tmp_path / f"Doe_Jane_{n}" / "Doe_Jane.dcm")
    broken = tmp_path / "Doe_Jane_0" / "Roe_Rick.dcm"
    broken.write_bytes((tmp_path / "Doe_Jane_0" / "Doe_Jane.dcm").read_bytes()[:500])
    *found, unreadable = volumes(tmp_path)
    assert all(re.fullmatch(r"subject-[0-9a-f]{8}_0\d\d", volume.name) for volume in found)
    assert all(volume.name[:-4] == volume.subject for volume in found)
    subjects = [v.subject for v in sorted(found, key=lambda volume: volume.name[-3:])]
    assert subjects[0] == subjects[1]
    assert len(set(subjects[1:])) == 5
    assert not re.search("doe|roe", unreadable.name + unreadable.subject, re.IGNORECASE)


def test_prepared_data_set(tmp_path: Path, stored: np.ndarray, run: Callable[..., Result]) -> None:
    for n in range(3):
        values = {"PatientID": f"jane.doe{n}", "SeriesInstanceUID": f"1.2.3.{n}"}
        save_series(tmp_path / "study" / f"{n}", stored[:, :, 4 * n : 4 * n + 4], **values)
    result = run(
        "kdmri/prepare/__main__.py", "format=dicom", "name=study", f"source={tmp_path / 'study'}"
    )
    assert result.code == 0, result.err
    folder = tmp_path / "datasets" / "study"
    written = sorted(folder.rglob("*.h5"))
    assert sorted(path.parent.name for path in written) == ["test", "train", "validation"]
    names = {volume.name: read(volume) for volume in volumes(tmp_path / "study")}
    for path in written:
        with h5py.File(path) as file:
            values = file["volfs"][...]
        wanted = names[path.stem] / names[path.stem].max()
        np.testing.assert_allclose(values, wanted, atol=1e-6)
    assert "doe" not in (folder / "manifest.json").read_text().lower()


def test_config_makes_the_reader() -> None:
    assert instantiate(OmegaConf.load(ROOT / "configs" / "format" / "dicom.yaml")) == Dicom(None)

"""Who is a subject where the user, the format and the names each may tell."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from kdmri.data.readers.dicom import Dicom
from kdmri.data.readers.ismrmrd import Ismrmrd
from kdmri.data.readers.layout_files import LayoutFiles
from kdmri.data.readers.naming import pseudonym
from kdmri.data.readers.numpy_files import NumpyFiles
from kdmri.data.readers.who import Found, describe, find_subjects, images, shown
from kdmri.errors import ConfigurationError, DataError
from tests.data.readers.dicom_files import image, save, save_series
from tests.data.readers.ismrmrd_files import SAMPLES, Scan, header

IMAGES = NumpyFiles(axis=0, kspace=False, centred=False)


def study(source: Path, *names: str) -> Path:
    for name in names:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(source / name, np.ones((2, 4, 4), np.float32))
    return source


def subjects(description: Found) -> list[str]:
    return [volume.subject for volume in description.volumes]


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("folder", ["alpha", "alpha", "omega", "omega"]),
        ("name", ["p1", "p2", "p1", "p2"]),
        (r"p\d", ["p1", "p2", "p1", "p2"]),
        (r"(?:alpha|omega)/(..)", ["p1", "p2", "p1", "p2"]),
        (".+", ["alpha/p1_a.npy", "alpha/p2_a.npy", "omega/p1_o.npy", "omega/p2_o.npy"]),
    ],
)
def test_the_option_settles_what_names_leave_open(
    tmp_path: Path, option: str, expected: list[str]
) -> None:
    source = study(tmp_path, *(f"{o}/p{n}_{o[0]}.npy" for o in ("alpha", "omega") for n in (1, 2)))
    with pytest.raises(DataError, match="is `p1` a subject, or its folder `alpha`"):
        find_subjects(IMAGES, source, None)
    description = find_subjects(IMAGES, source, option)
    assert subjects(description) == expected
    assert description.rule == f"subjects={option}"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("(p", r"subjects=\(p: is neither null, folder, .* regular expression \(missing \)"),
        ("(p)(q)", "has 2 groups; one is the subject"),
        ("study", "only DICOM files tell of studies"),
    ],
)
def test_options_that_cannot_be_used(tmp_path: Path, option: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        find_subjects(IMAGES, study(tmp_path, "p1.npy"), option)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("q.", r"p1\.npy: subjects=q\.: does not match"),
        ("x*", r"p1\.npy: subjects=x\*: does not match"),
        ("folder", r"p1\.npy: subjects=folder: lies in no folder"),
    ],
)
def test_files_that_an_option_does_not_tell_of(tmp_path: Path, option: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        find_subjects(IMAGES, study(tmp_path, "train/p1.npy"), option)


def test_label_maps_are_left_out_and_named(tmp_path: Path) -> None:
    source = study(tmp_path, "p1/a.npy", *(f"p{n}/a_mask.npy" for n in range(1, 6)))
    description = find_subjects(IMAGES, source, None)
    assert subjects(description) == ["p1"]
    assert describe(description.left_out, source) == (
        "label maps or masks: 5 (p1/a_mask.npy, p2/a_mask.npy, p3/a_mask.npy and 2 more)"
    )
    with pytest.raises(DataError, match=r"holds no images, by their names: label maps or masks: 1"):
        find_subjects(IMAGES, source / "p2", None)


def test_a_file_that_is_given_itself_is_taken_whatever_its_name_says(tmp_path: Path) -> None:
    source = study(tmp_path, "p1/knee_roi.npy")
    (volume,) = find_subjects(IMAGES, source / "p1" / "knee_roi.npy", None).volumes
    assert volume.files == (source / "p1" / "knee_roi.npy",)


@pytest.mark.parametrize("name", ["msk_p1", "p1_gt", "p1_roi", "p1_noseg", "mask/p1"])
def test_no_name_makes_k_space_a_label_map(tmp_path: Path, name: str) -> None:
    """Musculoskeletal scans are called msk, those that a network is compared with gt."""
    path = tmp_path / f"{name}.npy"
    path.parent.mkdir(exist_ok=True)
    np.save(path, np.ones((2, 4, 4), np.complex64))
    np.save(tmp_path / "sampling_mask.npy", np.ones((4, 4), np.uint8))
    found = find_subjects(replace(IMAGES, kspace=True), tmp_path, None)
    assert [v.files for v in found.volumes] == [(path,)]
    assert list(found.left_out.values()) == [[tmp_path / "sampling_mask.npy"]]


def test_no_name_makes_raw_files_label_maps(tmp_path: Path) -> None:
    """Files that hold no k-space go by their names; ISMRMRD's header tells, and keys of h5 do."""
    scan, zero_filled = tmp_path / "mrd" / "p1_gt.h5", tmp_path / "h5" / "p1_gt.h5"
    scan.parent.mkdir()
    with Scan(scan, header()) as lines:
        lines.line(np.ones((1, SAMPLES)))
    for number, reader in enumerate((Ismrmrd(), LayoutFiles(undersampled=True))):
        path = (scan, zero_filled)[number]
        path.parent.mkdir(exist_ok=True)
        with h5py.File(path, "a") as file:
            file["kspace_volus_4x"] = np.ones((4, 4, 4), np.complex64)
        other = path.with_name("p1_mask.h5")
        with h5py.File(other, "w") as file:
            file["mask"] = np.ones((4, 4), np.uint8)
        volumes, left_out = images(reader, path.parent)
        assert [v.files for v in volumes] == [(path,)]
        assert list(left_out.values()) == [[other]]


def test_a_subject_that_only_contents_name_is_shown_by_its_pseudonym(tmp_path: Path) -> None:
    (volume,) = find_subjects(IMAGES, study(tmp_path, "ward/p1.npy"), "ward/p1").volumes
    assert shown(volume, tmp_path) == "ward/p1"
    named = find_subjects(IMAGES, tmp_path, None).volumes[0]
    object.__setattr__(named, "subject", "Doe^Jane")
    assert shown(named, tmp_path) == pseudonym("Doe^Jane")


@pytest.fixture
def anonymous(tmp_path: Path, anatomy: np.ndarray) -> Path:
    """Four people, whom an anonymiser gave one PatientID."""
    for n in range(4):
        uids = {"StudyInstanceUID": f"1.2.{n}", "SeriesInstanceUID": f"1.2.{n}.1"}
        stored = (anatomy[:, :, 4:6] * 1000).astype(np.uint16)
        save_series(tmp_path / f"case{n}", stored, PatientID="Anonymous", **uids)
    return tmp_path


def test_one_identifier_for_several_people_is_told(anonymous: Path) -> None:
    description = find_subjects(Dicom(), anonymous, None)
    assert set(subjects(description)) == {pseudonym("Anonymous")}
    (note,) = description.notes
    assert note.startswith("all files share one PatientID, in 4 studies and 4 folders; if several")
    assert "subjects=folder or subjects=study" in note


@pytest.mark.parametrize(
    ("option", "people"),
    [
        ("folder", [f"case{n}" for n in range(4)]),
        ("study", [f"1.2.{n}" for n in range(4)]),
        (r"case(\d)", [*"0123"]),
    ],
)
def test_people_of_one_identifier_are_told_apart(
    anonymous: Path, option: str, people: list[str]
) -> None:
    description = find_subjects(Dicom(), anonymous, option)
    assert sorted(subjects(description)) == sorted(map(pseudonym, people))
    assert all(
        v.name == f"{v.subject}_001" == f"{shown(v, anonymous)}_001" for v in description.volumes
    )
    assert description.notes == []


def test_series_of_one_number_in_several_folders_stay_apart(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    """An anonymiser may leave nothing at all that differs."""
    for n in range(2):
        save(image((anatomy[:, :, n] * 1000).astype(np.uint16)), tmp_path / f"case{n}" / "IM1")
    assert len(find_subjects(Dicom(), tmp_path, None).volumes) < 3
    assert [len(v.files) for v in find_subjects(Dicom(), tmp_path, "folder").volumes] == [1, 1]


def test_people_whose_scans_lie_in_several_shared_folders_raise_no_doubt(
    anonymous: Path, anatomy: np.ndarray
) -> None:
    stored = (anatomy[:, :, 4:6] * 1000).astype(np.uint16)
    other = {"PatientID": "p2", "StudyInstanceUID": "1.3", "SeriesInstanceUID": "1.3.1"}
    for n in range(4):
        save_series(anonymous / f"case{n}" / "b", stored, **other)
    assert find_subjects(Dicom(), anonymous, None).notes == []
    save_series(anonymous / "case4", stored, PatientID="Anonymous", SeriesInstanceUID="1.5.1")
    save_series(anonymous / "case5", stored, PatientID="Anonymous", SeriesInstanceUID="1.6.1")
    (note,) = find_subjects(Dicom(), anonymous, None).notes
    assert note.startswith(f"{pseudonym('Anonymous')} is one PatientID, in 4 studies and 6 folders")


def test_dicom_files_are_named_by_image(anonymous: Path) -> None:
    with pytest.raises(ConfigurationError, match="subjects=name: files of this format are images"):
        find_subjects(Dicom(), anonymous, "name")

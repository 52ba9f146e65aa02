"""Files that lie beside MR images: other modalities, screenshots, tiles; they are named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    EnhancedMRColorImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    PositronEmissionTomographyImageStorage,
    SecondaryCaptureImageStorage,
)

from kdmri.errors import DataError
from tests.conftest import Result
from tests.data.readers.dicom_files import (
    enhanced,
    expected,
    image,
    read,
    read_one,
    save,
    save_series,
    volumes,
)

Stored = np.ndarray

OTHERS: dict[str, dict[str, Any]] = {
    "Positron Emission Tomography Image Storage": {
        "SOPClassUID": PositronEmissionTomographyImageStorage,
        "Modality": "PT",
    },
    "CT Image Storage": {"SOPClassUID": CTImageStorage, "Modality": "CT"},
    "Digital X-Ray Image Storage - For Presentation": {
        "SOPClassUID": DigitalXRayImageStorageForPresentation,
        "Modality": "DX",
    },
    "Secondary Capture Image Storage": {"SOPClassUID": SecondaryCaptureImageStorage},
    "Secondary Capture Image Storage with burned-in annotation": {
        "SOPClassUID": SecondaryCaptureImageStorage,
        "BurnedInAnnotation": "YES",
    },
    "Multi-frame Grayscale Word Secondary Capture Image Storage": {
        "SOPClassUID": MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    },
    "MR Image Storage with burned-in annotation": {"BurnedInAnnotation": "YES"},
    "Enhanced MR Color Image Storage": {"SOPClassUID": EnhancedMRColorImageStorage},
    "MR Image Storage in colour": {"PhotometricInterpretation": "PALETTE COLOR"},
    "a private SOP class, Modality CT": {"SOPClassUID": "1.3.46.670589.5.0.9", "Modality": "CT"},
    "phase, real or imaginary images": {"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]},
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_kinds_are_left_out_and_named(tmp_path: Path, stored: Stored, kind: str) -> None:
    """They have the series of the images among which they lie."""
    save_series(tmp_path / "mr", stored[:, :, :4])
    for place in range(4, 7):
        save(image(stored[:, :, place], place, **OTHERS[kind]), tmp_path / f"other{place}")
    (volume,) = volumes(tmp_path)
    np.testing.assert_array_equal(read(volume), expected(stored[:, :, :4]))
    assert volume.notes == (f"{tmp_path}: left out 3 DICOM file(s): {kind} (other4 and 2 more)",)
    with pytest.raises(DataError, match=r"other5: found no DICOM .* left out 1 DICOM file") as why:
        volumes(tmp_path / "other5")
    assert kind in str(why.value)


def test_kinds_are_named_once(tmp_path: Path, stored: Stored) -> None:
    for number in range(2):
        folder = tmp_path / f"{number}"
        save_series(
            folder, stored[:, :, :2], SeriesNumber=number + 1, SeriesInstanceUID=f"1.{number}"
        )
        save(image(stored[:, :, 9], **OTHERS["CT Image Storage"]), folder / "ct")
        save(image(stored[:, :, 8], BurnedInAnnotation="YES"), folder / "shot")
    found = volumes(tmp_path)
    (note,) = [note for volume in found for note in volume.notes]
    assert "left out 4" in note
    assert "CT Image Storage (0/ct and 1 more)" in note
    assert "MR Image Storage with burned-in annotation (0/shot and 1 more)" in note


@pytest.mark.parametrize("burned", ["NO", None])
def test_images_without_burned_in_text_are_taken(
    tmp_path: Path, stored: Stored, burned: str | None
) -> None:
    save(image(stored[:, :, 20], BurnedInAnnotation=burned), tmp_path / "a")
    np.testing.assert_array_equal(read_one(tmp_path)[:, :, 0], expected(stored[:, :, 20]))


def test_legacy_converted_files_are_taken(tmp_path: Path, stored: Stored) -> None:
    made = enhanced(stored[:, :, :3], [(0, 0), (0, 1), (0, 2)])
    made.SOPClassUID = LegacyConvertedEnhancedMRImageStorage
    save(made, tmp_path / "a")
    wanted = stored[:, :, :3] * np.arange(1.0, 4) + np.arange(3)
    np.testing.assert_array_equal(read_one(tmp_path), wanted.astype(np.float32))


def test_file_without_a_class_counts_by_its_modality(tmp_path: Path, stored: Stored) -> None:
    for modality in ("MR", "CT"):
        made = image(stored[:, :, 20], Modality=modality)
        path = save(made, tmp_path / modality)
        del made.SOPClassUID, made.file_meta.MediaStorageSOPClassUID
        made.preamble = bytes(128)
        made.save_as(path)
    (volume,) = volumes(tmp_path)
    assert volume.files == (tmp_path / "MR",)
    assert "no SOP class, Modality CT (CT)" in volume.notes[0]


def tiles(**values: Any) -> Callable[[Stored], Any]:
    def make(stored: Stored) -> Any:
        maker = values.get("Manufacturer", "SIEMENS")
        made = image(stored[:, :, 0], Manufacturer=maker)
        if "kinds" in values:
            made.ImageType = ["ORIGINAL", "PRIMARY", *values["kinds"]]
        for group, creator, element, kind, value in values.get("private", ()):
            made.private_block(group, creator, create=True).add_new(element, kind, value)
        return made

    return make


SIEMENS_TILES = (0x19, "SIEMENS MR HEADER", 0x0A, "US", 36)
UNITED_TILES = (0x65, "Image Private Header", 0x50, "DS", "25")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (tiles(kinds=["M", "ND", "MOSAIC"]), "a mosaic of slices"),
        (tiles(kinds=["M"], private=[SIEMENS_TILES]), "a mosaic of slices"),
        (tiles(kinds=["M", "VFRAME"]), "tiles of one picture"),
        (tiles(private=[UNITED_TILES], Manufacturer="UIH"), "tiles of one picture"),
    ],
)
def test_tiles_are_refused(
    tmp_path: Path, stored: Stored, make: Callable[[Stored], Any], said: str
) -> None:
    save(make(stored), tmp_path / "a.dcm")
    (volume,) = volumes(tmp_path)
    assert volume.name == "unreadable_001"
    with pytest.raises(DataError, match=rf"a\.dcm: .*{said}.*dcm2niix"):
        read(volume)


@pytest.mark.parametrize("number", [0, 1])
def test_one_tile_is_a_slice(tmp_path: Path, stored: Stored, number: int) -> None:
    private = [(*UNITED_TILES[:4], str(number)), (*SIEMENS_TILES[:4], number)]
    save(tiles(private=private, Manufacturer="UIH")(stored), tmp_path / "a.dcm")
    np.testing.assert_array_equal(read_one(tmp_path), expected(stored[:, :, :1]))


def test_prepare_says_what_it_leaves_out(
    tmp_path: Path, stored: Stored, run: Callable[..., Result]
) -> None:
    source = tmp_path / "study"
    for n in range(3):
        values = {"PatientID": f"p{n}", "SeriesInstanceUID": f"1.2.3.{n}"}
        save_series(source / f"{n}", stored[:, :, 4 * n : 4 * n + 4], **values)
    series = {"PatientID": "p0", "SeriesNumber": 7, "SeriesInstanceUID": "1.2.7"}
    for echo, place in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 2)):
        made = image(stored[:, :, 10 * echo + place], place, EchoTime=10 + 70 * echo, **series)
        save(made, source / f"echo{echo}{place}")
    save(image(stored[:, :, 9], **OTHERS["CT Image Storage"]), source / "ct")
    result = run("kdmri/prepare/__main__.py", "format=dicom", "name=study", f"source={source}")
    assert result.code == 2
    printed = " ".join(result.out.split())
    assert "left out 1 DICOM file(s): CT Image Storage (ct)" in printed
    assert printed.count("left out 1 DICOM file(s)") == 1
    assert "_007_t02 (EchoTime 80) has 2 slices, others of its series 3" in printed
    assert "4 volumes written" in printed
    assert "1 left out" in printed
    written = [path.stem for path in (tmp_path / "datasets" / "study").rglob("*.h5")]
    assert sum(name.endswith("_007_t01") for name in written) == 1
    assert not any(name.endswith("_007_t02") for name in written)

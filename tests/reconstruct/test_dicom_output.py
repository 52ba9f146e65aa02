"""`write=dicom`: series that are derived from DICOM, as other programs read them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.uid import MRImageStorage, SecondaryCaptureImageStorage

from kdmri.data.readers.dicom import Dicom
from kdmri.errors import ConfigurationError
from kdmri.reconstruct.writing import check_free, targets
from tests.data.readers.dicom_files import dataset, enhanced, image, read, save, volumes
from tests.reconstruct.dicom import (
    ORIENTATIONS,
    by_dcm2niix,
    check,
    pixels,
    read_series,
    write_series,
)
from tests.reconstruct.expected import Run, by_hand


@pytest.fixture
def stored(anatomy: np.ndarray) -> np.ndarray:
    return np.round(anatomy[:, :, 8:11] * 3000).astype(np.uint16)


@pytest.mark.skipif(shutil.which("dcm2niix") is None, reason="needs dcm2niix")
def test_series_lie_where_our_nifti_lies(
    checkpoint: Callable[..., Path], reconstruct: Run, stored: np.ndarray, tmp_path: Path
) -> None:
    for number, orientation in enumerate(ORIENTATIONS, start=1):
        write_series(tmp_path / "scan", stored, orientation, number)
    call = {"checkpoint": checkpoint(), "input": "scan"}
    for kind in ("dicom", "nifti"):
        result = reconstruct(**call, output=kind, write=kind)
        assert result.code == 0, result.err
    check(tmp_path / "dicom")
    theirs = by_dcm2niix(tmp_path / "dicom", tmp_path / "theirs")
    assert len(theirs) == len(ORIENTATIONS)
    for number in range(1, len(theirs) + 1):
        (path,) = (tmp_path / "nifti").glob(f"*_{number:03d}.nii.gz")
        ours, found = nibabel.load(path), theirs[1000 + number]
        np.testing.assert_allclose(found.affine, ours.affine, atol=1e-4)
        step = ours.get_fdata().max() / 32767
        np.testing.assert_allclose(found.get_fdata(), ours.get_fdata(), atol=step)


def test_an_image_is_new_and_says_what_it_is_derived_from(
    checkpoint: Callable[..., Path], reconstruct: Run, stored: np.ndarray, tmp_path: Path
) -> None:
    kept = {
        "PatientName": "Müller^Jörg",
        "SpecificCharacterSet": "ISO_IR 100",
        "PatientBirthDate": "19700102",
        "AccessionNumber": "A7",
        "StudyDate": "20240506",
        "FrameOfReferenceUID": "1.2.3.9",
        "EchoTime": "30",
        "ScanningSequence": ["SE", "IR"],
        "ProtocolName": "brain",
        "InstitutionName": "Krankenhaus",
        "WindowCenter": "700",
        "WindowWidth": "1400",
        "RequestAttributesSequence": [dataset(ScheduledProcedureStepID="S1")],
        "LossyImageCompression": "01",
    }
    dropped = {
        "PixelPaddingValue": 0,
        "SmallestImagePixelValue": 1,
        "IconImageSequence": [dataset(Rows=1)],
        "RealWorldValueMappingSequence": [dataset(RealWorldValueSlope=2.0)],
    }
    write_series(tmp_path / "scan", stored, "oblique", 7, **kept, **dropped)
    for path in (tmp_path / "scan").glob("*.dcm"):
        made = pydicom.dcmread(path)
        made.private_block(0x29, "VENDOR", create=True).add_new(1, "LO", "secret of a vendor")
        made.save_as(path)
    result = reconstruct(checkpoint=checkpoint(), input="scan", output="out", write="dicom")
    assert result.code == 0, result.err
    (folder,) = (tmp_path / "out").iterdir()
    found = read_series(folder)
    check(folder)
    truth = by_hand(tmp_path / "best_model.pt", (scale := stored * 0.5 + 3) / scale.max())
    for number, one in enumerate(found):
        source = pydicom.dcmread(tmp_path / "scan" / f"7_{number}.dcm")
        for keyword in (*kept, "StudyInstanceUID", "PatientID", "PixelSpacing", "SliceThickness"):
            assert one[keyword] == source[keyword], keyword
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient"):
            assert one[keyword] == source[keyword]
        assert not dropped.keys() & set(one.dir())
        assert not [element for element in one.iterall() if element.tag.is_private]
        assert list(one.ImageType) == ["DERIVED", "SECONDARY", "M", "ND"]
        assert one.SOPClassUID == one.file_meta.MediaStorageSOPClassUID == MRImageStorage
        (reference,) = one.SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID
        assert one.InstanceNumber == number + 1
        assert one.SeriesNumber == 1007
        assert one.SeriesDescription == "T1w axial kdmri kd, DCCNN"
        for words in ("best_model.pt", "neural network", "a trial", "4.00x", "not for diagnosis"):
            assert words in one.DerivationDescription
        np.testing.assert_allclose(pixels(one), truth[number] * scale.max(), atol=0.2)
    new = {one.SOPInstanceUID for one in found}
    assert len(new) == len(found)
    assert len({one.SeriesInstanceUID for one in found}) == 1
    assert found[0].SeriesInstanceUID != source.SeriesInstanceUID


def test_times_of_an_enhanced_file_are_one_series_that_reads_as_the_same_volumes(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    frames = np.round(anatomy[:, :, 8:14] * 3000).astype(np.uint16)
    made = enhanced(frames, [(time, place) for time in range(2) for place in range(3)])
    made.SharedFunctionalGroupsSequence[0].update(
        dataset(
            MREchoSequence=[dataset(EffectiveEchoTime=42.0)],
            MRTimingAndRelatedParametersSequence=[dataset(RepetitionTime=900.0, FlipAngle=15.0)],
        )
    )
    made.EchoPulseSequence, made.ResonantNucleus = "GRADIENT", "1H"
    for n, item in enumerate(made.PerFrameFunctionalGroupsSequence):
        item.FrameVOILUTSequence = [dataset(WindowCenter=100 + n, WindowWidth=200)]
    save(made, tmp_path / "scan" / "one.dcm")
    call = {"checkpoint": checkpoint(), "input": "scan"}
    for kind in ("dicom", "h5"):
        result = reconstruct(**call, output=kind, write=kind)
        assert result.code == 0, result.err
    check(tmp_path / "dicom")
    (folder,) = (tmp_path / "dicom").iterdir()
    found = read_series(folder)
    assert [one.TemporalPositionIdentifier for one in found] == [1, 1, 1, 2, 2, 2]
    assert [one.SourceImageSequence[0].ReferencedFrameNumber for one in found] == [*range(1, 7)]
    assert [one.WindowCenter for one in found] == [*range(100, 106)]
    for one in found:
        assert (one.EchoTime, one.RepetitionTime, one.FlipAngle) == (42, 900, 15)
        assert (one.ScanningSequence, one.ImagedNucleus) == ("GR", "1H")
    sources, back = volumes(tmp_path / "scan"), volumes(folder)
    assert len(back) == len(sources) == 2
    for source, one in zip(sources, back, strict=True):
        assert source.geometry is not None
        assert one.geometry is not None
        np.testing.assert_allclose(one.geometry.affine, source.geometry.affine, atol=1e-5)
        truth = read(source)
        scaled = by_hand(tmp_path / "best_model.pt", truth / truth.max()) * truth.max()
        step = float(found[0].RescaleSlope)
        np.testing.assert_allclose(np.moveaxis(read(one), -1, 0), scaled, atol=0.6 * step + 0.02)


def test_frames_without_places_are_no_mr_images_and_orientations_one_series(
    checkpoint: Callable[..., Path], reconstruct: Run, stored: np.ndarray, tmp_path: Path
) -> None:
    """A classic file of several frames, which no position tells apart, and a localiser."""
    frames = np.ascontiguousarray(np.moveaxis(stored, -1, 0))
    save(image(frames, SeriesNumber=9), tmp_path / "scan" / "frames.dcm")
    for number, orientation in enumerate(ORIENTATIONS, start=1):
        same = {
            "SeriesInstanceUID": "1.2.5",
            "SeriesNumber": 3,
            "SOPInstanceUID": f"1.2.5.{number}",
        }
        write_series(tmp_path / "scan", stored[..., :1], orientation, number, **same)
    result = reconstruct(checkpoint=checkpoint(), input="scan", output="out", write="dicom")
    assert result.code == 0, result.err
    check(tmp_path / "out")
    localiser, unplaced = (read_series(path) for path in sorted((tmp_path / "out").iterdir()))
    assert [one.InstanceNumber for one in localiser] == [1, 2, 3, 4]
    assert len({tuple(one.ImageOrientationPatient) for one in localiser}) == 4
    assert {one.SOPClassUID for one in unplaced} == {SecondaryCaptureImageStorage}
    for one in unplaced:
        assert "ImagePositionPatient" not in one
        assert one.PixelSpacing == [1.5, 1.25]


def test_diffusion_that_a_vendor_keeps_in_attributes_of_its_own_is_told(
    checkpoint: Callable[..., Path], reconstruct: Run, stored: np.ndarray, tmp_path: Path
) -> None:
    for number, b_value in enumerate((0, 1000)):
        write_series(tmp_path / str(number), stored, "axial", 1)
        for n, path in enumerate((tmp_path / str(number)).glob("*.dcm")):
            made = pydicom.dcmread(path)
            made.SOPInstanceUID = f"1.2.9.{number}.{n}"
            block = made.private_block(0x19, "SIEMENS MR HEADER", create=True)
            block.add_new(0x0C, "IS", b_value)
            block.add_new(0x0E, "FD", [0.0, 0.6, 0.8])
            save(made, tmp_path / "scan" / f"{number}_{path.name}")
    result = reconstruct(checkpoint=checkpoint(), input="scan", output="out", write="dicom")
    assert result.code == 0, result.err
    (folder,) = (tmp_path / "out").iterdir()
    found = read_series(folder)
    assert [one.DiffusionBValue for one in found] == [0, 0, 0, 1000, 1000, 1000]
    assert list(found[-1].DiffusionGradientOrientation) == [0, 0.6, 0.8]
    assert len(volumes(folder)) == 2


def test_a_series_is_whole_or_not_there_and_never_replaced_unasked(
    checkpoint: Callable[..., Path], reconstruct: Run, stored: np.ndarray, tmp_path: Path
) -> None:
    write_series(tmp_path / "scan", stored, "axial")
    call = {"checkpoint": checkpoint(), "input": "scan", "write": "dicom"}
    assert reconstruct(**call, output="out").code == 0
    (folder,) = (tmp_path / "out").iterdir()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    again = reconstruct(**call, output="out")
    assert again.code == 2
    assert "exists" in again.err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    (folder / "0009.dcm").write_text("of an earlier, longer series")
    assert reconstruct(**call, output="out", overwrite="true").code == 0
    assert sorted(path.name for path in folder.iterdir()) == sorted(before)

    cut = sorted((tmp_path / "scan").glob("*.dcm"))[-1]
    cut.write_bytes(cut.read_bytes()[:-100])
    failed = reconstruct(**call, output="other")
    assert failed.code == 2
    assert [path.name for path in (tmp_path / "other").rglob("*")] == []


def test_what_cannot_be_written_is_said_at_once(
    checkpoint: Callable[..., Path], reconstruct: Run, stored: np.ndarray, tmp_path: Path
) -> None:
    write_series(tmp_path / "scan", stored, "axial")
    found = volumes(tmp_path / "scan")
    for output, kind, said in (
        ("out.dcm", None, "folders of files"),
        ("out.nii", "dicom", "agree with output"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            targets(tmp_path / output, kind, Dicom(), found)
    call = {"checkpoint": checkpoint(), "input": "scan", "write": "nifti"}
    result = reconstruct(**call, output="out", anonymous="true")
    assert result.code == 2
    assert "is for write=dicom" in result.err


def test_the_input_is_never_replaced_with_the_folder_that_it_lies_in(
    stored: np.ndarray, tmp_path: Path
) -> None:
    write_series(tmp_path / "scan", stored, "axial")
    (volume,) = volumes(tmp_path / "scan")
    (tmp_path / "scan").rename(tmp_path / volume.name)
    found = volumes(tmp_path / volume.name)
    for kind in ("dicom", "png"):
        with pytest.raises(ConfigurationError, match="would be replaced"):
            check_free(targets(tmp_path, kind, Dicom(), found), overwrite=True)

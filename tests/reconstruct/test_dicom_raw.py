"""`write=dicom` of raw data and arrays: what is known, and nothing else."""

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from ismrmrd import xsd
from pydicom.uid import MRImageStorage, SecondaryCaptureImageStorage

from kdmri.data.geometry import Geometry
from kdmri.data.readers.base import SourceVolume
from kdmri.reconstruct.dicom_raw import RawSource
from tests.data.readers.dicom_files import volumes
from tests.data.readers.ismrmrd_files import HIDDEN, Scan, header, oversampled
from tests.reconstruct.dicom import check, pixels, read_series
from tests.reconstruct.expected import Run, reconstruction

OBLIQUE = np.array([[0, -2, 0.3, 80], [1.5, 0, 0, -60], [0, 0.2, 3, 7], [0, 0, 0, 1.0]])


def described() -> str:
    """Write the header of a scan that tells all that a header can tell."""
    whole = xsd.CreateFromDocument(header())
    whole.subjectInformation = xsd.subjectInformationType(
        patientName=HIDDEN, patientID="4711", patientWeight_kg=71.5, patientGender="F"
    )
    whole.studyInformation = xsd.studyInformationType(
        studyDate="2024-05-06", studyTime="07:08:09", studyInstanceUID="1.2.3.77"
    )
    whole.measurementInformation = xsd.measurementInformationType(
        patientPosition="HFS",
        protocolName="t2_tse",
        initialSeriesNumber=12,
        frameOfReferenceUID="1.2.3.78",
    )
    whole.acquisitionSystemInformation = xsd.acquisitionSystemInformationType(
        systemVendor="Siemens", systemFieldStrength_T=2.89, institutionName="Krankenhaus"
    )
    whole.sequenceParameters = xsd.sequenceParametersType(
        TR=[4000.0], TE=[90.0, 110.0], flipAngle_deg=[150.0], sequence_type="TurboSpinEcho"
    )
    return whole.toXML()


def write_scan(path: Path, anatomy: np.ndarray, xml: str) -> None:
    with Scan(path, xml) as scan:
        scan.directions = np.eye(3)
        for counter, image in enumerate(oversampled(anatomy)):
            scan.place = [10, 20, 7.0 * counter]
            centred = np.fft.fft2(np.fft.ifftshift(image), norm="ortho")
            scan.image(np.fft.fftshift(centred)[None], slice=counter)


def test_a_header_of_ismrmrd_tells_person_study_scan_and_place(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    write_scan(tmp_path / "scan.h5", anatomy, described())
    call = {"checkpoint": checkpoint(channels=2), "input": "scan.h5"}
    for output, words in (
        ("dicom", {"write": "dicom"}),
        ("anonymous", {"write": "dicom", "anonymous": "true"}),
        ("out.nii", {}),
    ):
        result = reconstruct(**call, output=output, **words)
        assert result.code == 0, result.err
    check(tmp_path)
    found = read_series(tmp_path / "dicom" / "scan")
    for one in found:
        assert one.SOPClassUID == MRImageStorage
        assert (one.PatientName, one.PatientID, one.PatientSex) == (HIDDEN, "4711", "F")
        assert (one.StudyDate, one.StudyTime) == ("20240506", "070809")
        assert (one.StudyInstanceUID, one.FrameOfReferenceUID) == ("1.2.3.77", "1.2.3.78")
        assert (one.RepetitionTime, one.FlipAngle, one.EchoTime) == (4000, 150, None)
        assert (one.ScanningSequence, one.MRAcquisitionType) == ("SE", "2D")
        assert (one.MagneticFieldStrength, one.PatientWeight) == (2.89, 71.5)
        assert (one.SliceThickness, one.SpacingBetweenSlices) == (5, 7)
        assert (one.SeriesNumber, one.ProtocolName) == (1012, "t2_tse")
        assert one.SeriesDescription == "t2_tse kdmri kd, DCCNN"
    for one in read_series(tmp_path / "anonymous" / "scan"):
        data = str(one)
        for told in (HIDDEN, "4711", "Krankenhaus", "t2_tse", "2024", "1.2.3.7", "71.5"):
            assert told not in data
        assert (one.RepetitionTime, one.PatientPosition) == (4000, "HFS")
    (back,) = volumes(tmp_path / "dicom")
    nifti = nibabel.load(tmp_path / "out.nii")
    assert back.geometry is not None
    upright = Geometry.of_array(back.geometry.flipped(48).affine, (1, 0, 2)).affine
    np.testing.assert_allclose(upright, nifti.affine, atol=1e-4)
    values = np.stack([pixels(one) for one in found])
    truth = nifti.get_fdata().transpose(2, 1, 0)[:, ::-1]
    factor = 10 ** (3 - np.floor(np.log10(truth.max())))
    assert f"values are {factor:,.0f} times" in found[0].DerivationDescription
    np.testing.assert_allclose(values, factor * truth, atol=0.6 * found[0].RescaleSlope)


def test_what_is_not_known_is_not_made_up(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    np.save(tmp_path / "plain.npy", np.moveaxis(anatomy[:, :, 8:11], -1, 0).astype(np.float32))
    call = {"checkpoint": checkpoint(), "input": "plain.npy"}
    assert reconstruct(**call, output="out", write="dicom").code == 0
    assert reconstruct(**call, output="out.h5").code == 0
    check(tmp_path / "out")
    truth = reconstruction(tmp_path / "out.h5")
    for number, one in enumerate(read_series(tmp_path / "out" / "plain")):
        assert one.SOPClassUID == SecondaryCaptureImageStorage
        told = {element.keyword for element in one if not element.is_empty}
        assert not told & {
            *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "PatientID"),
            *("PatientName", "StudyDate", "FrameOfReferenceUID", "SliceThickness"),
            *("ScanningSequence", "EchoTime", "RepetitionTime", "Manufacturer"),
        }
        np.testing.assert_array_equal(np.argmax(pixels(one)), np.argmax(truth[number]))


def test_time_points_of_a_nifti_file_are_one_series(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    frames = np.stack((anatomy[:, :, 5:8], 2 * anatomy[:, :, 20:23]), axis=-1)
    nibabel.save(nibabel.Nifti1Image(frames.astype(np.float32), OBLIQUE), tmp_path / "cine.nii")
    result = reconstruct(checkpoint=checkpoint(), input="cine.nii", output="out", write="dicom")
    assert result.code == 0, result.err
    check(tmp_path / "out")
    back = volumes(tmp_path / "out" / "cine")
    assert len(back) == 2
    for volume in back:
        assert volume.geometry is not None
        ours = volume.geometry.affine[:, :3]
        for axis in OBLIQUE[:, :3].T:
            likeness = np.abs(axis @ ours) / (np.linalg.norm(axis) * np.linalg.norm(ours, axis=0))
            assert likeness.max() > 0.9999
    assert pixels(read_series(tmp_path / "out" / "cine")[-1]).max() > 1000


def test_slices_whose_rows_and_columns_are_slanted_are_refused() -> None:
    affine = np.eye(4)
    affine[0, 1] = 0.1
    volume = SourceVolume("a", "a", (Path("a.nii"),), lambda: iter(()), Geometry(affine))
    with pytest.raises(Exception, match=r"a.nii: rows and columns .* 84.29 degrees"):
        RawSource(volume, "", (8, 8), anonymous=False)

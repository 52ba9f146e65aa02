"""`anonymous=true`: nothing that the source tells of a person reaches the files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from pydicom.datadict import DicomDictionary
from pydicom.dataelem import DataElement

from kdmri.data.readers.naming import pseudonym
from tests.data.readers.dicom_files import dataset
from tests.reconstruct.dicom import check, read_series, write_series
from tests.reconstruct.expected import Run

HIDDEN = {
    **dict.fromkeys(("LO", "SH", "PN", "UC", "UT", "ST", "LT", "AE"), "XHIDDENX"),
    "UI": "1.9.8.7.6.5.4",
    "DA": "19370203",
    "DT": "19370203101112",
    "TM": "101112.131415",
    "AS": "087Y",
}
"""What stands in every attribute of these value representations that the standard knows."""

KNOWN = {
    *("SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
    *("FrameOfReferenceUID", "SpecificCharacterSet", "ImagedNucleus", "SequenceName"),
    *("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "RescaleType", "PatientID"),
}
"""Not filled: what may stay, or has a meaning of its own to the reader."""


def fill(path: Path) -> None:
    """Fill all attributes of a file that are text, date or UID, nested and private ones too."""
    made = pydicom.dcmread(path)
    for tag, (kind, _, _, retired, keyword) in DicomDictionary.items():
        if tag >> 16 >= 8 and kind in HIDDEN and keyword and keyword not in KNOWN:
            if tag not in made and not retired:
                made.add(DataElement(tag, kind, HIDDEN[kind]))
            elif keyword in ("PatientName", "SeriesDescription"):
                made[tag].value = HIDDEN[kind]
    for keyword in ("AnatomicRegionSequence", "RequestAttributesSequence", "SourceImageSequence"):
        setattr(made, keyword, [dataset(CodeMeaning="XHIDDENX", PatientName="XHIDDENX")])
    made.private_block(0x29, "XHIDDENX", create=True).add_new(1, "LO", "XHIDDENX")
    made.PatientID, made.FrameOfReferenceUID = "p-4711", "1.9.8.7.6.5.4.1"
    made.StudyInstanceUID = "1.9.8.7.6.5.4.2"
    made.save_as(path)


def test_nothing_of_a_person_stays_and_what_belongs_together_does(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    stored = np.round(anatomy[:, :, 8:10] * 3000).astype(np.uint16)
    for number in (1, 2):
        write_series(tmp_path / "scan", stored, "axial", number, EchoTime="30")
    for path in (tmp_path / "scan").iterdir():
        fill(path)
        assert path.read_bytes().count(b"HIDDEN") > 500
    call = {"checkpoint": checkpoint(), "input": "scan", "write": "dicom"}
    result = reconstruct(**call, output="named")
    assert result.code == 0, result.err
    (first, *_) = sorted((tmp_path / "named").rglob("*.dcm"))
    assert b"XHIDDENX" in first.read_bytes(), "what is kept otherwise"
    result = reconstruct(**call, output="out", anonymous="true")
    assert result.code == 0, result.err
    check(tmp_path / "out")
    paths = sorted((tmp_path / "out").rglob("*.dcm"))
    assert len(paths) == 4
    for path in paths:
        data = path.read_bytes()
        for value in (*set(HIDDEN.values()), "4711", "1.2.3.4", "T1w"):
            assert value.encode() not in data, value
        one = pydicom.dcmread(path)
        assert one.PatientID == str(one.PatientName) == pseudonym("p-4711")
        assert one.PatientIdentityRemoved == "YES"
        assert one.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
        assert one.EchoTime == 30
        assert one.PatientBirthDate == one.StudyDate == one.AccessionNumber == ""
        kinds = {element.VR for element in one.iterall() if not element.is_empty}
        assert not kinds & {"DA", "DT", "TM", "AS"}
    folders = [read_series(folder) for folder in sorted((tmp_path / "out").iterdir())]
    named = [read_series(folder) for folder in sorted((tmp_path / "named").iterdir())]
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID"):
        assert len({one[keyword].value for series in folders for one in series}) == 1
    assert len({series[0].SeriesInstanceUID for series in folders + named}) == 4
    for ours, theirs in zip(folders, named, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            assert one.PixelData == other.PixelData
            assert one.ImagePositionPatient == other.ImagePositionPatient
    references = [s[0].SourceImageSequence[0].ReferencedSOPInstanceUID for s in folders]
    assert len(set(references)) == 2

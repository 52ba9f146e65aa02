"""What is known of images that come from no DICOM file: their place, and what raw data tell."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from pydicom import Dataset
from pydicom.uid import UID, generate_uid
from pydicom.valuerep import DSfloat

from kdmri.data.geometry import LPS_TO_RAS, Geometry
from kdmri.data.readers.base import SourceVolume
from kdmri.data.readers.naming import pseudonym
from kdmri.data.readers.raw_header import parse_xml
from kdmri.errors import DataError

PERPENDICULAR = 1e-4
"""Cosine of the angle between rows and columns up to which DICOM takes them (PS3.3 C.7.6.2.1.1)."""

SEQUENCES = {"spinecho": "SE", "turbospinecho": "SE", "gre": "GR", "flash": "GR", "epi": "EP"}
"""Values of `sequence_type` in ISMRMRD headers, in small letters, as ScanningSequence has them."""

Brought = Callable[[str], object]


def _number(text: str) -> DSfloat:
    return DSfloat(float(text), auto_format=True)


def _long(text: str) -> str:
    return text.replace("\\", "/")[:64]


def _short(text: str) -> str:
    if len(text) > 16 or "\\" in text:
        raise ValueError
    return text


def _date(text: str) -> str:
    year, month, day = text[:10].split("-")
    return f"{int(year):04d}{int(month):02d}{int(day):02d}"


def _time(text: str) -> str:
    hour, minute, second = text[:8].split(":")
    return f"{int(hour):02d}{int(minute):02d}{int(second):02d}"


def _uid(text: str) -> UID:
    if not UID(text).is_valid:
        raise ValueError
    return UID(text)


def _one_of(*words: str) -> Brought:
    def brought(text: str) -> str:
        if text.upper() not in words:
            raise ValueError
        return text.upper()

    return brought


POSITIONS = ("HFP", "HFS", "HFDR", "HFDL", "FFP", "FFS", "FFDR", "FFDL")

OF_SCAN: dict[str, tuple[str, Brought]] = {
    "Manufacturer": ("acquisitionSystemInformation/systemVendor", _long),
    "ManufacturerModelName": ("acquisitionSystemInformation/systemModel", _long),
    "MagneticFieldStrength": ("acquisitionSystemInformation/systemFieldStrength_T", _number),
    "ImagingFrequency": (
        "experimentalConditions/H1resonanceFrequency_Hz",
        lambda text: _number(str(float(text) / 1e6)),
    ),
    "PatientPosition": ("measurementInformation/patientPosition", _one_of(*POSITIONS)),
    "RepetitionTime": ("sequenceParameters/TR", _number),
    "EchoTime": ("sequenceParameters/TE", _number),
    "InversionTime": ("sequenceParameters/TI", _number),
    "FlipAngle": ("sequenceParameters/flipAngle_deg", _number),
    "EchoTrainLength": ("encoding/echoTrainLength", int),
    "ScanningSequence": ("sequenceParameters/sequence_type", lambda t: SEQUENCES[t.lower()]),
    "FrameOfReferenceUID": ("measurementInformation/frameOfReferenceUID", _uid),
    "StudyInstanceUID": ("studyInformation/studyInstanceUID", _uid),
}
"""Attributes by their place in an ISMRMRD header, which has times in ms as DICOM has."""

OF_PERSON: dict[str, tuple[str, Brought]] = {
    "PatientName": ("subjectInformation/patientName", _long),
    "PatientID": ("subjectInformation/patientID", _long),
    "PatientBirthDate": ("subjectInformation/patientBirthdate", _date),
    "PatientSex": ("subjectInformation/patientGender", _one_of("M", "F", "O")),
    "PatientWeight": ("subjectInformation/patientWeight_kg", _number),
    "PatientSize": ("subjectInformation/patientHeight_m", _number),
    "StudyDate": ("studyInformation/studyDate", _date),
    "StudyTime": ("studyInformation/studyTime", _time),
    "StudyID": ("studyInformation/studyID", _short),
    "AccessionNumber": ("studyInformation/accessionNumber", _short),
    "ReferringPhysicianName": ("studyInformation/referringPhysicianName", _long),
    "StudyDescription": ("studyInformation/studyDescription", _long),
    "BodyPartExamined": (
        "studyInformation/bodyPartExamined",
        lambda text: _short(text.upper().strip()),
    ),
    "ProtocolName": ("measurementInformation/protocolName", _long),
    "SequenceName": ("measurementInformation/sequenceName", _short),
    "InstitutionName": ("acquisitionSystemInformation/institutionName", _long),
    "StationName": ("acquisitionSystemInformation/stationName", _short),
    "DeviceSerialNumber": ("acquisitionSystemInformation/deviceSerialNumber", _long),
}
"""Likewise, whom, where and when, and what may be free text."""


class RawSource:
    """A volume of raw data, of an h5 file or of another format that is no DICOM."""

    def __init__(
        self, volume: SourceVolume, header: bytes | str, size: tuple[int, int], anonymous: bool
    ) -> None:
        """Take a volume.

        Args:
            volume: to describe.
            header: ISMRMRD's XML; empty where there is none.
            size: (H, W) of its slices.
            anonymous: whether to leave out whom, where and when.

        Raises:
            DataError: rows and columns of its slices are not perpendicular.
        """
        self._volume, self._anonymous, self._size = volume, anonymous, size
        self._root = _parsed(header)
        geometry = volume.geometry
        self._plane = None
        if geometry is not None and geometry.oriented:
            self._plane = _plane(geometry, volume.files[0])

    @property
    def is_placed(self) -> bool:
        """Whether its place in the patient is known."""
        return self._plane is not None

    @property
    def described(self) -> tuple[str, int | None]:
        """Description and number of the series, as far as told; the former not of anonymous."""
        number = _told(self._root, "measurementInformation/initialSeriesNumber")
        text = _told(self._root, "measurementInformation/seriesDescription")
        text = text or _told(self._root, "measurementInformation/protocolName")
        text = "" if self._anonymous else text or self._volume.name
        return text, int(number) if number.isdecimal() else None

    def slice(self, number: int) -> Dataset:
        """Return what is told of a slice: scan, person and study, and place."""
        volume, geometry = self._volume, self._volume.geometry
        made = Dataset()
        made.Modality = "MR"
        if self._root is not None:
            made.update(_taken(self._root, OF_SCAN))
            if not self._anonymous:
                made.update(_taken(self._root, OF_PERSON))
            made.update(_of_encoding(self._root))
        made.setdefault("StudyInstanceUID", _study_uid(volume.files[0].resolve()))
        if self._anonymous:
            for keyword in ("StudyInstanceUID", "FrameOfReferenceUID"):
                if keyword in made:
                    made[keyword].value = generate_uid(entropy_srcs=[made[keyword].value])
            known = volume.subject.startswith("subject-")
            stem = volume.subject or volume.files[0].stem
            made.PatientID = made.PatientName = volume.subject if known else pseudonym(stem)
        elif not all(str(element.value).isascii() for element in made):
            made.SpecificCharacterSet = "ISO_IR 192"
        if geometry is not None:
            made.PixelSpacing = [_rounded(mm) for mm in geometry.spacing[:2]]
            made.SpacingBetweenSlices = _rounded(geometry.spacing[2])
        if self._plane is not None:
            made.update(self._plane(number))
        return made


def _parsed(header: bytes | str) -> Element | None:
    """Parse a header; one that is none of ISMRMRD's, as M4Raw's, tells nothing."""
    try:
        return parse_xml(header) if header else None
    except ValueError:
        return None


def _told(root: Element | None, place: str) -> str:
    """Return the text at a place; empty where there is none, or several that differ."""
    if root is None:
        return ""
    found = {
        (element.text or "").strip()
        for element in root.iterfind("/".join(f"{{*}}{name}" for name in place.split("/")))
    }
    return found.pop() if len(found) == 1 else ""


def _taken(root: Element, table: dict[str, tuple[str, Brought]]) -> Dataset:
    """Take what a header tells in a form that DICOM can hold."""
    made = Dataset()
    for keyword, (place, brought) in table.items():
        text = _told(root, place)
        try:
            if text:
                setattr(made, keyword, brought(text))
        except (ValueError, KeyError, OverflowError):
            continue
    return made


def _of_encoding(root: Element) -> Dataset:
    """Tell the thickness and whether it is a slab, of a scan with one encoding."""
    made = Dataset()
    try:
        depth = int(_told(root, "encoding/encodedSpace/matrixSize/z"))
        made.MRAcquisitionType = "3D" if depth > 1 else "2D"
        shown = int(_told(root, "encoding/reconSpace/matrixSize/z"))
        thickness = float(_told(root, "encoding/reconSpace/fieldOfView_mm/z")) / shown
        if 0 < thickness < np.inf:
            made.SliceThickness = _rounded(thickness)
    except (ValueError, ZeroDivisionError):
        pass
    return made


@cache
def _study_uid(file: Path) -> str:
    """Make a study for all volumes of a file that one command reconstructs."""
    return generate_uid(prefix=None)


def _plane(geometry: Geometry, file: Path) -> Callable[[int], Dataset]:
    """Return what places a slice by its number (PS3.3 C.7.6.2).

    Raises:
        DataError: rows and columns are not perpendicular, which DICOM cannot say.
    """
    affine = LPS_TO_RAS @ geometry.affine  # its own inverse
    rows, columns, slices = (affine[:3, axis] for axis in range(3))
    column, row = rows / np.linalg.norm(rows), columns / np.linalg.norm(columns)
    if abs(column @ row) > PERPENDICULAR:
        angle = np.degrees(np.arccos(column @ row))
        raise DataError(
            f"{file}: rows and columns of its slices meet at {angle:.2f} degrees, which DICOM has "
            "no place for; write=nifti keeps them"
        )
    across = float(abs(np.cross(row, column) @ slices))

    def plane(number: int) -> Dataset:
        made = Dataset()
        made.ImageOrientationPatient = [_rounded(value, 10) for value in (*row, *column)]
        made.ImagePositionPatient = [_rounded(v) for v in affine[:3, 3] + number * slices]
        made.SpacingBetweenSlices = _rounded(across)
        return made

    return plane


def _rounded(value: float, digits: int = 6) -> DSfloat:
    return DSfloat(round(float(value), digits) + 0.0, auto_format=True)  # not -0

"""What all images that are derived have to say (PS3.3), and how their values are stored."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    MRImageStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)
from pydicom.valuerep import DSfloat

from kdmri.data.readers.dicom_headers import is_number, several

HIGHEST = 32767
"""Largest stored value, which programs that take 16 bits for signed ones read as well."""

BRIGHTEST = 99.5
"""Percentile of the series that is white, where the source tells no window."""

DIM = 100.0
"""Programs that round to whole numbers before they show an image make one below this black."""

NARROW = 256
"""Windows of this width or less are meant exactly, not by whole steps (PS3.3 C.11.2.1.3.2)."""

LEARNT = Code("123110", "DCM", "Artificial Intelligence")
SOURCE = Code("121322", "DCM", "Source image for image processing operation")
PROCESSING = Code("109102", "DCM", "Processing Equipment")
BASIC_PROFILE = Code("113100", "DCM", "Basic Application Confidentiality Profile")

EMPTY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"),
    *("AccessionNumber", "ReferringPhysicianName", "StudyID", "Manufacturer", "PatientPosition"),
)
"""Attributes that every image has, empty where they are not known (type 2)."""

EMPTY_OF_MR = (
    *("ScanOptions", "MRAcquisitionType", "EchoTime", "EchoTrainLength", "RepetitionTime"),
    *("SliceThickness", "PositionReferenceIndicator"),
)


@dataclass(frozen=True)
class Scaling:
    """From values in the units of the source to stored ones, for a whole series.

    Attributes:
        factor: power of ten that values of the source are multiplied by before all else.
        slope: as a file has it.
        intercept: as a file has it.
        white: value, times `factor`, that is shown white where the source tells no window.
    """

    factor: int
    slope: DSfloat
    intercept: DSfloat
    white: float

    def stored(self, values: np.ndarray) -> np.ndarray:
        """Return what is stored, uint16."""
        scaled = self.factor * values.astype(np.float64)
        steps = (scaled - float(self.intercept)) / float(self.slope)
        return np.clip(np.rint(steps), 0, HIGHEST).astype(np.uint16)

    def show(self, made: Dataset) -> None:
        """Set the window, unless there is one that can be used."""
        centres, widths = (several([made], keyword) for keyword in ("WindowCenter", "WindowWidth"))
        numbers = all(is_number(n) for n in (*centres, *widths))
        least = 0 if made.get("VOILUTFunction") == "LINEAR_EXACT" else 1
        is_whole = bool(centres) and len(centres) == len(widths) and numbers
        if is_whole and all(float(width) >= least for width in widths):
            return
        for keyword in ("WindowCenterWidthExplanation", "VOILUTFunction"):
            made.pop(keyword, None)
        made.WindowCenter = DSfloat(self.white / 2, auto_format=True)
        made.WindowWidth = DSfloat(self.white, auto_format=True)
        if self.white <= NARROW:
            made.VOILUTFunction = "LINEAR_EXACT"


def scaling(volumes: Sequence[np.ndarray], keeps_units: bool) -> Scaling:
    """Find the scale of a series, so that its largest value is stored as `HIGHEST`.

    Args:
        volumes: (S, H, W) each, in the units of the source.
        keeps_units: whether these stay; else small values are multiplied by a power of ten, so that
            the largest has four digits.
    """
    lowest = min(0.0, *(float(values.min()) for values in volumes))
    highest = max(float(values.max()) for values in volumes)
    factor = 1
    if not keeps_units and 0 < highest < DIM:
        factor = 10 ** (3 - math.floor(math.log10(highest)))
    lowest, highest = factor * lowest, factor * highest
    slope = DSfloat((highest - lowest) / HIGHEST or 1.0, auto_format=True)
    found = Scaling(factor, slope, DSfloat(lowest, auto_format=True), highest)
    counts = np.zeros(HIGHEST + 1, np.int64)
    for values in volumes:
        for image in values:
            counts += np.bincount(found.stored(image).ravel(), minlength=HIGHEST + 1)
    level = int(np.searchsorted(counts.cumsum(), BRIGHTEST / 100 * counts.sum()))
    white = level * float(slope) + lowest
    white = white if white > 0 else max(highest, float(slope))
    return Scaling(factor, slope, found.intercept, white)


def image_class(is_placed: bool) -> UID:
    """Return the class of images: of MR where their place is known, which it asks for."""
    return MRImageStorage if is_placed else SecondaryCaptureImageStorage


def derived(made: Dataset, facts: Mapping[str, str], description: str, kind: UID) -> None:
    """Make an image of its own of what a source tells of a slice.

    Args:
        made: the attributes, those of the new series among them.
        facts: `network`, `checkpoint` and `checkpoint_sha256`.
        description: how the network's input came about.
        kind: SOP class.
    """
    now = datetime.now()
    made.SOPClassUID, made.SOPInstanceUID = kind, generate_uid(prefix=None)
    date(made, "InstanceCreation", now)
    date(made, "Content", now)
    rest = several([made], "ImageType")[2:]
    made.ImageType = ["DERIVED", "SECONDARY", *(rest or ("OTHER",))]
    made.DerivationDescription = (
        f"Reconstructed by a neural network, kdmri {version('kdmri')}: {facts['network']}; "
        f"checkpoint {facts['checkpoint']}, SHA-256 {facts['checkpoint_sha256'][:16]}; "
        f"{description}. For research, not for diagnosis."
    )[:1024]
    made.DerivationCodeSequence = [_item(LEARNT)]
    for reference in made.get("SourceImageSequence", ()):
        reference.PurposeOfReferenceCodeSequence = [_item(SOURCE)]
    made.ContributingEquipmentSequence = [
        *made.get("ContributingEquipmentSequence", ()),
        _equipment(facts),
    ]
    for keyword in EMPTY:
        made.setdefault(keyword, None)
    if "ImageLaterality" not in made:
        made.setdefault("Laterality", None)
    made.setdefault("Modality", "MR")
    series = made.SeriesInstanceUID
    made.setdefault("StudyInstanceUID", generate_uid(entropy_srcs=[series, "study"]))
    if kind == MRImageStorage:
        for keyword in EMPTY_OF_MR:
            made.setdefault(keyword, None)
        made.setdefault("ScanningSequence", "RM")  # research mode
        made.setdefault("SequenceVariant", "NONE")
        made.setdefault("FrameOfReferenceUID", generate_uid(entropy_srcs=[series, "frame"]))
        if "IR" in several([made], "ScanningSequence"):
            made.setdefault("InversionTime", None)
    else:
        made.ConversionType = "WSD"  # workstation
        made.setdefault("PatientOrientation", None)


def date(made: Dataset, event: str, when: datetime) -> None:
    """Set date and time of an event, such as "Content"."""
    setattr(made, f"{event}Date", when.strftime("%Y%m%d"))
    setattr(made, f"{event}Time", when.strftime("%H%M%S"))


def mark_anonymous(made: Dataset) -> None:
    """Say that identifiers were removed (PS3.15 E.1), dates of this program among them."""
    for event in ("InstanceCreation", "Series", "Content"):
        del made[f"{event}Date"], made[f"{event}Time"]
    made.PatientIdentityRemoved = "YES"
    made.DeidentificationMethod = "kdmri: known attributes of the scan kept, all others removed"
    made.DeidentificationMethodCodeSequence = [_item(BASIC_PROFILE)]
    made.LongitudinalTemporalInformationModified = "REMOVED"


def save(made: Dataset, path: Path) -> None:
    """Write a file."""
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.save_as(path, enforce_file_format=True)


def _equipment(facts: Mapping[str, str]) -> Dataset:
    made = Dataset()
    made.PurposeOfReferenceCodeSequence = [_item(PROCESSING)]
    made.Manufacturer = "kdmri"
    made.ManufacturerModelName = facts["network"][:64]
    made.SoftwareVersions = version("kdmri")
    return made


def _item(code: Code) -> Dataset:
    made = Dataset()
    made.CodeValue, made.CodingSchemeDesignator = code.value, code.scheme_designator
    made.CodeMeaning = code.meaning
    return made

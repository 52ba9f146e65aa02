"""What DICOM files tell of their scan, slice by slice, for images that are derived from them."""

import math
from collections.abc import Sequence
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from pydicom import DataElement, Dataset
from pydicom.uid import MRImageStorage, generate_uid
from pydicom.valuerep import DSfloat

from kdmri.data.readers.base import SourceVolume
from kdmri.data.readers.dicom_frames import Contrast, frames_of, scopes_of
from kdmri.data.readers.dicom_headers import (
    DAMAGED,
    is_number,
    quiet,
    read_before_pixels,
    several,
)
from kdmri.data.readers.naming import blaming
from kdmri.reconstruct.dicom_keywords import (
    CLASSIC_NAMES,
    DISTANCES,
    PERSON,
    PLACE,
    SCAN,
    WINDOW,
)

LONGEST_DS = 16
"""Characters of a number that is stored as text (PS3.5 6.2)."""


class DicomSource:
    """A volume whose slices are frames of DICOM files, classic or enhanced."""

    def __init__(self, volume: SourceVolume, anonymous: bool) -> None:
        """Take a volume.

        Args:
            volume: with `frames`.
            anonymous: whether to leave out all that PS3.15 E.1 calls an identifier, and what is
                not known to be none.
        """
        self._volume, self._anonymous = volume, anonymous
        self._read = lru_cache(maxsize=4)(_read)
        self.is_placed = all(_is_placed(self._read(path).scopes[n]) for path, n in volume.frames)

    def slice(self, number: int) -> Dataset:
        """Return what is told of a slice: scan, person and study, place, window, source image.

        Keywords are those of classic MR images, whatever the source is. UIDs that are kept are
        mapped to others where the volume is anonymous, the same to the same.
        """
        path, frame = self._volume.frames[number]
        with blaming(path, *DAMAGED):
            return self._slice(path, frame)

    def _slice(self, path: Path, frame: int) -> Dataset:
        file = self._read(path)
        scopes = file.scopes[frame]
        place = PLACE if self.is_placed else DISTANCES if self._volume.spacing else ()
        keywords = (*SCAN, *WINDOW, *place)
        made = _copied(scopes, keywords if self._anonymous else (*keywords, *PERSON))
        made.update(_classic(scopes))
        made.update(_diffusion(file.contrasts[frame]))
        for keyword in ("StudyInstanceUID", "FrameOfReferenceUID"):
            if uid := str(scopes[-1].get(keyword) or ""):
                setattr(made, keyword, self._mapped(uid))
        kinds = several(scopes, "FrameType") or several(scopes, "ImageType")
        made.ImageType = [str(kind) for kind in kinds]
        if source := self._reference(scopes[-1], frame):
            made.SourceImageSequence = [source]
        if self._anonymous:
            made.PatientID = made.PatientName = self._volume.subject
        elif charset := scopes[-1].get("SpecificCharacterSet"):
            made.SpecificCharacterSet = charset
        return made

    @property
    def described(self) -> tuple[str, int | None]:
        """Description and number of the series; the former empty where anonymous or not told."""
        header = self._read(self._volume.frames[0][0]).header
        text = "" if self._anonymous else str(header.get("SeriesDescription") or "").strip()
        number = header.get("SeriesNumber")
        return text, int(number) if is_number(number) else None

    def _reference(self, header: Dataset, frame: int) -> Dataset | None:
        uid, kind = header.get("SOPInstanceUID"), header.get("SOPClassUID")
        if not uid or not kind:
            return None
        made = Dataset()
        made.ReferencedSOPClassUID = kind
        made.ReferencedSOPInstanceUID = self._mapped(str(uid))
        several_frames = int(header.get("NumberOfFrames") or 1) > 1
        if several_frames and kind != MRImageStorage:  # which is of one, whatever is in the file
            made.ReferencedFrameNumber = frame + 1
        return made

    def _mapped(self, uid: str) -> str:
        return generate_uid(entropy_srcs=[uid]) if self._anonymous else uid


def series_of(volume: SourceVolume) -> str:
    """Return the SeriesInstanceUID that the first slice of a volume is of."""
    path = volume.frames[0][0]
    return str(_read(path).header.get("SeriesInstanceUID") or path)


class Header(NamedTuple):
    """What stands before the pixels of a file.

    Attributes:
        scopes: where the attributes of each frame are found, the innermost first.
        contrasts: of each magnitude image, by the number of its frame.
    """

    scopes: list[list[Any]]
    contrasts: dict[int, Contrast]

    @property
    def header(self) -> Dataset:
        """All of it."""
        return self.scopes[0][-1]


def _read(path: Path) -> Header:
    with blaming(path, *DAMAGED), quiet():
        header = read_before_pixels(path)
        contrasts = {frame.number: frame.contrast for frame in frames_of(header, path)}
        return Header(list(scopes_of(header)), contrasts)


def _is_placed(scopes: Sequence[Any]) -> bool:
    """Tell whether a frame has all that Image Plane asks for (PS3.3 C.7.6.2)."""
    orientation, position, pixel = (
        several(scopes, keyword)
        for keyword in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing")
    )
    numbers = (*orientation, *position, *pixel)
    return (
        (len(orientation), len(position), len(pixel)) == (6, 3, 2)
        and all(is_number(number) for number in numbers)
        and all(float(mm) > 0 for mm in pixel)
    )


def _copied(scopes: Sequence[Any], keywords: Sequence[str]) -> Dataset:
    made = Dataset()
    for keyword in keywords:
        element = _element(scopes, keyword)
        if element is not None:
            made.add(element)
    made.remove_private_tags()
    return made


def _element(scopes: Sequence[Any], keyword: str) -> DataElement | None:
    """Copy an attribute from the innermost scope that tells it."""
    for scope in scopes:
        found = scope[keyword] if isinstance(scope, Dataset) and keyword in scope else None
        if found is None or found.is_empty:
            continue
        copy = deepcopy(found)
        if copy.VR == "DS":
            copy.value = _shortened(copy.value)
        return copy
    return None


def _shortened(value: Any) -> Any:
    """Write numbers again that have more characters than the standard allows."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_shortened(one) for one in value]
    too_long = len(str(value)) > LONGEST_DS and math.isfinite(float(value))
    return DSfloat(float(value), auto_format=True) if too_long else value


def _classic(scopes: Sequence[Any]) -> Dataset:
    """Say what enhanced files tell in other words (PS3.3 C.8.13) as classic ones do."""
    made = Dataset()
    for keyword, (enhanced, brought) in CLASSIC_NAMES.items():
        value = several(scopes, enhanced)[:1]
        if value and not several(scopes, keyword):
            setattr(made, keyword, brought(value[0]))
    if not several(scopes, "ScanningSequence"):
        pulses = {"SPIN": ["SE"], "GRADIENT": ["GR"], "BOTH": ["SE", "GR"]}
        found = pulses.get(str((several(scopes, "EchoPulseSequence") or ("",))[0]), [])
        for keyword, word in (("InversionRecovery", "IR"), ("EchoPlanarPulseSequence", "EP")):
            found = [*found, word] if several(scopes, keyword)[:1] == ("YES",) else found
        if found:
            made.ScanningSequence = found
    return made


def _diffusion(contrast: Contrast) -> Dataset:
    """Say with attributes of the standard what vendors keep in their own."""
    made = Dataset()
    if not contrast.b_value:
        return made
    made.DiffusionBValue = contrast.b_value[0]
    numbers = contrast.direction[1] if contrast.direction else ()
    if len(numbers) == 3:
        made.DiffusionGradientOrientation = [float(value) for value in numbers]
    return made

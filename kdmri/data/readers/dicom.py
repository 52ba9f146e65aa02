"""DICOM: folders of series, cine, classic and enhanced multi-frame files."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from kdmri.data.readers.base import UNKNOWN, Reader, SourceVolume, unreadable
from kdmri.data.readers.naming import natural, pseudonym, split_of
from kdmri.data.readers.who import by_option
from kdmri.errors import DataError

MISSING = ""
try:
    from kdmri.data.readers import (
        dicom_frames,
        dicom_grouping,
        dicom_headers,
        dicom_pixels,
        dicom_series,
    )
    from kdmri.data.readers.dicom_geometry import geometry
    from kdmri.data.readers.dicom_parts import Part
    from kdmri.data.readers.dicom_series import Found
except ImportError as error:
    MISSING = str(error)

if TYPE_CHECKING:
    from pydicom import Dataset


@dataclass(frozen=True)
class Dicom(Reader):
    """Reads magnitude images of MR from DICOM files, which are told by their content (PS3.10 7.1).

    Images are float32 (H, W), RescaleSlope * stored value + RescaleIntercept, by file or by frame
    (PS3.3 C.11.1 and C.7.6.16.2.9). Left out and named in a note are files of other storage classes
    than those of MR images, images with burned-in annotation or in colour, phase, real and
    imaginary images; left out in silence are copies of a file. The subject is a pseudonym made from
    PatientID, from PatientName where that is empty, else from StudyInstanceUID; the names of
    volumes hold it and the series number only.

    Attributes:
        description: takes series with this in their SeriesDescription, in capitals or not; None
            takes every series.
        subjects: the option of `kdmri.prepare` that says who is a subject instead.
    """

    description: str | None = None
    subjects: str | None = field(default=None, repr=False)
    subjects_by: ClassVar[str] = "PatientID, else PatientName, else StudyInstanceUID"

    def volumes(self, source: Path) -> Iterator[SourceVolume]:
        """Give a volume for each series, orientation, contrast and time; see `Reader.volumes`.

        Slices are ordered along their normal, by ImagePositionPatient and ImageOrientationPatient
        (PS3.3 C.7.6.2.1.1), else by InstanceNumber. Images of one place are told apart by
        ImageType, echo time, b-value, gradient direction, temporal position, trigger time,
        inversion time and AcquisitionNumber, else by InstanceNumber; a volume that lacks a slice
        raises a DataError that names it, once it is read. Frames of a classic file are slices
        unless FrameIncrementPointer says that they follow in time. Folders train, val(idation) and
        test give the split.

        Raises:
            DataError: there are no such images, or pydicom is missing.
        """
        if MISSING:
            raise DataError(f"format=dicom: {MISSING}; pip install 'kdmri[prepare]'")
        found = self._read(source)
        series, notes = dicom_series.joined(found.series, source)
        rest = found.others_note(source)
        used: Counter[str] = Counter()
        for (subject, number, uid), images in sorted(series.items()):
            key = subject, number, uid
            joined = (notes[key],) if key in notes else ()
            for stack in dicom_grouping.stacks(images):
                name = f"{subject}_{number:03d}"
                used[name] += 1
                name += f"_{used[name]}" if used[name] > 1 else ""
                times = dicom_grouping.parts(stack)
                for n, part in enumerate(times, start=1):
                    own = f"{name}_t{n:02d}" if len(times) > 1 else name
                    volume = _volume(own, subject, part, source)
                    yield replace(volume, notes=(*rest, *joined, *volume.notes))
                    rest = joined = ()
        for n, (path, reason) in enumerate(found.broken, start=1):
            name = f"unreadable_{n:03d}"  # the name of the file may tell who was scanned
            volume = unreadable(path, reason)
            yield replace(volume, name=name, subject=UNKNOWN, notes=rest)
            rest = ()

    def _read(self, source: Path) -> "Found":
        """Read all headers."""
        found = Found(defaultdict(list), [], defaultdict(list))
        wanted = str(self.description or "").lower()
        copies, descriptions = set(), set()
        paths = [source] if source.is_file() else source.rglob("*")
        for path in sorted((path for path in paths if path.is_file()), key=natural):
            try:
                with dicom_headers.quiet():
                    header = dicom_headers.read_header(path)
                    if header is None:
                        continue
                    if other := dicom_headers.other_kind(header):
                        found.others[other].append(path)
                        continue
                    dicom_headers.check_kind(header)
                    frames = dicom_frames.frames_of(header, path)
                    if not frames:
                        found.others["phase, real or imaginary images"].append(path)
                        continue
                    key = _key(header, by_option(self.subjects, path, source, _study(header)))
                    description = str(header.get("SeriesDescription") or "")
                    uid = str(header.get("SOPInstanceUID") or path)
            except dicom_headers.DAMAGED as error:
                found.broken.append((path, error))
                continue
            descriptions.add(description)
            copy = uid, frames[0]._replace(path=source)
            if copy not in copies and wanted in description.lower():
                copies.add(copy)
                found.series[key] += frames
        if not found.series and not found.broken:
            told = f" of such a description, but {sorted(descriptions)}" if descriptions else ""
            rest = "; ".join(note.removeprefix(f"{source}: ") for note in found.others_note(source))
            raise DataError(
                f"{source}: found no DICOM files of magnitude images of MR{told}"
                + (f"; {rest}" if rest else "")
            )
        return found


def _study(header: "Dataset") -> str:
    return str(header.get("StudyInstanceUID") or "").strip()


def _key(header: "Dataset", chosen: str | None) -> tuple[str, int, str]:
    """Give subject, series number and SeriesInstanceUID; `chosen` is the subject by option."""
    persons = (header.get(k) for k in ("PatientID", "PatientName", "StudyInstanceUID"))
    person = chosen or next(filter(None, (str(value or "").strip() for value in persons)), "")
    number = int(header.get("SeriesNumber") or 0)
    return pseudonym(person), number, str(header.get("SeriesInstanceUID"))


def _volume(name: str, subject: str, part: "Part", source: Path) -> SourceVolume:
    """Make a volume of a part, or what says why it is none."""
    frames, files = part.frames, tuple(dict.fromkeys(frame.path for frame in part.frames))
    split = split_of(frames[0].path, source)
    if part.lacks:
        refused = unreadable(frames[0].path, f"volume {name} {part.lacks}")
        return replace(refused, name=name, subject=subject, files=files, split=split)
    return SourceVolume(
        name=name,
        subject=subject,
        files=files,
        slices=partial(dicom_pixels.read_slices, frames),
        geometry=geometry(frames),
        split=split,
        study=pseudonym(frames[0].study),
        notes=(*(f"{name}: {note}" for note in part.notes), *part.shared),
        frames=tuple((frame.path, frame.number) for frame in frames),
    )

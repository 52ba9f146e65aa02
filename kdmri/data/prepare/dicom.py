"""DICOM: folders of series, cine, classic and enhanced multi-frame files."""

import logging
import struct
import warnings
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count, groupby, zip_longest
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from kdmri.data.geometry import Geometry
from kdmri.data.prepare.naming import UNREADABLE, natural, split_of
from kdmri.data.prepare.source import UNKNOWN, Reader, SourceSlice, SourceVolume, unreadable
from kdmri.data.prepare.subjects import pseudonym
from kdmri.data.prepare.who import by_option
from kdmri.errors import DataError

MISSING = ""
try:
    from pydicom import Dataset, dcmread
    from pydicom.errors import BytesLengthException, InvalidDicomError
    from pydicom.filereader import read_file_meta_info
    from pydicom.misc import is_dicom
    from pydicom.pixels import get_decoder, iter_pixels
    from pydicom.uid import UID

    # what pydicom and its decoders raise for files that are damaged or that they do not know
    PYDICOM = (BytesLengthException, InvalidDicomError, struct.error, zlib.error)
    DAMAGED = (*UNREADABLE, *PYDICOM, AttributeError, TypeError, RuntimeError)
except ImportError as error:
    MISSING = str(error)

SAME_PLACE = 1e-3
"""Images closer than this along their normal, in mm, are one slice at several times."""

SAME_ORIENTATION = 1e-2
"""Largest difference between the direction cosines of parallel images."""

NO_MAGNITUDE = {"P", "PHASE", "PHASE MAP", "R", "REAL", "I", "IMAGINARY"}
"""Values of ImageType and ComplexImageComponent (PS3.3 C.8.13.3.1.1) that are no magnitude."""

FRAMES_IN_TIME = {0x00181063, 0x00181065}
"""FrameTime and FrameTimeVector, where FrameIncrementPointer names them (PS3.3 C.7.6.6)."""

TIMES = (
    *("TemporalPositionIndex", "NominalCardiacTriggerDelayTime", "EffectiveEchoTime"),
    *("TemporalPositionIdentifier", "TriggerTime", "EchoTime", "DiffusionBValue"),
)
"""What tells images of one place apart: in enhanced files, in classic ones."""

Series = dict[tuple[str, int, str], list["_Frame"]]
"""Images by subject, series number and SeriesInstanceUID."""


class _Frame(NamedTuple):
    """An image in a file: where it lies and how its values are read; lengths in mm."""

    path: Path
    number: int
    shape: tuple[int, int]
    orientation: tuple[float, ...]
    position: tuple[float, ...]
    time: tuple[float, ...]
    order: tuple[Any, ...]
    slope: float
    intercept: float
    spacing: tuple[float, ...]
    study: str


@dataclass(frozen=True)
class Dicom(Reader):
    """Reads magnitude images from DICOM files, which are told by their content (PS3.10 7.1).

    Images are float32 (H, W), RescaleSlope * stored value + RescaleIntercept, by file or by frame
    (PS3.3 C.11.1 and C.7.6.16.2.9). Left out are images in colour, phase, real and imaginary
    images, segmentations and doses, and copies of a file. The subject is a pseudonym made from
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
        """Give a volume for each series, orientation and time point; see `Reader.volumes`.

        Slices are ordered along their normal, by ImagePositionPatient and ImageOrientationPatient
        (PS3.3 C.7.6.2.1.1), else by InstanceNumber. Images of one place are time points, echoes or
        diffusion weightings, ordered by these, else by InstanceNumber. Frames of a classic file are
        slices unless FrameIncrementPointer says that they follow in time. Folders train,
        val(idation) and test give the split.

        Raises:
            DataError: there are no such images, or pydicom is missing.
        """
        if MISSING:
            raise DataError(f"format=dicom: {MISSING}; pip install 'kdmri[prepare]'")
        series, broken = self._series(source)
        used: Counter[str] = Counter()
        for (subject, number, _), images in sorted(series.items()):
            for stack in _stacks(images):
                name = f"{subject}_{number:03d}"
                used[name] += 1
                name += f"_{used[name]}" if used[name] > 1 else ""
                times = _time_points(stack)
                for n, frames in enumerate(times, start=1):
                    yield SourceVolume(
                        name=f"{name}_t{n:02d}" if len(times) > 1 else name,
                        subject=subject,
                        files=tuple(dict.fromkeys(frame.path for frame in frames)),
                        slices=partial(_slices, frames),
                        geometry=_geometry(frames),
                        split=split_of(frames[0].path, source),
                        study=pseudonym(frames[0].study),
                    )
        for n, (path, reason) in enumerate(broken, start=1):
            name = f"unreadable_{n:03d}"  # the name of the file may tell who was scanned
            yield replace(unreadable(path, reason), name=name, subject=UNKNOWN)

    def _series(self, source: Path) -> tuple[Series, list[tuple[Path, Exception]]]:
        """Read all headers: the images, and the files that are damaged."""
        series: Series = defaultdict(list)
        broken: list[tuple[Path, Exception]] = []
        wanted = str(self.description or "").lower()
        copies, descriptions = set(), set()
        paths = [source] if source.is_file() else source.rglob("*")
        for path in sorted((path for path in paths if path.is_file()), key=natural):
            try:
                with _quiet():
                    header = _header(path)
                    frames = _frames(header, path) if header else []
                    if not header or not frames:
                        continue
                    key = _key(header, by_option(self.subjects, path, source, _study(header)))
                    description = str(header.get("SeriesDescription") or "")
                    uid = str(header.get("SOPInstanceUID") or path)
            except DAMAGED as error:
                broken.append((path, error))
                continue
            descriptions.add(description)
            copy = uid, frames[0]._replace(path=source)
            if copy not in copies and wanted in description.lower():
                copies.add(copy)
                series[key] += frames
        if not series and not broken:
            found = f" of such a description, but {sorted(descriptions)}" if descriptions else ""
            raise DataError(f"{source}: found no DICOM files of magnitude images{found}")
        return series, broken


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence pydicom: what it warns of quotes header values, which may tell who was scanned."""
    log = logging.getLogger("pydicom")
    before, log.disabled = log.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\.")
            yield
    finally:
        log.disabled = before


def _header(path: Path) -> "Dataset | None":
    """Read what stands before the pixel data; None where the file holds no image in grey.

    Raises:
        ValueError: the file is cut off, or holds an image of a kind that cannot be read.
    """
    if not is_dicom(path):
        return None
    header = dcmread(path, stop_before_pixels=True)
    kind = UID(header.file_meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID") or "")
    private = kind.name == kind and "Rows" in header
    if "Image Storage" not in kind.name and not private:
        return None
    if not header.get("Rows") or not header.get("Columns"):
        raise ValueError("an image without Rows and Columns; is the file cut off?")
    if "MOSAIC" in (header.get("ImageType") or ()):
        raise ValueError("a mosaic of slices, which is not read; convert it to NIfTI (dcm2niix)")
    return header if "MONOCHROME" in header.get("PhotometricInterpretation", "") else None


def _scopes(header: "Dataset") -> Iterator[list[Any]]:
    """Give for each frame where `get(keyword)` finds its attributes, its own first (C.7.6.16)."""
    total = int(header.get("NumberOfFrames") or 1)
    groups = header.get("PerFrameFunctionalGroupsSequence") or ()
    if groups and len(groups) != total:
        raise ValueError(f"has {total} frames, but functional groups for {len(groups)}")
    shared = header.get("SharedFunctionalGroupsSequence") or ()
    in_time = FRAMES_IN_TIME.intersection(_several([header], "FrameIncrementPointer"))
    for number in range(total):
        own = [{"TemporalPositionIndex": number} if in_time else {"ImagePositionPatient": ()}]
        items = (*groups[number : number + 1], *shared[:1])
        parts = [part.value[0] for item in items for part in item if part.VR == "SQ" and part.value]
        yield [*(own if total > 1 and not groups else ()), *parts, header]


def _several(scopes: list[Any], keyword: str) -> tuple[Any, ...]:
    for value in (scope.get(keyword) for scope in scopes):
        if value not in (None, ""):
            many = isinstance(value, Sequence) and not isinstance(value, str)
            return tuple(value) if many else (value,)
    return ()


def _numbers(scopes: list[Any], keyword: str) -> tuple[float, ...]:
    return tuple(float(value) for value in _several(scopes, keyword))


def _study(header: "Dataset") -> str:
    return str(header.get("StudyInstanceUID") or "").strip()


def _key(header: "Dataset", chosen: str | None) -> tuple[str, int, str]:
    """Give subject, series number and SeriesInstanceUID; `chosen` is the subject by option."""
    persons = (header.get(k) for k in ("PatientID", "PatientName", "StudyInstanceUID"))
    person = chosen or next(filter(None, (str(value or "").strip() for value in persons)), "")
    number = int(header.get("SeriesNumber") or 0)
    return pseudonym(person), number, str(header.get("SeriesInstanceUID"))


def _frames(header: "Dataset", path: Path) -> list[_Frame]:
    """Describe the magnitude images in a file, in stored order."""
    frames = []
    for number, scopes in enumerate(_scopes(header)):
        kinds = _several(scopes, "ComplexImageComponent") or _several(scopes, "ImageType")
        if NO_MAGNITUDE.intersection(kinds):
            continue
        numbers = partial(_numbers, scopes)
        distance = numbers("SpacingBetweenSlices") or numbers("SliceThickness")
        frame = _Frame(
            path=path,
            number=number,
            shape=(header.Rows, header.Columns),
            orientation=numbers("ImageOrientationPatient"),
            position=numbers("ImagePositionPatient"),
            time=tuple((numbers(keyword) or (0.0,))[0] for keyword in TIMES),
            order=(numbers("InstanceNumber"), numbers("DimensionIndexValues"), number),
            slope=(numbers("RescaleSlope") or (1.0,))[0],
            intercept=(numbers("RescaleIntercept") or (0.0,))[0],
            spacing=numbers("PixelSpacing") + distance,
            study=_study(header),
        )
        frames.append(frame)
    return frames


def _stacks(frames: list[_Frame]) -> list[list[_Frame]]:
    """Part images by orientation: localisers and long axes have several in one series."""
    stacks: list[list[_Frame]] = []
    for frame in sorted(frames, key=lambda frame: (frame.order, frame.path)):
        for stack in stacks:
            pairs = zip_longest(stack[0].orientation, frame.orientation, fillvalue=np.inf)
            if all(abs(one - other) < SAME_ORIENTATION for one, other in pairs):
                stack.append(frame)
                break
        else:
            stacks.append([frame])
    return stacks


def _time_points(stack: list[_Frame]) -> list[list[_Frame]]:
    """Part parallel images by time, each part in the order of its slices."""
    ranks: dict[tuple[float, ...], Iterator[int]] = defaultdict(count)
    places = _places(stack) or [next(ranks[frame.time]) for frame in stack]
    slices: list[list[int]] = []
    last = -np.inf
    for place, number in sorted(zip(places, count(), strict=False)):
        if place - last > SAME_PLACE:
            slices.append([])
        slices[-1].append(number)
        last = place
    for numbers in slices:
        numbers.sort(key=lambda number: (stack[number].time, number))
    times = zip_longest(*slices)
    return [[stack[number] for number in time if number is not None] for time in times]


def _places(frames: list[_Frame]) -> list[float] | None:
    """Give distances in mm along the normal; None where a file does not tell."""
    if any((len(frame.orientation), len(frame.position)) != (6, 3) for frame in frames):
        return None
    normal = np.cross(frames[0].orientation[:3], frames[0].orientation[3:])
    return [float(normal @ frame.position) for frame in frames] if normal.any() else None


def _geometry(frames: list[_Frame]) -> Geometry | None:
    spacing, places = frames[0].spacing, _places(frames) or ()
    if len(places) > 1:
        spacing = (*spacing[:2], float(np.median(np.diff(places))))
    if len(spacing) < 3 or not all(spacing):
        return None
    return Geometry.of_spacing((spacing[0], spacing[1], abs(spacing[2])))


def _slices(frames: list[_Frame]) -> Iterator[SourceSlice]:
    """Read the images (H, W) of a volume, float32; see `SourceVolume.slices`."""
    for odd in (frame for frame in frames if frame.shape != frames[0].shape):
        raise DataError(
            f"{odd.path}: an image of {odd.shape}, but {frames[0].path.name} of its series has "
            f"{frames[0].shape}; slices of a volume must be of one size"
        )
    for path, run in groupby(frames, key=lambda frame: frame.path):
        wanted = list(run)
        decoded = _decode(path, [frame.number for frame in wanted])
        for frame in wanted:
            with _quiet():
                stored = next(decoded)
            yield SourceSlice((stored * frame.slope + frame.intercept).astype(np.float32))


def _decode(path: Path, frames: list[int]) -> Iterator[np.ndarray]:
    """Read stored values (H, W), frame by frame.

    Raises:
        DataError: the file is cut off or damaged, or nothing that is installed can decode it.
    """
    told = ""
    try:
        syntax = read_file_meta_info(path).TransferSyntaxUID
        others = ", ".join(get_decoder(syntax).missing_dependencies)
        told = f"; {syntax.name}" + (f", could also be decoded by: {others}" if others else "")
        if syntax.is_encapsulated and "PixelData" not in dcmread(path, defer_size=1):
            raise EOFError("the file ends before them")  # decoders would fill up what is cut off
        yield from iter_pixels(dcmread(path) if syntax.is_deflated else path, indices=frames)
    except DAMAGED as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path}: pixel data cut off, damaged or unknown ({reason}{told})"
        ) from error

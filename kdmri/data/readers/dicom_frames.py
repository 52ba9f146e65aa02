"""Images in DICOM files: where they lie, what they show, and when."""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from pydicom import Dataset

from kdmri.data.readers.dicom_headers import is_number, private, several

NO_MAGNITUDE = {"P", "PHASE", "PHASE MAP", "R", "REAL", "I", "IMAGINARY"}
"""Values of ImageType and ComplexImageComponent (PS3.3 C.8.13.3.1.1) that are no magnitude."""

FRAMES_IN_TIME = {0x00181063, 0x00181065}
"""FrameTime and FrameTimeVector, where FrameIncrementPointer names them (PS3.3 C.7.6.6)."""

ECHOES = ("EffectiveEchoTime", "EchoTime", "EchoNumbers")

TIMES: dict[str, tuple[str, ...]] = {
    "temporal position": ("TemporalPositionIndex", "TemporalPositionIdentifier"),
    "trigger time": ("NominalCardiacTriggerDelayTime", "TriggerTime"),
    "inversion time": ("InversionTimes", "InversionTime"),
    "acquisition number": ("AcquisitionNumber",),
}
"""What tells images of one contrast and place apart, with the attributes that hold it."""

B_VALUES = (
    (0x0019, "SIEMENS MR HEADER", (0x0C,)),
    (0x2001, "Philips Imaging DD 001", (0x03,)),
    (0x0043, "GEMS_PARM_01", (0x39,)),
    (0x0065, "Image Private Header", (0x09,)),
)
"""Where vendors keep the b-value: group, private creator, elements; United Imaging last."""

DIRECTIONS = (
    (0x0019, "SIEMENS MR HEADER", (0x0E,)),
    (0x2005, "Philips MR Imaging DD 001", (0xB0, 0xB1, 0xB2)),
    (0x0019, "GEMS_ACQU_01", (0xBB, 0xBC, 0xBD)),
    (0x0065, "Image Private Header", (0x37,)),
)
"""Where vendors keep the direction of the diffusion gradient."""


class Contrast(NamedTuple):
    """What an image shows. Images that differ in it never share a volume.

    Attributes:
        kind: ImageType, or FrameType in enhanced files.
        echo: echo times in ms and echo numbers, as far as told.
        b_value: in s/mm2; empty where not told.
        direction: of the diffusion gradient.
        pixel: distances in mm between rows and between columns.
    """

    kind: tuple[str, ...]
    echo: tuple[float, ...]
    b_value: tuple[float, ...]
    direction: tuple[Any, ...]
    pixel: tuple[float, ...]


class Frame(NamedTuple):
    """An image in a file.

    Attributes:
        path: the file.
        number: of the frame in it, from 0.
        shape: (H, W).
        orientation: direction cosines of a row and of a column, in patient coordinates (LPS).
        position: of the first sample in mm, LPS.
        contrast: what it shows.
        times: values of `TIMES`, in their order; empty tuples where not told.
        order: what orders images that nothing else tells apart; the InstanceNumber first.
        slope: takes stored values to those of the image, with `intercept`.
        intercept: see `slope`.
        spacing: distances in mm between rows, between columns and, where told, between slices;
            empty where the former are not told.
        study: StudyInstanceUID.
    """

    path: Path
    number: int
    shape: tuple[int, int]
    orientation: tuple[float, ...]
    position: tuple[float, ...]
    contrast: Contrast
    times: tuple[tuple[float, ...], ...]
    order: tuple[Any, ...]
    slope: float
    intercept: float
    spacing: tuple[float, ...]
    study: str


def frames_of(header: Dataset, path: Path) -> list[Frame]:
    """Describe the magnitude images in a file, in stored order.

    Raises:
        ValueError: the functional groups do not belong to the frames.
    """
    frames = []
    for number, scopes in enumerate(scopes_of(header)):
        kinds = several(scopes, "FrameType") or several(scopes, "ImageType")
        if NO_MAGNITUDE.intersection(several(scopes, "ComplexImageComponent") or kinds):
            continue
        numbers = partial(_numbers, scopes)
        pixel = numbers("PixelSpacing")
        # A distance of zero, which some programs write for a single slice, tells nothing.
        told = (numbers("SpacingBetweenSlices")[:1], numbers("SliceThickness")[:1])
        distance = next((d for d in told if all(map(math.isfinite, d)) and any(d)), ())
        frame = Frame(
            path=path,
            number=number,
            shape=(header.Rows, header.Columns),
            orientation=numbers("ImageOrientationPatient"),
            position=numbers("ImagePositionPatient"),
            contrast=Contrast(
                kind=tuple(str(kind) for kind in kinds),
                echo=tuple(round(v, 2) for keyword in ECHOES for v in numbers(keyword)),
                pixel=tuple(round(v, 4) for v in pixel),
                **_diffusion(scopes),
            ),
            times=tuple(
                next(filter(None, (numbers(keyword) for keyword in keywords)), ())
                for keywords in TIMES.values()
            ),
            order=(numbers("InstanceNumber"), numbers("DimensionIndexValues"), number),
            slope=(numbers("RescaleSlope") or (1.0,))[0],
            intercept=(numbers("RescaleIntercept") or (0.0,))[0],
            spacing=pixel + distance if len(pixel) == 2 else (),
            study=str(header.get("StudyInstanceUID") or ""),
        )
        frames.append(frame)
    return frames


def scopes_of(header: Dataset) -> Iterator[list[Any]]:
    """Yield for each frame where `get(keyword)` finds its attributes, its own first (C.7.6.16)."""
    total = int(header.get("NumberOfFrames") or 1)
    groups = header.get("PerFrameFunctionalGroupsSequence") or ()
    if groups and len(groups) != total:
        raise ValueError(f"has {total} frames, but functional groups for {len(groups)}")
    shared = header.get("SharedFunctionalGroupsSequence") or ()
    in_time = FRAMES_IN_TIME.intersection(several([header], "FrameIncrementPointer"))
    for number in range(total):
        own = [{"TemporalPositionIndex": number} if in_time else {"ImagePositionPatient": ()}]
        items = (*groups[number : number + 1], *shared[:1])
        parts = [part.value[0] for item in items for part in item if part.VR == "SQ" and part.value]
        gradients = [p.get("DiffusionGradientDirectionSequence") for p in (*parts, header)]
        parts += [gradient[0] for gradient in gradients if gradient]
        yield [*(own if total > 1 and not groups else ()), *parts, header]


def _numbers(scopes: Sequence[Any], keyword: str) -> tuple[float, ...]:
    return tuple(float(value) for value in several(scopes, keyword))


def _diffusion(scopes: Sequence[Any]) -> dict[str, tuple[Any, ...]]:
    """Tell the b-value and, where there is one, what is told of the gradient's direction."""
    b_value = _numbers(scopes, "DiffusionBValue")[:1] or _of_vendors(scopes, B_VALUES)[:1]
    b_value = tuple(float(round(value)) for value in b_value)
    if not any(b_value):
        return {"b_value": b_value, "direction": ()}
    numbers = _numbers(scopes, "DiffusionGradientOrientation") or _of_vendors(scopes, DIRECTIONS)
    kind = tuple(str(v) for v in several(scopes, "DiffusionDirectionality"))
    return {"b_value": b_value, "direction": (kind, tuple(round(v, 4) for v in numbers))}


def _of_vendors(
    scopes: Sequence[Any], places: Sequence[tuple[int, str, tuple[int, ...]]]
) -> tuple[float, ...]:
    for scope in (scope for scope in scopes if isinstance(scope, Dataset)):
        for group, creator, elements in places:
            found = [private(scope, group, creator, element) for element in elements]
            values = [v for one in found for v in (one if _is_list(one) else [one])]
            if values and all(is_number(value) for value in values):
                return tuple(float(value) for value in values)
    return ()


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)

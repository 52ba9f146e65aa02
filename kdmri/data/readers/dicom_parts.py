"""Volumes of a DICOM series that lack slices, and gaps between slices."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kdmri.data.readers.dicom_frames import TIMES, Contrast, Frame
from kdmri.data.readers.dicom_geometry import gaps, places

CONTRASTS = ("ImageType", "EchoTime", "b-value", "gradient direction", "PixelSpacing")
"""What a user knows the fields of `Contrast` as."""


FEW = 3
"""So many slices at least that are a volume each are told."""


@dataclass
class Part:
    """Images of one contrast and time.

    Attributes:
        frames: in the order of their places.
        places: numbers of their places in the stack.
        lacks: why it is no whole volume, a sentence of which the volume is the subject; empty where
            it is one.
        notes: what the user should know of it.
        shared: what the user should know of all parts of its kind.
    """

    frames: list[Frame]
    places: list[int]
    lacks: str = ""
    notes: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()


def find_lacking(
    found: Sequence[Part], numbered: Sequence[int], distances: Sequence[float] | None
) -> None:
    """Say which parts lack slices that others of their series have, in `Part.lacks`.

    Args:
        found: all parts of a stack.
        numbered: places of all images of the stack.
        distances: of these places in mm along the normal; None where they are not told.
    """
    description = dict(zip(numbered, distances or [], strict=False))
    whole = [part for part in found if not part.lacks]
    covered: dict[tuple[str, ...], set[frozenset[int]]] = defaultdict(set)
    for part in whole:
        covered[part.frames[0].contrast.kind].add(frozenset(part.places))
    for part in whole:
        mine = frozenset(part.places)
        wanted = _wanted(mine, part.frames[0].contrast.kind, covered)
        if missing := sorted(wanted - mine):
            names = ", ".join(_slice_name(place, description) for place in missing[:5])
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            part.lacks = (
                f"{_difference(part, whole)}has {len(mine)} slices, others of its "
                f"series {len(wanted)}: there is no image of {names}{more}; the volume is left out"
            )


def _wanted(
    mine: frozenset[int],
    kind: tuple[str, ...],
    covered: Mapping[tuple[str, ...], set[frozenset[int]]],
) -> frozenset[int]:
    """Tell which places a part should have: those of parts that share places with it.

    Args:
        mine: places of the part.
        kind: its ImageType.
        covered: places of all parts of the series by ImageType.
    """
    wanted, before = mine, frozenset[int]()
    while wanted != before:
        before = wanted
        wanted = wanted.union(*(other for other in covered[kind] if other & before))
    for other_kind, others in covered.items():  # those of a Dixon series differ from the third on
        if other_kind[:2] == kind[:2]:
            near = (other for other in others if mine < other and 2 * len(mine) >= len(other))
            wanted = wanted.union(*near)
    return wanted


def _slice_name(place: int, description: dict[int, float]) -> str:
    where = f" (at {description[place]:g} mm along the normal)" if place in description else ""
    return f"slice {place + 1}{where}"


def _difference(part: Part, others: list[Part]) -> str:
    """Say by which values a part differs from others of its series."""
    one, said = part.frames[0], []
    for name, attribute in zip(Contrast._fields, CONTRASTS, strict=True):
        value = getattr(one.contrast, name)
        if any(getattr(other.frames[0].contrast, name) != value for other in others):
            values = [v if isinstance(v, str) else f"{v:g}" for v in _flat(value)]
            kept = values[:1] if name == "echo" else values
            said.append(f"{attribute} {' '.join(kept) or 'none'}")
    for index, name in enumerate(TIMES):
        mine = {frame.times[index] for frame in part.frames}
        all_times = {frame.times[index] for other in others for frame in other.frames}
        if len(mine) == 1 and all_times != mine and one.times[index]:
            said.append(f"{name} {one.times[index][0]:g}")
    return f"({'; '.join(said)}) " if said else ""


def _flat(values: tuple[Any, ...]) -> list[Any]:
    return [v for value in values for v in (_flat(value) if isinstance(value, tuple) else [value])]


def note_oddities(found: Sequence[Part]) -> None:
    """Note of whole parts where their slices are not evenly spaced, or each slice is a part.

    Args:
        found: parts of a stack.
    """
    covered = [part.places for part in found]
    alone = all(len(mine) == 1 for mine in covered)
    if alone and len({place for (place,) in covered}) == len(found) >= FEW:
        contrasts = [part.frames[0].contrast for part in found]
        differs = [
            attribute
            for name, attribute in zip(Contrast._fields, CONTRASTS, strict=True)
            if len({getattr(contrast, name) for contrast in contrasts}) > 1
        ]
        found[0].notes += (
            f"{len(found)} slices differ in {', '.join(differs)}: each is a volume of its own",
        )
    for part in found:
        along = places(part.frames)
        if not part.lacks and along and (after := gaps(along)):
            part.notes += (_uneven(along, after),)


def _uneven(along: list[float], after: list[int]) -> str:
    distances = np.diff(along)
    usual = float(np.sort(distances)[(len(distances) - 1) // 2])
    where = ", ".join(
        f"{distances[n]:.4g} mm between slices {n + 1} and {n + 2}" for n in after[:5]
    )
    more = f" and {len(after) - 5} more" if len(after) > 5 else ""
    return (
        f"slices are not evenly spaced: {where}{more}, but {usual:.4g} mm between others; is an "
        "image missing? Positions in the output hold up to there"
    )

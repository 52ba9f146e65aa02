"""DICOM images by series, what else lies beside them, and series that an anonymiser parted."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kdmri.data.readers.dicom_frames import Frame
from kdmri.data.readers.dicom_geometry import gaps, places
from kdmri.data.readers.dicom_grouping import SAME_PLACE, is_parallel
from kdmri.data.readers.naming import split_of

Key = tuple[str, int, str]
"""Subject, series number, and SeriesInstanceUID."""


@dataclass
class Found:
    """What the headers below a source say.

    Attributes:
        series: magnitude images of MR.
        broken: files that are damaged, or cannot be read for what they are, with the reason.
        others: files of other kinds, by the name of the kind.
    """

    series: dict[Key, list[Frame]]
    broken: list[tuple[Path, Exception]]
    others: dict[str, list[Path]]

    def others_note(self, source: Path) -> tuple[str, ...]:
        """Name the files of other kinds in a note; none where there are none."""
        if not self.others:
            return ()
        said = []
        for kind, paths in sorted(self.others.items()):
            name = paths[0].relative_to(source) if paths[0] != source else paths[0].name
            more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            said.append(f"{kind} ({name}{more})")
        total = sum(len(paths) for paths in self.others.values())
        return (f"{source}: left out {total} DICOM file(s): {', '.join(said)}",)


def joined(
    series: Mapping[Key, list[Frame]], source: Path
) -> tuple[dict[Key, list[Frame]], dict[Key, str]]:
    """Join series of one slice that share subject, study, series number, orientation and size.

    Anonymisers are known to give every file a SeriesInstanceUID of its own. Series that differ in
    StudyInstanceUID, too, stay apart, but are told where they would be an even stack.

    Args:
        series: images by series.
        source: the data set; folders of its splits part series.

    Returns:
        The series, and notes on those that were joined, or could have been.
    """
    left, notes = dict(series), dict[Key, str]()
    for keys in _alike(series, source):
        by_study: dict[str, list[Key]] = defaultdict(list)
        for key in keys:
            by_study[series[key][0].study].append(key)
        first = keys[0]
        said = f"{first[0]}_{first[1]:03d}: {len(keys)} series of one slice have one number, size "
        for study, parted in by_study.items():
            if len(parted) == 1 or not study or not first[1]:
                continue
            left[parted[0]] = [frame for key in parted for frame in series[key]]
            for key in parted[1:]:
                del left[key]
            notes[parted[0]] = (
                f"{said}and orientation in one study, each a SeriesInstanceUID of its own: they "
                f"were joined"
            )
        if not notes.keys() & set(keys) and _is_even([series[key][0] for key in keys]):
            which = "no series number" if not first[1] else "different StudyInstanceUIDs"
            notes[first] = (
                f"{said}and orientation and would be an even stack, but have {which}: they stay "
                "volumes of one slice"
            )
    return left, notes


def _alike(series: Mapping[Key, list[Frame]], source: Path) -> Iterator[list[Key]]:
    """List series of one slice that may be one series, two or more."""
    groups: dict[tuple[object, ...], list[list[Key]]] = defaultdict(list)
    for key, frames in sorted(series.items()):
        along, first = places(frames), frames[0]
        if along is None or max(along) - min(along) > SAME_PLACE:
            continue
        if not all(is_parallel(first, frame) for frame in frames):
            continue
        split = split_of(first.path, source)
        found = groups[key[0], key[1], first.shape, first.contrast.pixel, split]
        for group in found:
            if is_parallel(series[group[0]][0], first):
                group.append(key)
                break
        else:
            found.append([key])
    yield from (group for found in groups.values() for group in found if len(group) > 1)


def _is_even(frames: list[Frame]) -> bool:
    along = sorted(places(frames) or [])
    steps = np.diff(along)
    return len(steps) > 1 and steps.min() > SAME_PLACE and not gaps(along)

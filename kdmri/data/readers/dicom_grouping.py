"""Which DICOM images are one volume: by values of their attributes, else by their order."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import count, zip_longest

import numpy as np

from kdmri.data.readers.dicom_frames import TIMES, Contrast, Frame
from kdmri.data.readers.dicom_geometry import places
from kdmri.data.readers.dicom_parts import Part, find_lacking, note_oddities

SAME_PLACE = 1e-2
"""Images closer than this along their normal, in mm, are one slice under several conditions."""

SAME_ORIENTATION = 1e-2
"""Largest difference between the direction cosines of parallel images."""

NEAR = 0.25
"""Times of one phase may differ by this share of the step to the next between slices."""

Image = tuple[int, Frame]
"""A frame with the number of its place along the normal."""


def stacks(frames: Iterable[Frame]) -> list[list[Frame]]:
    """Part images by orientation: localisers and long axes have several in one series."""
    found: list[list[Frame]] = []
    for frame in sorted(frames, key=lambda frame: (frame.order, frame.path)):
        for stack in found:
            if is_parallel(stack[0], frame):
                stack.append(frame)
                break
        else:
            found.append([frame])
    return found


def is_parallel(one: Frame, other: Frame) -> bool:
    """Whether two images have one orientation, or neither tells any."""
    pairs = zip_longest(one.orientation, other.orientation, fillvalue=np.inf)
    return all(abs(a - b) < SAME_ORIENTATION for a, b in pairs)


def parts(stack: Sequence[Frame]) -> list[Part]:
    """Part parallel images into volumes, by contrast and time.

    Images are put together by the values of their attributes. Where times differ from slice to
    slice (a cine whose slices have a heartbeat each), they are put together by their order, if
    every slice has as many. What lacks a slice that others have is no volume: see `Part.lacks`.

    Args:
        stack: images of one series and orientation, in the order of their InstanceNumbers.

    Returns:
        Parts in the order of their contrast and time.
    """
    distances = places(stack)
    numbered = _numbered(stack, distances)
    by_contrast: dict[Contrast, list[Image]] = defaultdict(list)
    for place, frame in zip(numbered, stack, strict=True):
        by_contrast[frame.contrast].append((place, frame))
    found: list[Part] = []
    for contrast in sorted(by_contrast):
        found += _in_time(sorted(by_contrast[contrast], key=lambda image: image[0]))
    find_lacking(found, numbered, distances)
    note_oddities(found)
    return found


def _numbered(stack: Sequence[Frame], distances: list[float] | None) -> list[int]:
    """Number the places of images along their normal, else count images that agree in all else."""
    if distances is None:
        ranks: dict[object, count[int]] = defaultdict(count)
        return [next(ranks[frame.contrast, frame.times[:-1]]) for frame in stack]
    order = np.argsort(distances, kind="stable")
    steps = np.diff(np.asarray(distances)[order], prepend=distances[order[0]]) > SAME_PLACE
    numbers = np.empty(len(stack), dtype=int)
    numbers[order] = np.cumsum(steps)
    return [int(number) for number in numbers]


def _in_time(images: list[Image], names: Sequence[str] = tuple(TIMES)) -> list[Part]:
    """Part images of one contrast, in the order of their places, by time."""
    if len({place for place, _ in images}) == len(images):
        return [Part([frame for _, frame in images], [place for place, _ in images])]
    for name in names:
        values = _shared(images, name)
        if values is not None and len(set(values)) > 1:
            rest = [other for other in names if other != name]
            return _split(images, values, rest)
    counts = Counter(place for place, _ in images)
    if len(set(counts.values())) > 1:
        values = _blocks(images, counts)
        if values is not None:
            return _split(images, values, ())
    return _by_rank(images, counts)


def _split(images: list[Image], values: Sequence[object], names: Sequence[str]) -> list[Part]:
    by_value: dict[object, list[Image]] = defaultdict(list)
    for value, image in zip(values, images, strict=True):
        by_value[value].append(image)
    return [part for value in sorted(by_value) for part in _in_time(by_value[value], names)]  # type: ignore[type-var]


def _shared(images: list[Image], name: str) -> list[object] | None:
    """Tell times that the slices share, one an image; None where each slice has its own."""
    index = list(TIMES).index(name)
    values = [frame.times[index] for _, frame in images]
    at: dict[int, set[tuple[float, ...]]] = defaultdict(set)
    for (place, _), value in zip(images, values, strict=True):
        at[place].add(value)
    sizes = {len(here) for here in at.values()}
    if max(sizes) == 1:
        return None  # it tells no images of one place apart
    shares = Counter(value for here in at.values() for value in here)
    counted = name == "temporal position" and max(shares.values()) > 1
    if len(shares) == max(sizes) or counted:
        return list(values)
    uneven = len(set(Counter(place for place, _ in images).values())) > 1
    if uneven and all(values) and (phases := _nearest(images, values)) is not None:
        return phases
    ranks = {(value, rank) for here in at.values() for rank, value in enumerate(sorted(here))}
    common = float(np.median(list(shares.values()))) > len(at) / 2
    return list(values) if common and (uneven or len(ranks) > len(shares)) else None


def _nearest(images: list[Image], values: list[tuple[float, ...]]) -> list[object] | None:
    """Assign times that differ a little between slices to those of the slices that have most.

    Returns:
        The number of the phase of each image; None where a slice's times are too far from others.
    """
    at: dict[int, list[float]] = defaultdict(list)
    for (place, _), value in zip(images, values, strict=True):
        at[place].append(value[0])
    most = max(len(times) for times in at.values())
    usual = np.median([sorted(times) for times in at.values() if len(times) == most], axis=0)
    limit = NEAR * float(np.diff(usual).min())
    phases: list[object] = []
    for value in values:
        distances = np.abs(usual - value[0])
        if distances.min() >= limit:
            return None
        phases.append(int(distances.argmin()))
    pairs = {(place, phase) for (place, _), phase in zip(images, phases, strict=True)}
    return phases if len(pairs) == len(images) else None


def _blocks(images: list[Image], counts: Counter[int]) -> list[object] | None:
    """Tell times from InstanceNumbers that count slices, then times, or times, then slices.

    Returns:
        The number of the time of each image; None where they count otherwise, or in several ways,
        such as where the first or the last image is the lost one.
    """
    if not all(frame.order[0] for _, frame in images):
        return None
    slices, times = len(counts), max(counts.values())
    numbers = [int(frame.order[0][0]) for _, frame in images]
    found: list[list[object]] = []
    for first in sorted({min(numbers), max(numbers) - slices * times + 1}):
        offsets = [number - first for number in numbers]
        for size, is_time_outside in ((slices, True), (times, False)):
            inside, outside = [n % size for n in offsets], [n // size for n in offsets]
            own, time = (inside, outside) if is_time_outside else (outside, inside)
            pairs = {(place, mine) for (place, _), mine in zip(images, own, strict=True)}
            fits = len(pairs) == len({mine for _, mine in pairs}) == slices
            if fits and set(time) == set(range(times)) and list(time) not in found:
                found.append(list(time))
    return found[0] if len(found) == 1 else None


def _by_rank(images: list[Image], counts: Counter[int]) -> list[Part]:
    """Put images together by their order in each place, where places have as many as most have."""
    sizes = Counter(counts.values())
    usual = max(sizes, key=lambda size: (sizes[size], size))
    at: dict[int, list[Frame]] = defaultdict(list)
    for place, frame in images:
        at[place].append(frame)
    for frames in at.values():
        frames.sort(key=lambda frame: (frame.times, frame.order, frame.path))
    whole = [place for place in sorted(at) if len(at[place]) == usual]
    found = [
        Part([at[place][n] for place in whole], whole, shared=_told_by_rank(images))
        for n in range(usual)
    ]
    for place in sorted(set(at) - set(whole)):
        why = (
            f"holds a slice with {len(at[place])} images where others of its series have {usual}, "
            "and nothing tells which is of which time; the slice is left out"
        )
        found.append(Part(at[place], [place] * len(at[place]), why))
    return found


def _told_by_rank(images: list[Image]) -> tuple[str, ...]:
    """Name times that differ within places as well as between them, whose order was taken."""
    for index, name in enumerate(TIMES):
        times: dict[int, set[tuple[float, ...]]] = defaultdict(set)
        for place, frame in images:
            times[place].add(frame.times[index])
        if max(len(here) for here in times.values()) > 1 and len(times) > 1:
            return (
                f"the {name} differs from slice to slice, as where each has its own heartbeat; "
                "images are put together by their order in time",
            )
    return ()

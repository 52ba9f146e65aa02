"""Lines as they arrive, put together to what can be reconstructed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from kdmri.data.readers import raw_flags
from kdmri.data.readers.raw_header import Encoding
from kdmri.data.readers.raw_scan import RawScan
from kdmri.serve.protocol import HEAD, Line, RefusedError

Key = tuple[int, ...]
"""Values of `raw_flags.COUNTERS`; of a single slice that of its own counter, too."""

STEPS = ("kspace_encode_step_1", "kspace_encode_step_2", "average")
LIMITS = ("kspace_encoding_step_1", "kspace_encoding_step_2", "average")
"""Counters of the lines of a slice, and what the header's limits call them."""

LAST = ("ACQ_LAST_IN_REPETITION", "ACQ_LAST_IN_MEASUREMENT")
"""Flags of which the last line of a slab has one."""

OVERHEAD = 600
"""Bytes that a line takes beside its samples."""


class Unit(NamedTuple):
    """Lines that are all there, to be reconstructed together.

    Attributes:
        scan: these lines, with the noise and calibration lines of the measurement.
        chosen: values of the counters, as for `RawScan.slices`.
        size: bytes that are free once it is done.
    """

    scan: RawScan
    chosen: dict[str, int]
    size: int


@dataclass
class _Part:
    """Lines of a unit that is not complete."""

    lines: list[Line] = field(default_factory=list)
    seen: dict[int, set[Key]] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)


class Gathering:
    """The lines of one measurement that are not reconstructed yet.

    A slice is complete with the line that says so (ACQ_LAST_IN_SLICE, in the last average), or when
    all lines are there that the header tells of. Such a flag ends a slab (3D) only in a line that
    is the last of its repetition, too, since some scanners set it in every partition. What is not
    complete when the client closes is then.

    Attributes:
        several: counters that have several values by the header.
        held: bytes of the lines that are kept.
        noticed: what the client should know, sentences; who reads them takes them out.
    """

    def __init__(self, encoding: Encoding, by_volume: bool) -> None:
        """Begin a measurement.

        Args:
            encoding: of the scan.
            by_volume: put the slices of a volume together; else each slice is a unit of its own.
        """
        self.several = [key for key in raw_flags.COUNTERS if encoding.counts.get(key, 1) > 1]
        self.held = 0
        self.noticed: list[str] = []
        self._encoding, self._by_volume = encoding, by_volume
        self._parts: dict[Key, _Part] = {}
        self._finished: set[Key] = set()
        self._first: Key | None = None
        self._shared: dict[Key | None, list[Line]] = {}
        self._fallback: dict[int, Key] = {}
        self._seen: set[int] = set()

    def add(self, line: Line) -> Iterator[Unit]:
        """Take a line, and give what is complete with it.

        Raises:
            RefusedError: it cannot be of this measurement; says why.
        """
        head = line.head
        if raw_flags.flagged(head, raw_flags.NOISE):
            self._late(bool(self._finished), "noise")
            self._keep(self._shared.setdefault(None, []), line)
            return
        if raw_flags.calibrates_elsewhere(head):
            self.noticed.append(raw_flags.ELSEWHERE)
        if raw_flags.calibrates(head):
            self._calibrate(line)
        if raw_flags.of_any_image(head, self._encoding.shares_calibration):
            key = self._key(head)
            part = self._parts.setdefault(key, _Part())
            self._keep(part.lines, line)
            if self._is_complete(part, head):
                yield self._unit(key)

    def rest(self) -> Iterator[Unit]:
        """Give what the client left incomplete when it closed."""
        for key in list(self._parts):
            yield self._unit(key)

    def _key(self, head: np.void) -> Key:
        """Return what unit a line belongs to, and check that it may."""
        idx = head["idx"]
        values = tuple(int(idx[key]) for key in raw_flags.COUNTERS)
        self._first = self._first or values
        for name, value, first in zip(raw_flags.COUNTERS, values, self._first, strict=True):
            count = self._encoding.counts.get(name, 1)
            if name in self.several and value >= count:
                raise RefusedError(f"{name} {value} is beyond the {count} that its header tells of")
            if name not in self.several and value != first:
                raise RefusedError(f"holds several values of {name}, but its header tells of one")
        key = values if self._by_volume else (*values, int(idx["slice"]))
        part = self._parts.get(key)
        if key in self._finished or (part is not None and int(idx["slice"]) in part.done):
            raise RefusedError(
                f"a line of slice {int(idx['slice'])} came after its last one (ACQ_LAST_IN_SLICE, "
                "or all that the header's limits tell of), and its image lacks it; send averages, "
                "contrasts and repetitions with their limits in the header"
            )
        return key

    def _is_complete(self, part: _Part, head: np.void) -> bool:
        number, counts = int(head["idx"]["slice"]), self._encoding.counts
        seen = part.seen.setdefault(number, set())
        seen.add(tuple(int(head["idx"][step]) for step in STEPS))
        rows, partitions, averages = (counts.get(name, 1) for name in LIMITS)
        whole = rows * partitions * averages if LIMITS[0] in counts else 0
        last = bool(raw_flags.flagged(head, "ACQ_LAST_IN_SLICE"))
        last = last and int(head["idx"]["average"]) + 1 >= averages
        if partitions > 1:
            last = last and bool(raw_flags.flagged(head, *LAST))
        if last or len(seen) == whole:
            part.done.add(number)
        if not self._by_volume:
            return number in part.done
        return len(part.done) == counts.get("slice", 0)

    def _calibrate(self, line: Line) -> None:
        """Keep a calibration line, by what it was acquired for."""
        idx = line.head["idx"]
        number = int(idx["slice"])
        values = tuple(int(idx[key]) for key in raw_flags.COUNTERS)
        own = values if self._by_volume else (*values, number)
        alone = number not in self._fallback and number in self._seen
        self._late(own in self._finished or alone, "calibration")
        key = (*values, number)
        self._fallback.setdefault(number, key)
        self._keep(self._shared.setdefault(key, []), line)

    def _keep(self, lines: list[Line], line: Line) -> None:
        lines.append(line)
        self.held += cost(line)

    def _late(self, late: bool, what: str) -> None:
        if late:
            self.noticed.append(
                f"{what} lines came after an image that they are of; that image was made without "
                "them: send them first"
            )

    def _unit(self, key: Key) -> Unit:
        part = self._parts.pop(key)
        self._finished.add(key)
        self._seen |= set(part.seen)
        own = key if self._encoding.shares_calibration else None  # is among its lines already
        beside = [
            lines
            for other, lines in self._shared.items()
            if other is None or (other[-1] in part.seen and other[: len(key)] != own)
        ]
        lines = [line for lines in beside for line in lines] + part.lines
        size = sum(cost(line) for line in part.lines)
        for other in [k for k in self._shared if k is not None and k[: len(key)] == key]:
            if self._fallback.get(other[-1]) != other:  # of no image that is still to come
                size += sum(cost(line) for line in self._shared.pop(other))
        self.held -= size
        chosen = dict(zip(raw_flags.COUNTERS, key, strict=False))
        chosen = {name: value for name, value in chosen.items() if name in self.several}
        return Unit(_scan(lines, self._encoding), chosen, size)


def cost(line: Line) -> int:
    """Return the bytes that a line takes."""
    return line.data.nbytes + HEAD.itemsize + OVERHEAD


def _scan(lines: Sequence[Line], encoding: Encoding) -> RawScan:
    heads = np.array([line.head for line in lines], HEAD)

    def read(places: np.ndarray) -> Iterator[dict[str, Any]]:
        return ({"head": lines[n].head, "data": lines[n].data} for n in places)

    return RawScan(heads, read, encoding)

"""Lines as they arrive, put together to what can be reconstructed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from kdmri.data.readers import raw_flags
from kdmri.data.readers.raw_header import Encoding
from kdmri.data.readers.raw_lines import Readout, transformed
from kdmri.data.readers.raw_scan import RawScan
from kdmri.serve.protocol import HEAD, Line, RefusedError

Key = tuple[int, ...]
"""Values of `raw_flags.COUNTERS`; of a single slice that of its own counter, too."""

STEPS = ("kspace_encode_step_1", "kspace_encode_step_2", "average")
LIMITS = ("kspace_encoding_step_1", "kspace_encoding_step_2", "average")
"""Counters of the lines of a slice, and what the header's limits call them."""

LAST = ("ACQ_LAST_IN_REPETITION", "ACQ_LAST_IN_MEASUREMENT")
"""Flags of which the last line of a slab has one."""

NOTHING = np.empty(0, np.complex64)

OVERHEAD = 600
"""Bytes that a line takes beside its samples."""


class Kept(NamedTuple):
    """A line that waits for the rest of its slice.

    Attributes:
        line: as it came; without samples where they are transformed.
        readout: transformed along the readout, which takes most of the work before a network; None
            of noise, and of a line that does not fit, which is told where it is used.
    """

    line: Line
    readout: Readout | None

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        samples = self.line.data if self.readout is None else self.readout.columns
        return samples.nbytes + HEAD.itemsize + OVERHEAD


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
    """Lines of a unit that is not complete.

    Attributes:
        lines: so far.
        seen: steps of each slice's lines.
        done: slices that are complete.
        missing: first steps of the centre that are still to come.
    """

    lines: list[Kept] = field(default_factory=list)
    missing: set[int] = field(default_factory=set)
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

    def __init__(self, encoding: Encoding, by_volume: bool, centre: int = 0) -> None:
        """Begin a measurement.

        Args:
            encoding: of the scan.
            by_volume: put the slices of a volume together; else each slice is a unit of its own.
            centre: rows around the zero frequency that `early` waits for; 0 for never.
        """
        self.several = [key for key in raw_flags.COUNTERS if encoding.counts.get(key, 1) > 1]
        self.held = 0
        self.noticed: list[str] = []
        self._encoding, self._by_volume = encoding, by_volume
        self._parts: dict[Key, _Part] = {}
        self._finished: set[Key] = set()
        self._first: Key | None = None
        self._shared: dict[Key | None, list[Kept]] = {}
        self._fallback: dict[int, Key] = {}
        self._seen: set[int] = set()
        self._centre = frozenset[int]() if by_volume else self._central_steps(centre)
        self._early: Key | None = None

    def add(self, line: Line) -> Iterator[Unit]:
        """Take a line, and give what is complete with it.

        Raises:
            RefusedError: it cannot be of this measurement; says why.
        """
        head = line.head
        if raw_flags.flagged(head, raw_flags.NOISE):
            self._late(bool(self._finished), "noise")
            self._keep(self._shared.setdefault(None, []), Kept(line, None))
            return
        if raw_flags.calibrates_elsewhere(head):
            self.noticed.append(raw_flags.ELSEWHERE)
        elif raw_flags.images_elsewhere(head):
            self.noticed.append(raw_flags.OTHERS)
        calibrates = raw_flags.calibrates(head)
        images = raw_flags.of_any_image(head, self._encoding.shares_calibration)
        if not calibrates and not images:
            return
        kept = self._transformed(line)
        if calibrates:
            self._calibrate(kept)
        if images:
            key = self._key(head)
            part = self._parts.get(key) or self._begun(key)
            self._keep(part.lines, kept)
            self._look_ahead(key, part, head)
            if self._is_complete(part, head):
                yield self._unit(key)

    def early(self) -> Unit | None:
        """Give the lines so far of a slice whose centre is complete since it was asked last."""
        key, self._early = self._early, None
        part = None if key is None else self._parts.get(key)
        return None if key is None or part is None else self._gathered(key, part, 0)

    def rest(self) -> Iterator[Unit]:
        """Give what the client left incomplete when it closed."""
        for key in list(self._parts):
            yield self._unit(key)

    def _central_steps(self, count: int) -> frozenset[int]:
        """Return the first steps around the zero frequency, as many as `count`."""
        rows = self._encoding.encoded.matrix[1]
        zero = rows // 2 if self._encoding.centre[0] is None else self._encoding.centre[0]
        return frozenset(range(zero - count // 2, zero + count - count // 2))

    def _begun(self, key: Key) -> _Part:
        """Begin a unit; its centre is there where it was acquired for calibration."""
        calibrated = {
            int(kept.line.head["idx"][STEPS[0]])
            for other, lines in self._shared.items()
            if other is not None and not self._by_volume and other[-1] == key[-1]
            for kept in lines
        }
        missing = set(self._centre - calibrated)
        if self._centre and not missing:  # then it takes the line of the zero frequency
            missing = {sorted(self._centre)[len(self._centre) // 2]}
        part = self._parts[key] = _Part(missing=missing)
        return part

    def _look_ahead(self, key: Key, part: _Part, head: np.void) -> None:
        if part.missing:
            part.missing.discard(int(head["idx"][STEPS[0]]))
            self._early = self._early if part.missing else key

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

    def _transformed(self, line: Line) -> Kept:
        """Do what can be done of a line alone, while the others arrive."""
        record = {"head": line.head, "data": line.data}
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # told where slices are checked
                (readout,) = transformed([record], self._encoding.encoded.matrix[0])
        except ValueError:
            return Kept(line, None)
        return Kept(line._replace(data=NOTHING), readout)

    def _calibrate(self, kept: Kept) -> None:
        """Keep a calibration line, by what it was acquired for."""
        idx = kept.line.head["idx"]
        number = int(idx["slice"])
        values = tuple(int(idx[key]) for key in raw_flags.COUNTERS)
        own = values if self._by_volume else (*values, number)
        alone = number not in self._fallback and number in self._seen
        self._late(own in self._finished or alone, "calibration")
        key = (*values, number)
        self._fallback.setdefault(number, key)
        self._keep(self._shared.setdefault(key, []), kept)

    def _keep(self, lines: list[Kept], kept: Kept) -> None:
        lines.append(kept)
        self.held += kept.size

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
        size = sum(kept.size for kept in part.lines)
        unit = self._gathered(key, part, size)
        for other in [k for k in self._shared if k is not None and k[: len(key)] == key]:
            if self._fallback.get(other[-1]) != other:  # of no image that is still to come
                size += sum(kept.size for kept in self._shared.pop(other))
        self.held -= size
        return unit._replace(size=size)

    def _gathered(self, key: Key, part: _Part, size: int) -> Unit:
        """Put the lines of a unit beside the noise and calibration lines that are for it."""
        own = key if self._encoding.shares_calibration else None  # is among its lines already
        beside = [
            lines
            for other, lines in self._shared.items()
            if other is None or (other[-1] in part.seen and other[: len(key)] != own)
        ]
        lines = [line for lines in beside for line in lines] + part.lines
        chosen = dict(zip(raw_flags.COUNTERS, key, strict=False))
        chosen = {name: value for name, value in chosen.items() if name in self.several}
        return Unit(_scan(lines, self._encoding), chosen, size)


def _scan(lines: Sequence[Kept], encoding: Encoding) -> RawScan:
    heads = np.array([kept.line.head for kept in lines], HEAD)

    def read(places: np.ndarray) -> Iterator[dict[str, Any]]:
        return ({"head": lines[n].line.head, "data": lines[n].line.data} for n in places)

    def readouts(places: np.ndarray) -> Iterator[Readout]:
        for place in places:
            ready = lines[place].readout
            if ready is None:
                (ready,) = transformed(read(np.array([place])), encoding.encoded.matrix[0])
            yield ready

    return RawScan(heads, read, encoding, readouts)

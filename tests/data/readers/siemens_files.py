"""Writes Siemens raw data: the binary layout of VB and VD that twix readers agree on.

A file of VB is one measurement: a header (its length, the number of its buffers, each with name,
length and text) and lines, where each channel has a measurement data header (MDH) of 128 bytes. VD
has a directory of measurements first, and lines of one MDH of 192 bytes and 32 for each channel.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ACQEND, PATREF, PATREF_AND_IMAGE, REFLECT, NOISE = 1 << 0, 1 << 22, 1 << 23, 1 << 24, 1 << 25
COUNTERS = ("Lin", "Ave", "Sli", "Par", "Eco", "Phs", "Rep", "Set", "Seg", "Ida", "Idb")
BEGIN = 10_240
LONG = 10_000


@dataclass
class Line:
    """One readout.

    Attributes:
        data: complex64 (coils, samples).
        flags: bits of the evaluation mask.
        centre: column, line and partition of the zero frequency.
        position: sagittal, coronal, transversal in mm.
        quaternion: of the directions, the scalar part first; zeros where they are not told.
        counters: by their names in twix readers.
    """

    data: np.ndarray
    flags: int = 0
    centre: tuple[int, int, int] = (0, 0, 0)
    position: tuple[float, float, float] = (0.0, 0.0, 0.0)
    quaternion: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    counters: dict[str, int] = field(default_factory=dict)


@dataclass
class Measurement:
    """A measurement: what its protocol says, and its lines."""

    protocol: dict[str, float]
    lines: list[Line]


def header(protocol: dict[str, float]) -> bytes:
    text = "### ASCCONV BEGIN ###\n"
    text += "".join(f"{key} = {value}\n" for key, value in protocol.items())
    buffer = (text + "\n### ASCCONV END ###\n").encode()
    body = struct.pack("<I", 1) + b"MeasYaps\0" + struct.pack("<I", len(buffer)) + buffer
    length = -(-(len(body) + 4 + LONG) // 32) * 32  # a shorter one is taken for VD's directory
    return struct.pack("<I", length) + body.ljust(length - 4, b"\0")


def mdh(line: Line, number: int, length: int, vd: bool, channels: int) -> bytes:
    counters = [line.counters.get(name, 0) for name in COUNTERS] + [0, 0, 0]
    column, row, partition = line.centre
    made = struct.pack("<IIIII", length & 0x1FFFFFF, 1, number + 1, 0, 0)
    if vd:
        made += bytes(20)
    made += struct.pack("<II", line.flags, 0)
    made += struct.pack("<HH", line.data.shape[1], channels)
    made += struct.pack("<14H", *counters)
    made += struct.pack("<HH", 0, 0)  # cut off at both ends
    made += struct.pack("<HHfIHH", column, 0, 0.0, 0, row, partition)
    place = struct.pack("<3f4f", *line.position, *line.quaternion)
    made += place + bytes(56) if vd else bytes(16) + place
    return made.ljust(192 if vd else 128, b"\0")


def lines_of(measurement: Measurement, vd: bool) -> bytes:
    parts = []
    end = Line(np.zeros((1, 16), np.complex64), ACQEND)
    for number, line in enumerate([*measurement.lines, end]):
        coils, samples = line.data.shape
        size = (192 if vd else 0) + coils * (8 * samples + (32 if vd else 128))
        head = mdh(line, number, size, vd, coils)
        parts.append(head if vd else b"")
        before = bytes(32) if vd else head
        parts += [before + coil.tobytes() for coil in line.data.astype(np.complex64)]
    return b"".join(parts)


def write(path: Path, measurements: Iterable[Measurement], vd: bool = True) -> Path:
    """Write a file; VB takes the only measurement."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bodies = [header(m.protocol) + lines_of(m, vd) for m in measurements]
    if not vd:
        (body,) = bodies
        path.write_bytes(body)
        return path
    bodies = [body.ljust(-(-len(body) // 512) * 512, b"\0") for body in bodies]
    directory, begin = struct.pack("<II", 0, len(bodies)), BEGIN
    for number, body in enumerate(bodies):
        entry = struct.pack("<IIQQ", 7, number, begin, len(body)).ljust(152, b"\0")
        directory += entry
        begin += len(body)
    path.write_bytes(directory.ljust(BEGIN, b"\0") + b"".join(bodies))
    return path

"""Messages of the ISMRMRD streaming protocol (MRD), as FIRE, OpenRecon and Gadgetron speak it.

Identifiers and fixed headers are those of the package `ismrmrd`, which also writes what is sent.
Its `ProtocolDeserializer` is not used to read: it takes memory for whatever a header declares
before it reads on, and its XML parser stops at the NUL that ends the texts of FIRE's clients.
"""

import ctypes
import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

import ismrmrd
import numpy as np
from ismrmrd.hdf5 import acquisition_header_dtype
from ismrmrd.serialization import ISMRMRDMessageID as Kind
from ismrmrd.serialization import ProtocolSerializer
from ismrmrd.waveform import WaveformHeader

from kdmri.errors import KdmriError

FILE_NAME = 1024
"""Bytes of the name of a configuration."""

MOST_TEXT = 2**24
"""Bytes of a text, the header of a scan included."""

PIECE = 2**16
"""Bytes that are skipped at once."""

NUMBERS = {kind.value: kind for kind in Kind if kind is not Kind.UNPEEKED}
HEAD = np.dtype(acquisition_header_dtype)


class RefusedError(KdmriError):
    """What a client sends cannot be done; the text goes to the client and to the log."""


class LostError(Exception):
    """The other end is gone, or silent for too long."""


class Line(NamedTuple):
    """An acquisition.

    Attributes:
        head: its header, as `ismrmrd.AcquisitionHeader` has it.
        data: complex64 (coils * samples,).
    """

    head: np.void
    data: np.ndarray


class Message(NamedTuple):
    """What a client sent.

    Attributes:
        kind: of the message; waveforms are skipped and never become one.
        text: of a configuration, a header or a text, without what follows the first NUL.
        line: of an acquisition.
    """

    kind: Kind
    text: str = ""
    line: Line | None = None


def messages(stream: BinaryIO, claim: Callable[[int], None]) -> Iterator[Message]:
    """Read messages up to the one that closes.

    Args:
        stream: of the client's bytes.
        claim: called with the bytes of a line before memory is taken for it; raises RefusedError
            where that is too much.

    Raises:
        RefusedError: a message is unknown, is not one to reconstruct from, or is too long.
        LostError: the stream ends without a message that closes.
        OSError: the connection fails, or nothing comes in time.
    """
    while True:
        number = struct.unpack("<H", _exactly(stream, 2))[0]
        kind = NUMBERS.get(number)
        if kind is None:
            raise RefusedError(f"message {number} is none of the protocol's")
        if kind is Kind.CLOSE:
            return
        if kind is Kind.CONFIG_FILE:
            yield Message(kind, _text(_exactly(stream, FILE_NAME)))
        elif kind in (Kind.CONFIG_TEXT, Kind.HEADER, Kind.TEXT):
            yield Message(kind, _text(_exactly(stream, _length(stream, kind))))
        elif kind is Kind.ACQUISITION:
            yield Message(kind, line=_line(stream, claim))
        elif kind is Kind.WAVEFORM:
            head = WaveformHeader.from_buffer_copy(_exactly(stream, ctypes.sizeof(WaveformHeader)))
            _skip(stream, 4 * head.channels * head.number_of_samples)
        else:
            raise RefusedError(f"messages of kind {kind.name} are not taken, only raw data")


def _length(stream: BinaryIO, kind: Kind) -> int:
    length: int = struct.unpack("<I", _exactly(stream, 4))[0]
    if length > MOST_TEXT:
        raise RefusedError(f"a {kind.name} of {length:,} bytes; at most {MOST_TEXT:,} are taken")
    return length


def _line(stream: BinaryIO, claim: Callable[[int], None]) -> Line:
    """Read an acquisition; its trajectory is skipped."""
    head = np.frombuffer(_exactly(stream, HEAD.itemsize), HEAD)[0]
    samples = int(head["number_of_samples"])
    size = 8 * samples * int(head["active_channels"])
    claim(size + HEAD.itemsize)
    _skip(stream, 4 * samples * int(head["trajectory_dimensions"]))
    return Line(head, np.frombuffer(_exactly(stream, size), np.complex64))


def _exactly(stream: BinaryIO, count: int) -> bytes:
    found = stream.read(count)
    if len(found) < count:
        raise LostError("it closed the connection in the middle of a scan")
    return found


def _skip(stream: BinaryIO, count: int) -> None:
    while count > 0:
        count -= len(_exactly(stream, min(count, PIECE)))


def _text(found: bytes) -> str:
    return found.partition(b"\0")[0].decode("utf-8", errors="replace")


class Writer:
    """Writes messages to a stream."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._serializer = ProtocolSerializer(stream)

    def image(self, image: ismrmrd.Image) -> None:
        """Send an image."""
        self._serializer.serialize(image)
        self._stream.flush()

    def text(self, text: str) -> None:
        """Send a text, which FIRE shows by its first three letters: DBG, WRN or ERR."""
        self._serializer.serialize(f"{text}\0")
        self._stream.flush()

    def close(self) -> None:
        """Say that nothing more comes."""
        self._serializer.close()


def printable(text: str, most: int = 1000) -> str:
    """Return what may stand in a line of a log, and in XML: no control characters."""
    shown = "".join(c if c.isprintable() else " " for c in text[:most])
    return " ".join(shown.split())

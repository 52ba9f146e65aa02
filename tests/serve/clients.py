"""A client of the protocol, by the `ismrmrd` package's own serializers over a real socket."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import ismrmrd
from ismrmrd.serialization import ConfigFile, ProtocolDeserializer, ProtocolSerializer

from tests.serve.scans import Raw

SECONDS = 60
Address = tuple[str, int]


@dataclass
class Answer:
    """What a server sent.

    Attributes:
        images: in their order.
        texts: in their order, without the NUL at their ends.
        closed: whether it said that nothing more comes.
    """

    images: list[ismrmrd.Image] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    closed: bool = False

    @property
    def errors(self) -> list[str]:
        return [text for text in self.texts if text.startswith("ERR")]


class Client:
    """A connection, on which a scan is sent and its answer read."""

    def __init__(self, address: Address) -> None:
        self.socket = socket.create_connection(address, timeout=SECONDS)
        self._out, self._in = self.socket.makefile("wb"), self.socket.makefile("rb")
        self._serializer = ProtocolSerializer(self._out)
        self._incoming = ProtocolDeserializer(self._in).deserialize()
        self.answer = Answer()

    def send(self, *messages: object) -> None:
        for message in messages:
            self._serializer.serialize(message)
        self._out.flush()

    def send_bytes(self, found: bytes) -> None:
        self._out.write(found)
        self._out.flush()

    def header(self, xml: str) -> None:
        """Send a header as FIRE does, with a NUL at its end."""
        found = xml.encode() + b"\0"
        self.send_bytes(b"\3\0" + len(found).to_bytes(4, "little") + found)

    def begin(self, scan: Raw, config: str = "kdmri") -> None:
        self.send(ConfigFile(config))
        self.header(scan.xml)

    def close(self) -> None:
        self._serializer.close()

    def next(self) -> object:
        """Wait for a message, and keep it; None for the end."""
        found = next(self._incoming, None)
        if isinstance(found, ismrmrd.Image):
            self.answer.images.append(found)
        elif isinstance(found, str):
            self.answer.texts.append(found.rstrip("\0"))
        return found

    def image(self) -> ismrmrd.Image:
        """Wait for an image."""
        while not isinstance(found := self.next(), ismrmrd.Image):
            assert found is not None, self.answer.texts
        return found

    def rest(self) -> Answer:
        """Read until the server closes."""
        while self.next() is not None:
            pass
        self.answer.closed = True
        return self.answer

    def vanish(self) -> None:
        self._in.close(), self._out.close(), self.socket.close()


@contextmanager
def connected(address: Address) -> Iterator[Client]:
    client = Client(address)
    try:
        yield client
    finally:
        client.vanish()


def scanned(address: Address, scan: Raw, config: str = "kdmri") -> Answer:
    """Send a whole scan, then read what comes back."""
    with connected(address) as client:
        client.begin(scan, config)
        client.send(*scan.lines)
        client.close()
        return client.rest()

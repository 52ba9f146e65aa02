"""One client: what it sends is put together, reconstructed by the worker, and answered in order."""

import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from io import BufferedReader, RawIOBase

import ismrmrd
import torch

from kdmri.data.readers.naming import UNREADABLE
from kdmri.data.readers.raw_header import Encoding, check_cartesian, parse_header
from kdmri.errors import KdmriError
from kdmri.serve.answers import Answers
from kdmri.serve.anticipating import anticipate, remembering
from kdmri.serve.choices import Choices, named
from kdmri.serve.gathering import Gathering, Unit
from kdmri.serve.limits import check_size
from kdmri.serve.outbox import BUFFER, Outbox
from kdmri.serve.protocol import Kind, Line, LostError, Message, RefusedError, messages, printable
from kdmri.serve.reconstructing import Sinks, reconstruct
from kdmri.serve.worker import Worker

LOG = logging.getLogger("kdmri.serve")

PENDING = 4
"""Units of a client that may wait for the worker; then nothing more is read of it."""


@dataclass(frozen=True)
class Settings:
    """How clients are served.

    Attributes:
        by_volume: whether slices wait for those of their volume, for a scale of all.
        integers: whether images are int16.
        most_bytes: of a client's lines that are in memory, and of its images.
        timeout: seconds of silence after which a client is given up.
        batch_size: slices that pass the network together.
        device: where networks are.
    """

    by_volume: bool
    integers: bool
    most_bytes: int
    timeout: float
    batch_size: int
    device: torch.device


class Patient(RawIOBase):
    """Reads from a socket; one that is silent while its images are being made is waited for."""

    def __init__(self, sock: socket.socket, is_busy: Callable[[], bool]) -> None:
        self._sock, self._is_busy = sock, is_busy

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: "memoryview[int]") -> int:  # type: ignore[override]
        """Read what is there, or wait for it.

        Raises:
            TimeoutError: nothing came for as long as the socket's timeout, and nothing is made.
        """
        while True:
            try:
                return self._sock.recv_into(buffer)
            except TimeoutError:
                if not self._is_busy():
                    raise


class Session:
    """A client's connection, from its first message to the last answer.

    Attributes:
        began: whether the header of a scan is there.
    """

    def __init__(
        self, sock: socket.socket, name: str, choices: Choices, settings: Settings, worker: Worker
    ) -> None:
        self.began = False
        self._sock, self._name, self._choices = sock, name, choices
        self._settings, self._worker = settings, worker
        sock.settimeout(settings.timeout)
        self._outbox = Outbox(sock, settings.most_bytes)
        self._config: str | None = None
        self._encoding: Encoding | None = None
        self._gathering: Gathering | None = None
        self._answers: Answers | None = None
        self._told: set[str] = set()
        self._reason: str | None = None
        self._lines = self._units = self._images = 0
        self._pending, self._bytes = 0, 0
        self._answered = float("-inf")
        self._changed = threading.Condition()

    def run(self) -> None:
        """Serve the client; returns when the connection is closed."""
        began = time.monotonic()
        try:
            self._converse()
        except KdmriError as error:
            self._refuse(str(error))
            self._drain()
        except (LostError, OSError) as error:
            self._lose(error)
        except Exception as error:  # whatever it sent, the next client is served
            self._refuse(f"internal error ({type(error).__name__}: {error})")
            self._drain()
        finally:
            self._wait()
            self._outbox.join()
            with suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
            self._sock.close()
            self._log(time.monotonic() - began)

    def stop_if_idle(self) -> None:
        """Close the connection where no scan has begun, or its refusal is sent."""
        if not self.began or (self._reason is not None and self._outbox.is_empty):
            with suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)

    def _converse(self) -> None:
        with BufferedReader(Patient(self._sock, self._is_busy), BUFFER) as stream:
            for message in messages(stream, self._claim):
                if self._reason is None:  # else it is read and let go
                    self._take(message)
        if self._reason is not None or self._encoding is None:
            return
        for unit in () if self._gathering is None else self._gathering.rest():
            self._submit(unit)
        if not self._units:
            raise RefusedError(
                "holds no imaging data: "
                f"none of its {self._lines} acquisitions is a line of an image on the header's "
                "first encoding space"
                if self._lines
                else "no acquisition came before the end"
            )

    def _is_busy(self) -> bool:
        """Tell whether images of the client are made, or were until now."""
        recently = time.monotonic() - self._answered < self._settings.timeout
        return self._pending > 0 or recently

    def _take(self, message: Message) -> None:
        if message.line is not None:
            self._line(message.line)
        elif message.kind is Kind.HEADER:
            if self._encoding is not None:
                raise RefusedError("a second header came; a connection takes one scan")
            try:
                encoding = parse_header(message.text)
                check_cartesian(encoding)
            except UNREADABLE as error:
                raise RefusedError(f"scan: {error}") from error
            self.began = True
            self._encoding = encoding
        elif message.kind in (Kind.CONFIG_FILE, Kind.CONFIG_TEXT):
            self._configure(message.text)
        elif name := named(message.text):  # FIRE names a network in a text behind the header, too
            self._configure(name)

    def _configure(self, config: str) -> None:
        """Remember what network the client chooses; with the first line the choice is made."""
        self._config = config
        used = None if self._answers is None else self._answers.choice.name
        if used is not None and self._choices.choose(config).name != used:
            raise RefusedError(
                f"config {printable(config, 100)!r} came after lines of the scan, which "
                f"{used!r} reconstructs; send it before them, or on a connection of its own"
            )

    def _line(self, line: Line) -> None:
        if self._encoding is None:
            raise RefusedError("an acquisition came before the header of the scan")
        self._lines += 1
        check_size(line.head, self._encoding, self._settings.most_bytes)
        if self._answers is None or self._gathering is None:
            self._answers, self._gathering = self._chosen(self._encoding)
        for unit in self._gathering.add(line):
            self._submit(unit)
        early = self._gathering.early()
        if early is not None and self._worker.is_idle:
            trained = self._answers.choice.trained
            self._worker.put(partial(anticipate, early, trained, self._settings.device))
        while self._gathering.noticed:
            self._note(self._gathering.noticed.pop(), warns=True)

    def _chosen(self, encoding: Encoding) -> tuple[Answers, Gathering]:
        """Begin with the network that the client chose."""
        choice = self._choices.choose(self._config)
        choice = replace(choice, trained=remembering(choice.trained))
        estimate, settings = choice.trained.estimate, self._settings
        columns, rows, partitions = encoding.encoded.matrix
        centre = (
            estimate.used((rows, columns))[0] if estimate is not None and partitions == 1 else 0
        )
        gathering = Gathering(encoding, settings.by_volume, centre)
        return Answers(choice, encoding, settings.integers), gathering

    def _claim(self, size: int) -> None:
        held = self._bytes + (0 if self._gathering is None else self._gathering.held)
        if held + size > self._settings.most_bytes:
            gib = (held + size) / 2**30
            raise RefusedError(
                f"its lines that wait for the rest of their slices take {gib:.3g} GiB, above "
                f"limit_gib={self._settings.most_bytes / 2**30:.3g}"
            )

    def _submit(self, unit: Unit) -> None:
        """Hand a unit to the worker; waits while it has enough of this client."""
        with self._changed:
            while self._pending >= PENDING:
                self._changed.wait()
            self._pending += 1
            self._units += 1
            self._bytes += unit.size
        self._worker.put(partial(self._reconstruct, unit))

    def _reconstruct(self, unit: Unit) -> None:
        """Reconstruct a unit, in the worker's thread."""
        settings = self._settings
        try:
            if self._reason is None and not self._outbox.failed:
                assert self._answers is not None
                sinks = Sinks(self._send, self._note)
                reconstruct(unit, self._answers, settings.batch_size, settings.device, sinks)
                if self._answers.clipped:
                    self._note("values beyond int16 were cut; use values=float32", warns=True)
        except KdmriError as error:
            self._refuse(str(error))
        except LostError as error:
            self._lose(error)
        except Exception as error:  # whatever it sent, the next client is served
            self._refuse(f"internal error ({type(error).__name__}: {error})")
        finally:
            with self._changed:
                self._pending -= 1
                self._answered = time.monotonic()
                self._bytes -= unit.size
                self._changed.notify_all()

    def _wait(self) -> None:
        with self._changed:
            while self._pending:
                self._changed.wait()

    def _send(self, image: ismrmrd.Image) -> None:
        self._images += self._outbox.put(image)

    def _note(self, text: str, warns: bool) -> None:
        """Tell the client something about its scan, once."""
        if text not in self._told:
            self._told.add(text)
            self._outbox.put(f"{'WRN' if warns else 'DBG'} kdmri: {printable(text)}")

    def _refuse(self, text: str) -> None:
        """Tell the client why nothing more will come."""
        if self._reason is None:
            self._reason = f"refused: {printable(text)}"
            with suppress(LostError):
                self._outbox.put(f"ERR kdmri: {printable(text)}")
            self._outbox.close()

    def _lose(self, error: Exception) -> None:
        """Give up a client that is gone; nothing more is computed for it.

        One that only sends nothing more is told so, if it has begun a scan.
        """
        silent = isinstance(error, TimeoutError)
        reason = f"silent for {self._settings.timeout:g} s" if silent else str(error)
        if self._reason is None:
            self._reason = f"lost: {printable(reason)}"
            if self.began:
                with suppress(LostError):
                    self._outbox.put(f"ERR kdmri: {printable(reason)}")
                self._outbox.close()
                return
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def _drain(self) -> None:
        """Let the client read why it was refused before the connection closes.

        A socket that is closed with unread bytes resets the connection, and what was sent is lost.
        """
        self._outbox.join()
        until = time.monotonic() + self._settings.timeout
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
            while time.monotonic() < until and self._sock.recv(BUFFER):
                pass

    def _log(self, seconds: float) -> None:
        network = "no network" if self._answers is None else self._answers.choice.name
        outcome = self._reason or "done"
        if self._answers is None and self._reason is None:
            outcome = "closed without a scan"
        LOG.info(
            "%s: %s, %d images in %.2f s: %s", self._name, network, self._images, seconds, outcome
        )

"""What goes to a client, by a thread of its own: a client that does not read stops nobody else."""

import socket
import threading
from contextlib import suppress
from queue import SimpleQueue

import ismrmrd

from kdmri.serve.protocol import LostError, Writer

BUFFER = 2**16


class Outbox:
    """Sends messages in their order.

    Attributes:
        failed: whether the client is gone, or does not read.
    """

    def __init__(self, sock: socket.socket, most: int) -> None:
        """Start the thread.

        Args:
            sock: of the client.
            most: bytes of images that may wait.
        """
        self.failed = False
        self._sock, self._most = sock, most
        self._queue: SimpleQueue[ismrmrd.Image | str | None] = SimpleQueue()
        self._waiting, self._lock = 0, threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, item: ismrmrd.Image | str) -> bool:
        """Send an image or a text; nothing after `close`.

        Returns:
            Whether it was taken.

        Raises:
            LostError: the client does not read what was sent before.
        """
        with self._lock:
            if self._closed or self.failed:
                return False
            self._waiting += _size(item)
            if self._waiting <= self._most:
                self._queue.put(item)
                return True
        self._fail()
        raise LostError("it does not read its images")

    def close(self) -> None:
        """Send the message that closes, once; what was put before comes first."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.put(None)

    @property
    def is_empty(self) -> bool:
        """Whether all is sent, and nothing more will be."""
        return not self._thread.is_alive()

    def join(self) -> None:
        """Wait until all is sent, or cannot be."""
        self.close()
        self._thread.join()

    def _run(self) -> None:
        try:
            with self._sock.makefile("wb") as stream:
                writer = Writer(stream)
                while (item := self._queue.get()) is not None:
                    send = writer.text if isinstance(item, str) else writer.image
                    send(item)
                    with self._lock:
                        self._waiting -= _size(item)
                writer.close()
        except OSError:
            self._fail()

    def _fail(self) -> None:
        """Wake who reads from the client, which ends the session."""
        self.failed = True
        self._queue.put(None)
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)


def _size(item: ismrmrd.Image | str) -> int:
    return len(item) if isinstance(item, str) else int(item.data.nbytes)

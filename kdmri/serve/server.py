"""Listens for clients and gives each a session in a thread of its own."""

import logging
import socket
import threading
import time
from contextlib import suppress
from types import TracebackType

from kdmri.errors import ConfigurationError
from kdmri.serve.choices import Choices
from kdmri.serve.protocol import Writer
from kdmri.serve.session import Session, Settings
from kdmri.serve.worker import Worker

LOG = logging.getLogger("kdmri.serve")

LOOK = 0.2
"""Seconds between two looks at whether to stop."""

PATIENCE = 1.0
"""Seconds that a client waits for another to leave before it hears that there are too many."""


class Server:
    """A server that accepts clients from when it is made until `stop`.

    Attributes:
        address: that it listens on, host and port.
    """

    def __init__(
        self, choices: Choices, settings: Settings, host: str, port: int, clients: int
    ) -> None:
        """Listen.

        Args:
            choices: the networks.
            settings: how clients are served.
            host: name or address to listen on.
            port: to listen on; 0 takes a free one.
            clients: that are served at once; more are told to come later.

        Raises:
            ConfigurationError: the address cannot be listened on.
        """
        try:
            family, _, _, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            self._listener = socket.create_server(address[:2], family=family, backlog=128)
        except OSError as error:
            raise ConfigurationError(
                f"host={host} port={port}: cannot be listened on ({error.strerror or error}); "
                "choose another port"
            ) from error
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self._choices, self._settings, self._clients = choices, settings, clients
        self._worker = Worker()
        self._sessions: dict[Session, threading.Thread] = {}
        self._places = threading.Semaphore(clients)
        self._lock, self._stopping = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self) -> "Server":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self.join()

    def stop(self) -> None:
        """Accept nobody any more, and end the connections without a scan."""
        self._stopping.set()

    def join(self) -> None:
        """Wait until the scans that have begun are answered."""
        self._thread.join()
        while running := self._running():
            for session, thread in running.items():
                session.stop_if_idle()
                thread.join(LOOK)
        self._worker.join()

    def _accept(self) -> None:
        self._listener.settimeout(LOOK)
        with self._listener:
            while not self._stopping.is_set():
                try:
                    sock, peer = self._listener.accept()
                except TimeoutError:
                    continue
                except OSError as error:  # such as too many open files
                    LOG.warning("cannot accept a client: %s", error)
                    time.sleep(LOOK)
                    continue
                self._welcome(sock, f"{peer[0]}:{peer[1]}")

    def _welcome(self, sock: socket.socket, name: str) -> None:
        if not self._places.acquire(timeout=PATIENCE):
            LOG.info("%s: sent away, there are %d clients", name, self._clients)
            _send_away(sock, self._clients)
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        session = Session(sock, name, self._choices, self._settings, self._worker)
        thread = threading.Thread(target=self._serve, args=(session,), daemon=True)
        with self._lock:
            self._sessions[session] = thread
        thread.start()

    def _serve(self, session: Session) -> None:
        try:
            session.run()
        finally:
            with self._lock:
                del self._sessions[session]
            self._places.release()

    def _running(self) -> dict[Session, threading.Thread]:
        with self._lock:
            return dict(self._sessions)


def _send_away(sock: socket.socket, clients: int) -> None:
    with sock, suppress(OSError):
        sock.settimeout(PATIENCE)
        with sock.makefile("wb") as stream:
            writer = Writer(stream)
            writer.text(f"ERR kdmri: serves {clients} clients already; try again")
            writer.close()
        sock.shutdown(socket.SHUT_WR)

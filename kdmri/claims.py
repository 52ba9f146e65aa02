"""Claims on stage directories, so that two programs never train one stage at the same time."""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kdmri.console import console
from kdmri.errors import KdmriError, StageConflictError

CLAIM = "claim"
POLL_SECONDS = 0.5


@contextmanager
def claim(directory: Path, stage: str, wait: bool) -> Iterator[None]:
    """Hold a stage's directory for the length of a block.

    The claim is a lock of the operating system on a file there (flock; on NFS it needs the lock
    service, as is usual): it ends with the process that holds it, however that dies, so that none
    is ever stale. The file says who holds it.

    Args:
        directory: of the stage; it is made.
        stage: its name, for messages.
        wait: wait for another holder to end; else it is an error.

    Raises:
        StageConflictError: another process holds it and `wait` is False.
        KdmriError: the directory cannot be written.
    """
    path = directory / CLAIM
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    except OSError as error:
        raise KdmriError(f"{path}: cannot be written ({error.strerror})") from error
    with file:
        told = False
        while not _lock(file.fileno()):
            file.seek(0)
            holder = file.read().strip() or "another process"
            if not wait:
                raise StageConflictError(
                    f"{directory}: {holder} is training this stage; wait for it with wait=true, or "
                    "choose another name=..."
                )
            if not told:
                text = f"{stage}: waits for {holder}, which trains it in {directory}"
                console().print(text, highlight=False)
                told = True
            time.sleep(POLL_SECONDS)
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        try:
            yield
        finally:
            file.seek(0)
            file.truncate()


def is_claimed(directory: Path) -> bool:
    """Say whether some process is training the stage of a directory."""
    path = directory / CLAIM
    if not path.is_file():
        return False
    with path.open("a+") as file:
        return not _lock(file.fileno())


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

"""Claims on stage directories, so that two programs never train one stage at the same time."""

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kdmri.console import console
from kdmri.errors import KdmriError, StageConflictError

CLAIM = "claim"
HOLDER = "claim.holder"
POLL_SECONDS = 0.5
BEAT_SECONDS = 10.0
SILENT_SECONDS = 120.0
"""A holder on another machine that has not been heard for so long is dead."""


@contextmanager
def claim(directory: Path, stage: str, wait: bool) -> Iterator[None]:
    """Hold a stage's directory for the length of a block.

    Two things say that it is held. A lock of the operating system on `claim` ends with the process
    that holds it, however that dies. Some file systems of clusters keep such locks on one machine
    alone, or have none; so `claim.holder` names machine and process, is created as a whole or not
    at all, and is touched every few seconds. A holder on this machine whose lock is gone is dead at
    once, one on another machine when it has been silent for two minutes.

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
        description = False
        while not _taken(directory, file.fileno()):
            holder = _name(_holder(directory))
            if not wait:
                raise StageConflictError(
                    f"{directory}: {holder} is training this stage; wait for it with wait=true, or "
                    "choose another name=..."
                )
            if not description:
                text = f"{stage}: waits for {holder}, which trains it in {directory}"
                console().print(text, highlight=False)
                description = True
            time.sleep(POLL_SECONDS)
        ended = threading.Event()
        heart = threading.Thread(target=_beat, args=(directory, ended), daemon=True)
        heart.start()
        try:
            yield
        finally:
            ended.set()
            heart.join()
            if _is_mine(_holder(directory)):
                (directory / HOLDER).unlink(missing_ok=True)


def is_claimed(directory: Path) -> bool:
    """Say whether some process is training the stage of a directory."""
    path = directory / CLAIM
    if not path.is_file():
        return False
    with path.open("a+") as file:
        return not _lock(file.fileno()) or _lives(directory, _holder(directory))


def _taken(directory: Path, descriptor: int) -> bool:
    """Try to become the holder."""
    if not _lock(descriptor):
        return False
    path = directory / HOLDER
    found = _holder(directory)
    if found is not None:
        if _lives(directory, found):
            _unlock(descriptor)
            return False
        path.unlink(missing_ok=True)
    aside = directory / f".{HOLDER}.{socket.gethostname()}.{os.getpid()}"
    try:
        aside.write_text(json.dumps(_self()))
        try:
            os.link(aside, path)  # whole or not at all, also between machines
        except FileExistsError:
            _unlock(descriptor)
            return False
        except OSError:  # a file system without hard links
            aside.replace(path)
    except OSError as error:
        raise KdmriError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        aside.unlink(missing_ok=True)
    return True


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks; the holder's file alone decides
        return True
    return True


def _unlock(descriptor: int) -> None:
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _self() -> dict[str, Any]:
    return {"machine": socket.gethostname(), "process": os.getpid()}


def _is_mine(holder: dict[str, Any] | None) -> bool:
    return holder == _self()


def _holder(directory: Path) -> dict[str, Any] | None:
    """Who wrote that it holds the directory, None where nobody did; empty where it is damaged."""
    try:
        found = json.loads((directory / HOLDER).read_text())
    except OSError:
        return None
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _lives(directory: Path, holder: dict[str, Any] | None) -> bool:
    """Whether a holder lives whose lock this process could take."""
    if holder is None or holder.get("machine") == socket.gethostname():
        return holder is not None and not _locks(directory) and _runs(holder.get("process"))
    with suppress(OSError):
        # Both times are the file system's, whose clock may differ from this machine's.
        os.utime(directory / CLAIM)
        now = (directory / CLAIM).stat().st_mtime
        return now - (directory / HOLDER).stat().st_mtime < SILENT_SECONDS
    return False


def _locks(directory: Path) -> bool:
    """Whether the file system has locks, so that a lock that can be taken has no holder."""
    with (directory / CLAIM).open("a+") as file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True


def _runs(process: Any) -> bool:
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, TypeError, ValueError):
        return False
    except PermissionError:
        return True
    return True


def _beat(directory: Path, ended: threading.Event) -> None:
    """Touch the holder's file until the end; stop this process where another one took over."""
    while not ended.wait(BEAT_SECONDS):
        found = _holder(directory)
        if found and not _is_mine(found):
            text = f"error: {directory}: {_name(found)} has taken over this stage; it stops here"
            console(stderr=True).print(text, highlight=False)
            os._exit(2)
        with suppress(OSError):  # tried again at the next beat
            os.utime(directory / HOLDER)


def _name(holder: dict[str, Any] | None) -> str:
    if not holder:
        return "another process"
    return f"process {holder.get('process')} on {holder.get('machine')}"

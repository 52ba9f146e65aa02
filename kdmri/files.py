"""Files that are either whole or not there, and what tells them apart."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from kdmri.errors import KdmriError


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, which is read in pieces: it may be large."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that is renamed to it when the block ends well.

    Args:
        path: the file to write; its directory is made.

    Raises:
        KdmriError: the directory or the file cannot be written.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        aside.replace(path)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise KdmriError(f"{path}: cannot be written ({reason})") from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


@contextmanager
def folder_written_aside(path: Path) -> Iterator[Path]:
    """Yield a new folder beside `path` that takes its place when the block ends well.

    Args:
        path: the folder to write; what is there is replaced.

    Raises:
        KdmriError: it cannot be written.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    before = aside.with_name(f"{aside.name}.before")
    try:
        shutil.rmtree(aside, ignore_errors=True)  # of a killed process of this number
        aside.mkdir(parents=True)
        yield aside
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.exists():
            path.replace(before)  # a folder cannot be renamed over another one
        aside.replace(path)
    except OSError as error:
        if before.exists() and not path.exists():
            before.replace(path)
        reason = os.strerror(error.errno) if error.errno else error
        raise KdmriError(f"{path}: cannot be written ({reason})") from error
    finally:
        for leftover in (aside, before):
            shutil.rmtree(leftover, ignore_errors=True)


def reserve(file: IO[bytes], size: int) -> None:
    """Take the room of a file that is to be mapped into memory.

    Where a map finds no room for what is written to it, the system ends the process (SIGBUS).

    Args:
        file: open for writing.
        size: bytes from its start.

    Raises:
        OSError: there is not as much room.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, max(size, 1))
    else:  # such as macOS
        file.truncate(size)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def clear_half_written(directory: Path) -> None:
    """Remove what killed processes left of `written_aside`, where nobody is writing now."""
    for path in directory.glob(".*"):
        if path.suffix[1:].isdigit() and path.is_file():
            path.unlink(missing_ok=True)

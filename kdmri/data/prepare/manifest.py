"""What was made from what: `manifest.json` beside the splits of a prepared data set."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kdmri.errors import DataError
from kdmri.files import write_text

NAME = "manifest.json"
BLOCK = 2**20


@dataclass(frozen=True)
class Entry:
    """One written volume.

    Attributes:
        file: h5 file relative to the data set's folder.
        sources: source files relative to the source, see `fingerprint`.
        subject: pseudonym.
        shape: (H, W, S).
        scale: what the source's values were divided by.
        spacing: distances in mm between rows, columns and slices, or None.
        split: "train", "validation" or "test".
        notes: what the user should know of it, sentences.
    """

    file: str
    sources: list[dict[str, Any]]
    subject: str
    shape: list[int]
    scale: float
    spacing: list[float] | None
    split: str
    notes: list[str] = field(default_factory=list)


@dataclass
class Manifest:
    """The record of a prepared data set.

    Attributes:
        folder: of the data set.
        settings: all options that the files depend on.
        entries: by volume name.
    """

    folder: Path
    settings: dict[str, Any]
    entries: dict[str, Entry] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, settings: dict[str, Any]) -> "Manifest":
        """Begin a data set, or go on with one.

        Raises:
            DataError: the folder holds other data, or was prepared with other settings.
        """
        path = folder / NAME
        if not path.is_file():
            if folder.is_dir() and any(not p.name.startswith(".") for p in folder.iterdir()):
                raise DataError(
                    f"{folder}: holds other data (there is no {NAME}); choose another name=... or "
                    "move it away"
                )
            return cls(folder, settings)
        try:
            stored = json.loads(path.read_text())
            entries = {name: Entry(**entry) for name, entry in stored["volumes"].items()}
            found = stored["settings"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: damaged ({error}); move the folder away") from error
        if found != settings:
            keys = [k for k in {**found, **settings} if found.get(k) != settings.get(k)]
            told = ", ".join(f"{k} was {found.get(k)}, now {settings.get(k)}" for k in keys)
            raise DataError(
                f"{folder}: was prepared with other settings: {told}; choose another name=... or "
                "move it away"
            )
        return cls(folder, settings, entries)

    @property
    def splits(self) -> dict[str, str]:
        """Split by pseudonym of the subjects that are there."""
        return {entry.subject: entry.split for entry in self.entries.values()}

    def holds(self, name: str, files: Sequence[Path]) -> bool:
        """Whether a volume is there, made from these source files as they are now."""
        entry = self.entries.get(name)
        if entry is None or not (self.folder / entry.file).is_file():
            return False
        try:
            pairs = zip(entry.sources, files, strict=True)
            return all(_unchanged(recorded, file) for recorded, file in pairs)
        except (OSError, ValueError):  # one is gone, or there are more or fewer of them
            return False

    def add(self, name: str, entry: Entry) -> None:
        """Record a volume that lies in its place; the file on disk is whole at any moment."""
        self.entries[name] = entry
        ordered = {key: asdict(self.entries[key]) for key in sorted(self.entries)}
        record = {"kdmri": version("kdmri"), "settings": self.settings, "volumes": ordered}
        write_text(self.folder / NAME, json.dumps(record, indent=1))


def fingerprint(path: Path, source: Path) -> dict[str, Any]:
    """Describe a source file by its place below the source, size, time of change and SHA-256."""
    place = path.relative_to(source) if path.is_relative_to(source) else Path(path.name)
    now = path.stat()
    return {
        "file": str(place),
        "bytes": now.st_size,
        "modified_ns": now.st_mtime_ns,
        "sha256": _digest(path),
    }


def _unchanged(recorded: dict[str, Any], path: Path) -> bool:
    """Compare a file with its fingerprint; it is read where its time of change is another."""
    now = path.stat()
    if recorded["bytes"] != now.st_size:
        return False
    return recorded.get("modified_ns") == now.st_mtime_ns or recorded["sha256"] == _digest(path)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()

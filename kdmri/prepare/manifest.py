"""What was made from what: `manifest.json` beside the splits of a prepared data set."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

from kdmri.data.readers.base import SourceVolume
from kdmri.data.readers.naming import pseudonym
from kdmri.data.readers.who import NAMED, Found, shown
from kdmri.errors import DataError
from kdmri.files import write_text

NAME = "manifest.json"
BLOCK = 2**20

RULES = 3
"""Number of the rules by which volumes are judged and read; a change that refuses or reads a scan
otherwise raises it, so that volumes of before are made anew."""


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
        nan: share of the source's values that were NaN and are 0 here.
        affine: rows of the (4, 4) that takes (row, column, slice, 1) to RAS+ mm; None where it is
            unknown, and in manifests of earlier versions.
        notes: what the user should know of it, sentences.
        rules: `RULES` of the version that wrote it; manifests of earlier versions have none.
        coils: how many were `acquired` and are `virtual` now, and the share of `energy` that these
            keep; None where they were not compressed.
    """

    file: str
    sources: list[dict[str, Any]]
    subject: str
    shape: list[int]
    scale: float
    spacing: list[float] | None
    split: str
    nan: float = 0.0
    affine: list[list[float]] | None = None
    notes: list[str] = field(default_factory=list)
    rules: int = 1
    coils: dict[str, float] | None = None


@dataclass
class Manifest:
    """The record of a prepared data set.

    Attributes:
        folder: of the data set.
        settings: all options that the files depend on.
        entries: by volume name.
        subjects: what told them (`rule`), and their names by split.
    """

    folder: Path
    settings: dict[str, Any]
    entries: dict[str, Entry] = field(default_factory=dict)
    subjects: dict[str, Any] = field(default_factory=dict)

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
            found = {"subjects": None, **stored["settings"]}  # earlier versions had no choice
            subjects = dict(stored.get("subjects", {}))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: damaged ({error}); move the folder away") from error
        if found != settings:
            keys = [k for k in {**found, **settings} if found.get(k) != settings.get(k)]
            description = ", ".join(f"{k} was {found.get(k)}, now {settings.get(k)}" for k in keys)
            raise DataError(
                f"{folder}: was prepared with other settings: {description}; choose another "
                "name=... or move it away"
            )
        return cls(folder, settings, entries, subjects)

    def known(self, found: Found, source: Path) -> dict[str, str]:
        """Return the split by pseudonym of the subjects that are there.

        Args:
            found: volumes and subjects as they are now, which need not be as they were then.
            source: of the data set.

        Raises:
            DataError: one subject has volumes in two splits, or a label map is there as a volume.
        """
        splits = {entry.subject: entry.split for entry in self.entries.values()}
        now: dict[str, str] = {}
        by_name = {volume.name: volume for volume in found.volumes}
        by_file = {place(path, source): v for v in found.volumes for path in v.files}
        for name, entry in self.entries.items():
            volume = by_name.get(name) or by_file.get(entry.sources[0]["file"])
            if volume is None:
                continue
            subject = pseudonym(volume.subject)
            split = now.setdefault(subject, splits.get(subject, entry.split))
            if entry.split != split:
                told_twice = f"`{split}` and `{entry.split}`"
                raise DataError(self._mixed(f"{shown(volume, source)} has volumes in {told_twice}"))
        prepared = {s["file"] for entry in self.entries.values() for s in entry.sources}
        for path in chain.from_iterable(found.left_out.values()):
            name = place(path, source)
            if name in prepared:
                raise DataError(self._mixed(f"{name} is among its volumes, no image by its name"))
        return splits | now

    def _mixed(self, reason: str) -> str:
        return (
            f"{self.folder}: was prepared when subjects were told otherwise: {reason}; choose "
            "another name=... or move it away"
        )

    def changes(self, volumes: Sequence[SourceVolume]) -> list[str]:
        """Say in sentences what is there of earlier versions and of names that are gone."""
        names = {volume.name for volume in volumes}
        there = {n: e for n, e in self.entries.items() if (self.folder / e.file).is_file()}
        old = [n for n, entry in there.items() if n in names and entry.rules != RULES]
        gone = [there[n].file for n in sorted(there.keys() - names)]
        sentences = []
        if old:
            sentences.append(
                f"{self.folder}: {len(old)} volume(s) were judged by the rules of an earlier "
                "version, and are made anew"
            )
        if gone:
            more = f" and {len(gone) - NAMED} more" if len(gone) > NAMED else ""
            sentences.append(
                f"{self.folder}: {len(gone)} volume(s) are none of the source now, and stay: "
                f"{', '.join(gone[:NAMED])}{more}; delete their files unless they are wanted"
            )
        return sentences

    def earlier(self, name: str) -> Path | None:
        """Return the h5 file that an earlier run made of a volume, None where there is none."""
        entry = self.entries.get(name)
        path = None if entry is None else self.folder / entry.file
        return path if path and path.is_file() else None

    def holds(self, volume: SourceVolume) -> bool:
        """Whether a volume is there, of its subject, made from its files as they are now.

        One that was judged by the rules of another version is not.
        """
        entry = self.entries.get(volume.name)
        if entry is None or self.earlier(volume.name) is None:
            return False
        if entry.subject != pseudonym(volume.subject) or entry.rules != RULES:
            return False
        try:
            pairs = zip(entry.sources, volume.files, strict=True)
            return all(_unchanged(recorded, file) for recorded, file in pairs)
        except (OSError, ValueError):  # one is gone, or there are more or fewer of them
            return False

    def record(self, rule: str, subjects: dict[str, list[str]]) -> None:
        """Note who is in which split; on the disk with the next volume, or at once if some are."""
        found = {"rule": rule, **subjects}
        if found != self.subjects:
            self.subjects = found
            if self.entries:
                self._write()

    def add(self, name: str, entry: Entry) -> None:
        """Record a volume that lies in its place; the file on disk is whole at any moment."""
        self.entries[name] = entry
        self._write()

    def _write(self) -> None:
        ordered = {key: asdict(self.entries[key]) for key in sorted(self.entries)}
        record = {
            "kdmri": version("kdmri"),
            "settings": self.settings,
            "subjects": self.subjects,
            "volumes": ordered,
        }
        write_text(self.folder / NAME, json.dumps(record, indent=1))


def fingerprint(path: Path, source: Path) -> dict[str, Any]:
    """Describe a source file by its place below the source, size, time of change and SHA-256."""
    now = path.stat()
    return {
        "file": place(path, source),
        "bytes": now.st_size,
        "modified_ns": now.st_mtime_ns,
        "sha256": _digest(path),
    }


def place(path: Path, source: Path) -> str:
    """Name a source file by its place below the source."""
    return str(path.relative_to(source) if path.is_relative_to(source) else Path(path.name))


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

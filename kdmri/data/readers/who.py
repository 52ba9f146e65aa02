"""Who is a subject: by the user's option, by the format, else by names; label maps are left out."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from pathlib import Path

from kdmri.data.readers.base import UNKNOWN, Reader, SourceVolume
from kdmri.data.readers.naming import pseudonym, split_of_folder
from kdmri.data.readers.people import people, person_of_name, why_no_image
from kdmri.data.readers.slices import volumes_of
from kdmri.errors import ConfigurationError, DataError

NAMED = 3
"""So many files that are left out are named; the others are counted."""

PSEUDONYM = re.compile(r"subject-[0-9a-f]{8}")

Volumes = list[SourceVolume]
LeftOut = dict[str, list[Path]]
"""Files that are no images to learn from, by what their names say."""


@dataclass(frozen=True)
class Found:
    """The subjects of a source.

    Attributes:
        volumes: all that are images, each with its subject.
        rule: what told the subjects.
        left_out: files that their names tell to be none.
        notes: what the user should look at, in sentences.
    """

    volumes: Volumes
    rule: str
    left_out: LeftOut
    notes: list[str]


def find_subjects(reader: Reader, source: Path, option: str | None) -> Found:
    """List the volumes of a source, label maps and masks left out, and tell whose they are.

    Args:
        reader: finds the volumes.
        source: directory or file of the data set.
        option: None for what format and names say, "folder", "name", "study", or a regular
            expression for the path below the source, whose group, or else whose match, is the
            subject.

    Raises:
        ConfigurationError: the option is none that can be, or not for this format.
        DataError: there are no images; names do not tell subjects, or the option does not.
    """
    check_option(option)
    of_format = is_dataclass(reader) and any(f.name == "subjects" for f in fields(reader))
    if of_format:
        reader = replace(reader, subjects=option)  # type: ignore[type-var]
    elif option == "study":
        raise ConfigurationError("subjects=study: only DICOM files tell of studies")
    volumes, left_out = images(reader, source)
    if option is not None:
        rule = f"subjects={option}"
        if not of_format:
            volumes = _by_option(volumes, source, option)
        return Found(volumes, rule, left_out, [])
    rules = [reader.subjects_by] if any(v.subject for v in volumes) else []
    unnamed = [volume for volume in volumes if not volume.subject]
    named = people([_place(v, source) for v in unnamed], _alone(source))
    rules += dict.fromkeys(person.rule for person in named)
    persons = iter(named)
    named_volumes = [v if v.subject else replace(v, subject=next(persons).subject) for v in volumes]
    return Found(named_volumes, "; ".join(rules), left_out, _shared(named_volumes, source))


def images(reader: Reader, source: Path) -> tuple[Volumes, LeftOut]:
    """List the volumes of a source, and the files whose names say that they are no images.

    Names do not count for a source that is itself a file, nor for k-space, which is no label map.

    Raises:
        DataError: nothing is left.
    """
    volumes: Volumes = []
    left_out: LeftOut = defaultdict(list)
    for volume in volumes_of(reader, source):
        told = volume.subject or source.is_file() or reader.holds_kspace(volume)
        why = None if told else why_no_image(_place(volume, source))
        if why is None:
            volumes.append(volume)
        elif left_out[why][-1:] != [volume.files[0]]:  # once for all time points
            left_out[why].append(volume.files[0])
    if left_out and not volumes:
        raise DataError(f"{source}: holds no images, by their names: {describe(left_out, source)}")
    if not volumes:
        raise DataError(f"{source}: holds nothing that {reader} can read")
    return volumes, dict(left_out)


def describe(left_out: LeftOut, source: Path) -> str:
    """Name the files that were left out, in a line."""
    parts = []
    for why, files in left_out.items():
        shown = ", ".join(str(_below(path, source)) for path in files[:NAMED])
        more = f" and {len(files) - NAMED} more" if len(files) > NAMED else ""
        parts.append(f"{why}: {len(files)} ({shown}{more})")
    return ", ".join(parts)


def shown(volume: SourceVolume, source: Path) -> str:
    """Name a subject as its files do, one that only their contents name by its pseudonym."""
    place = f"{_alone(source)}/{_below(volume.files[0], source).as_posix()}"
    if PSEUDONYM.fullmatch(volume.subject) or volume.subject.replace("_", "/") in place.replace(
        "_", "/"
    ):
        return volume.subject
    return pseudonym(volume.subject)


def check_option(option: str | None) -> None:
    """Raise ConfigurationError unless an option is a choice or a usable regular expression."""
    if option not in (None, "folder", "name", "study"):
        _pattern(option)


def by_option(option: str | None, path: Path, source: Path, study: str) -> str | None:
    """Tell the subject of a file of a format that tells of studies, None without an option.

    Args:
        option: as for `find_subjects`; "name" is none, since such files are named by image.
        path: the file.
        source: of the data set.
        study: its identifier.
    """
    if option == "name":
        raise ConfigurationError(
            "subjects=name: files of this format are images, not persons; give folder, study or a "
            "pattern"
        )
    if option == "study" and not study:
        raise DataError(f"{path}: subjects=study: has no StudyInstanceUID")
    if option is None or option == "study":
        return study if option else None
    return _of_path(option, _below(path, source))


@cache
def _pattern(option: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(option)
    except re.error as error:
        raise ConfigurationError(
            f"subjects={option}: is neither null, folder, name or study nor a regular expression "
            f"({error})"
        ) from error
    if pattern.groups > 1:
        raise ConfigurationError(
            f"subjects={option}: has {pattern.groups} groups; one is the subject, make others (?:)"
        )
    return pattern


def _of_path(option: str, below: Path) -> str:
    """Tell the subject by folder or pattern from a path below the source."""
    if option == "folder":
        for folder in below.parts[:-1]:
            if split_of_folder(folder) is None:
                return folder
        raise DataError(f"{below}: subjects=folder: lies in no folder below the source")
    match = _pattern(option).search(below.as_posix())
    subject = match[match.re.groups] if match else None
    if not subject:
        raise DataError(
            f"{below}: subjects={option}: does not match its path below the source; give a pattern "
            "that matches every file"
        )
    return subject


def _by_option(volumes: Volumes, source: Path, option: str) -> Volumes:
    places = [_place(volume, source) for volume in volumes]
    if option == "name":
        subjects = [person_of_name(place, places) for place in places]
    else:
        subjects = [_of_path(option, _below(volume.files[0], source)) for volume in volumes]
    return [
        replace(volume, subject=subject) for volume, subject in zip(volumes, subjects, strict=True)
    ]


def _below(path: Path, source: Path) -> Path:
    # A source that is one file may have others beside it, as the knee's k-space and its maps.
    return path.relative_to(source) if source.is_dir() else Path(path.name)


def _place(volume: SourceVolume, source: Path) -> Path:
    """Return the first file of a volume relative to the source, without ending."""
    below = _below(volume.files[0], source)
    return below.with_name(below.name.removesuffix(".gz").rpartition(".")[0] or below.name)


def _alone(source: Path) -> str:
    """Name who is scanned in files that lie in no folder and whose names say nothing."""
    name = source.resolve().name
    return name if source.is_dir() else name.partition(".")[0]


def _shared(volumes: Sequence[SourceVolume], source: Path) -> list[str]:
    """Say where one identifier seems to stand for several people."""
    studies: dict[str, set[str]] = defaultdict(set)
    folders: dict[str, set[str]] = defaultdict(set)
    owners: dict[str, set[str]] = defaultdict(set)
    for volume in volumes:
        if not volume.study or volume.subject == UNKNOWN:
            continue
        studies[volume.subject].add(volume.study)
        for path in volume.files:
            for folder in _below(path, source).parts[:-1][:1]:
                folders[volume.subject].add(folder)
                owners[folder].add(volume.subject)
    alone = len(studies) == 1
    notes = []
    for subject, found in studies.items():
        own = [folder for folder in folders[subject] if len(owners[folder]) == 1]
        if len(own) > 1 or (alone and len(found) > 1):
            whose = "all files share one PatientID" if alone else f"{subject} is one PatientID"
            notes.append(
                f"{whose}, in {len(found)} studies and {len(folders[subject])} folders; if several "
                "people stand behind it, give subjects=folder or subjects=study"
            )
    return notes

"""What the place of a source file says: order, volume name, split; and who is to blame."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kdmri.errors import DataError

UNREADABLE = (OSError, ValueError, LookupError, EOFError, RuntimeError, OverflowError)
"""What libraries raise for files that are damaged or of another kind."""

_SPLIT_FOLDER = re.compile(
    r"(?:.*_)?(train|training|val|validation|test|testing)(?:_(?:full|v\d+|batch_\d+))?"
    r"|(imagestr|imagests|imagesval)"
)
_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
    "imagestr": "train",
    "imagesval": "validation",
    "imagests": "test",
}


def natural(path: Path) -> tuple[list[str | int], str]:
    """Return a sort key that puts numbers in order: 2 before 10, in folder and file names."""
    text = path.as_posix()
    parts = re.split(r"(\d+)", text)
    return [int(part) if n % 2 else part for n, part in enumerate(parts)], text


def find(source: Path, endings: tuple[str, ...], expected: str) -> list[Path]:
    """List files below a directory in natural order, or the one file given.

    Args:
        source: directory or file.
        endings: such as (".h5",), in lower case.
        expected: what should be there, for the error.

    Raises:
        DataError: there is none.
    """
    candidates = [source] if source.is_file() else source.rglob("*")
    found = [path for path in candidates if path.suffix.lower() in endings and path.is_file()]
    if not found:
        raise DataError(f"{source}: found no {expected}")
    return sorted(found, key=natural)


def split_of(path: Path, source: Path) -> str | None:
    """Tell a file's split from its folders, the innermost that says one.

    Known are train, training, val, validation, test and testing, alone or behind an underscore as
    in fastMRI's `singlecoil_train` and `knee_multicoil_val_batch_0`.

    Args:
        path: the file.
        source: the data set; its own name counts, folders above it do not.

    Returns:
        "train", "validation", "test" or None.
    """
    for name in reversed(_folders(path, source)):
        split = split_of_folder(name)
        if split is not None:
            return split
    return None


def split_of_folder(folder: str) -> str | None:
    """Tell the split that a folder's name says, None where it says none."""
    match = _SPLIT_FOLDER.fullmatch(folder.lower())
    return _SPLITS[match[1] or match[2]] if match else None


def name_of(path: Path, source: Path) -> str:
    """Name a volume by its place below the source: `train_p7_scan` for train/p7/scan.npy."""
    return "_".join([*_folders(path, source)[1:], path.stem])


def pseudonym(subject: str) -> str:
    """Name a subject so that the source's name cannot be read from it.

    Who knows all names that are possible, such as numbers of patients, can try which one it is.
    """
    return f"subject-{hashlib.sha256(subject.encode()).hexdigest()[:8]}"


@contextmanager
def blaming(path: Path, *also: type[Exception]) -> Iterator[None]:
    """Turn errors of reading a file into a DataError that names it.

    Args:
        path: the file.
        also: errors beyond `UNREADABLE` that its library raises.
    """
    errors: tuple[type[Exception], ...] = (*UNREADABLE, *also)
    try:
        yield
    except errors as error:
        raise DataError(f"{path}: {' '.join(str(error).split())}") from error


def _folders(path: Path, source: Path) -> tuple[str, ...]:
    """Return the folder of the data set, then those between it and the file."""
    root = source.parent if path == source else source
    return (root.resolve().name, *path.relative_to(root).parent.parts)

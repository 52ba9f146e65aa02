"""Which files train, which select the best weights and which are reported."""

from dataclasses import dataclass
from pathlib import Path

from kdmri.data.layout import Volume, inspect, subject, told_subject
from kdmri.errors import ConfigurationError, DataError

SHARED = "shared"


@dataclass(frozen=True)
class Splits:
    """Files of the three splits of a data set.

    Attributes:
        files: by split ("train", "selection", "evaluation"), numbered files first.
        stored: acceleration whose undersampled copies the files carry, None where simulated.
        note: what a report has to say about the splits.
    """

    files: dict[str, list[Path]]
    stored: str | None
    note: str

    def inspect(self, split: str, channels: int) -> list[Volume]:
        """Describe the files of a split; raises DataError where one cannot be used."""
        return [inspect(path, channels, self.stored) for path in self.files[split]]


def find_splits(
    folder: Path,
    selection: float | str | list[str] | None,
    acceleration: str | None,
    stored: str | None,
) -> Splits:
    """Find the files of a data set.

    Args:
        folder: holds `train`, `validation` and, in the project's own layout, `test`; in the layout
            of the original project the files lie one level deeper in `acc_{acceleration}`.
        selection: used where there is no `test` folder, so that `validation` is what gets reported:
            a share of the training files (the last ones, subjects whole), a list of file names
            without ending, or "shared", which selects on the reported files. None chooses the
            `validation` folder and needs `test`.
        acceleration: such as "4x".
        stored: the acceleration again if undersampled copies are to be read, else None.

    Raises:
        DataError: a folder is missing or empty, or a subject is in two splits.
        ConfigurationError: `selection` does not fit the files.
    """
    if not folder.is_dir():
        raise DataError(
            f"{folder}: there is no such data set; put its h5 files into {folder}/train and "
            f"{folder}/validation, or set paths.datasets to the directory that holds it"
        )
    train, copies = _files(folder / "train", acceleration)
    validation, _ = _files(folder / "validation", acceleration)
    stored = stored if copies else None
    if (folder / "test").is_dir():
        test, _ = _files(folder / "test", acceleration)
        files = {"train": train, "selection": validation, "evaluation": test}
        _check_apart(files)
        return Splits(files, stored, "weights selected on `validation`, figures from `test`")
    if selection == SHARED:
        _check_apart({"train": train, "evaluation": validation})
        files = {"train": train, "selection": validation, "evaluation": validation}
        note = "selection and evaluation share the files of `validation`: figures are optimistic"
        return Splits(files, stored, note)
    chosen = _carve(train, selection, folder)
    taken = set(chosen)
    files = {
        "train": [path for path in train if path not in taken],
        "selection": chosen,
        "evaluation": validation,
    }
    _check_apart(files)
    note = f"weights selected on {len(chosen)} of the training files, figures from `validation`"
    return Splits(files, stored, note)


def _files(folder: Path, acceleration: str | None) -> tuple[list[Path], bool]:
    """List the h5 files of a split, and whether they lie in a folder of undersampled copies."""
    copies = folder / f"acc_{acceleration}"
    if copies.is_dir():
        folder = copies
    paths = sorted(folder.glob("*.h5"), key=_numbers_first)
    if not paths:
        raise DataError(f"{folder}: no h5 files here (expected such as {folder / '1.h5'})")
    return paths, folder is copies


def _numbers_first(path: Path) -> tuple[int, int, str]:
    """Order numbered files by their number, before all others by their name.

    That is `natural` for numbered files alone; for others it is not, and stays, since the training
    order of a seed, the last files and the numbers of volumes in `slices.csv` follow from it.
    """
    return (0, int(path.stem), "") if path.stem.isdecimal() else (1, 0, path.stem)


def _last_subjects(train: list[Path], count: int) -> list[Path]:
    """Take the last files, `count` or a few more so that no subject is on both sides."""
    of_subject: dict[str, list[Path]] = {}
    subjects = {path: subject(path) or path.name for path in train}
    for path, name in subjects.items():
        of_subject.setdefault(name, []).append(path)
    chosen: set[Path] = set()
    for path in reversed(train):
        if len(chosen) >= count:
            break
        chosen.update(of_subject[subjects[path]])
    return [path for path in train if path in chosen]


def _check_apart(files: dict[str, list[Path]]) -> None:
    """See that no subject that files tell of is in two splits."""
    seen: dict[str, tuple[str, Path]] = {}
    for split, paths in files.items():
        for path in paths:
            name = told_subject(path)
            if name is None:
                continue
            first, other = seen.setdefault(name, (split, path))
            if first != split:
                raise DataError(
                    f"{path}: shows the subject of {other}, so {first} and {split} are not apart; "
                    "move one of them away"
                )


def _check_subjects(chosen: list[Path], rest: list[Path], selection: list[str]) -> None:
    """See that nobody is on both sides."""
    of_rest = {subject(path): path for path in rest}
    for path in chosen:
        name = subject(path)
        if name is not None and name in of_rest:
            raise ConfigurationError(
                f"dataset.selection={selection}: {of_rest[name]} shows the subject of {path.name}, "
                "and would train; name all files of a subject, or none"
            )


def _carve(
    train: list[Path], selection: float | str | list[str] | None, folder: Path
) -> list[Path]:
    names = {path.stem for path in train}
    match selection:
        case float() if 0 < selection < 1:
            chosen = _last_subjects(train, max(1, round(selection * len(train))))
        case list():
            unknown = [str(name) for name in selection if str(name) not in names]
            if unknown:
                raise ConfigurationError(
                    f"dataset.selection={selection}: {unknown[0]}.h5 is not in {train[0].parent}"
                )
            named = set(map(str, selection))
            chosen = [path for path in train if path.stem in named]
            rest = [path for path in train if path.stem not in named]
            _check_subjects(chosen, rest, selection)
        case _:
            raise ConfigurationError(
                f"dataset.selection={selection}: {folder} has no `test` folder, so give a share of "
                'the training files (0 to 1), a list of file names, or "shared"'
            )
    if not chosen or len(chosen) == len(train):
        raise ConfigurationError(
            f"dataset.selection={selection}: takes {len(chosen)} of {len(train)} training files; "
            "leave at least one for each, or use dataset.selection=shared"
        )
    return chosen

"""Prepares a whole data set: what is missing, in parallel, safe against being cut off."""

import multiprocessing
from collections.abc import Callable, Generator, Iterator, Mapping, Set
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kdmri.data.attributes import AFFINE, SPACING
from kdmri.data.layout import SUBJECT, inspect, read_volume, reading
from kdmri.data.masks import MaskRule
from kdmri.data.readers.base import Reader, SourceSlice, SourceVolume
from kdmri.data.readers.naming import blaming, natural
from kdmri.data.readers.slices import check_names
from kdmri.data.readers.who import Found, find_subjects, shown
from kdmri.data.undersampled_copies import write_undersampled
from kdmri.errors import ConfigurationError, DataError, KdmriError
from kdmri.files import written_aside
from kdmri.prepare.manifest import Entry, Manifest
from kdmri.prepare.subjects import SPLITS, assign
from kdmri.prepare.writing import Form, write_prepared

FACTS = (SUBJECT, SPACING, AFFINE)
"""Attributes that undersampled copies keep."""


@dataclass(frozen=True)
class Preparation:
    """What is made of a source.

    Attributes:
        reader: finds the volumes.
        source: directory or file that the data set's owner ships.
        folder: data set to write, such as `datasets/cardiac`.
        form: size and simulation.
        ratios: share of the subjects for each split; None keeps the owner's split if there is one.
        seed: of the split.
        subjects: who is a subject, see `kdmri.data.readers.who.find_subjects`.
        processes: volumes are written in so many processes; 0, which no command takes: in this one,
            which a library that crashes would end.
        strict: stop at the first file that cannot be used, instead of leaving it out.
    """

    reader: Reader
    source: Path
    folder: Path
    form: Form
    ratios: Mapping[str, float] | None
    seed: int
    processes: int
    strict: bool
    subjects: str | None = None

    def settings(self) -> dict[str, Any]:
        """All that the written files depend on, as plain values."""
        return {
            **_later_options(self.reader),
            **({} if self.form.coils is None else {"coils": self.form.coils}),
            "reader": repr(self.reader),
            "image_size": None if self.form.image_size is None else list(self.form.image_size),
            "simulation": repr(self.form.simulation),
            "ratios": None if self.ratios is None else dict(self.ratios),
            "seed": self.seed,
            "subjects": self.subjects,
        }


def _later_options(reader: Reader) -> dict[str, Any]:
    """Return options that readers got later, where they matter: data sets from before have none."""
    nan, keep_coils = (getattr(reader, key, None) for key in ("nan", "keep_coils"))
    return {
        **({"format.nan": nan} if nan not in (None, "refuse") else {}),
        # Earlier versions cropped the images of coils.
        **({"format.keep_coils": "on the acquired grid"} if keep_coils else {}),
    }


@dataclass
class Outcome:
    """How a volume fared.

    Attributes:
        name: of the volume.
        entry: what was written; None where it failed.
        error: why it failed.
        known: whether it was there before.
    """

    name: str
    entry: Entry | None = None
    error: str = ""
    known: bool = False
    slices: int = field(init=False)

    def __post_init__(self) -> None:
        self.slices = self.entry.shape[2] if self.entry else 0


@dataclass(frozen=True)
class Plan:
    """What will be written.

    Attributes:
        preparation: what is made of the source.
        found: the volumes and their subjects.
        splits: split by subject.
        manifest: of what is there.
    """

    preparation: Preparation
    found: Found
    splits: Mapping[str, str]
    manifest: Manifest

    def subjects(self) -> dict[str, list[str]]:
        """Name the subjects of each split; whom only the files' contents name, by pseudonym."""
        source = self.preparation.source
        names = {v.subject: shown(v, source) for v in reversed(self.found.volumes)}
        return {
            split: sorted(
                (names[subject] for subject, chosen in self.splits.items() if chosen == split),
                key=lambda name: natural(Path(name)),
            )
            for split in SPLITS
        }


def plan(preparation: Preparation) -> Plan:
    """Find the volumes, tell their subjects and give each subject its split; nothing is written.

    Raises:
        DataError: the source has nothing of the format, names do not tell subjects, or the folder
            holds other data.
        ConfigurationError: there are too few subjects for the ratios, or `subjects` cannot be used.
    """
    found = find_volumes(preparation)
    manifest = Manifest.open(preparation.folder, preparation.settings())
    try:
        known = manifest.known(found, preparation.source)
        splits = assign(found.volumes, preparation.ratios, preparation.seed, known)
    except ConfigurationError as error:
        hints = [f"subjects found by {found.rule}", *found.notes]
        raise ConfigurationError("; ".join([str(error), *hints])) from None
    return Plan(preparation, found, splits, manifest)


def write(plan: Plan) -> Iterator[Outcome]:
    """Write what is missing, and give outcomes as volumes end.

    Raises:
        DataError: with `strict`, for the first file that cannot be used.
        KdmriError: nothing can be written, or a process dies.
    """
    plan.manifest.record(plan.found.rule, plan.subjects())
    there = 0
    try:
        for outcome in _outcomes(plan.preparation, plan.found.volumes, plan.splits, plan.manifest):
            there += outcome.entry is not None
            yield outcome
    except BrokenProcessPool as error:
        raise KdmriError(
            f"{plan.preparation.folder}: a process that writes volumes was ended from outside, or "
            f"crashed; memory may be short, and processes=1 needs least. {there} of "
            f"{len(plan.found.volumes)} volumes are there; the same command goes on with the others"
        ) from error


def find_volumes(preparation: Preparation) -> Found:
    """List the volumes and whose they are.

    Raises:
        DataError: two have one name, there are none, or it cannot be told whose they are.
    """
    if not preparation.source.exists():
        raise DataError(f"source={preparation.source}: there is no such file or directory")
    found = find_subjects(preparation.reader, preparation.source, preparation.subjects)
    check_names(found.volumes)
    return found


def _outcomes(
    preparation: Preparation,
    volumes: list[SourceVolume],
    splits: Mapping[str, str],
    manifest: Manifest,
) -> Iterator[Outcome]:
    unknown = {volume.name for volume in volumes} - manifest.entries.keys()
    _remove_unfinished(preparation.folder, unknown)
    missing = []
    for number, volume in enumerate(volumes):
        if manifest.holds(volume):
            yield Outcome(volume.name, manifest.entries[volume.name], known=True)
        else:
            missing.append(number)
    with closing(_jobs(preparation, volumes, missing, splits)) as jobs:
        for name, result in jobs:
            try:
                entry = result()
            except DataError as error:
                if preparation.strict:
                    raise
                stays = manifest.earlier(name)
                kept = f"; {stays} of an earlier run stays, delete it if it is wrong"
                yield Outcome(name, error=f"{error}{kept if stays else ''}")
                continue
            manifest.add(name, entry)
            yield Outcome(name, entry)


def _jobs(
    preparation: Preparation,
    volumes: list[SourceVolume],
    missing: list[int],
    splits: Mapping[str, str],
) -> Generator[tuple[str, Callable[[], Entry]], None, None]:
    """Yield the name of each volume, and what returns its entry or raises, as they are done."""
    # Files too damaged to tell whose they are have no split, and fail where they are read.
    chosen = {number: splits.get(volumes[number].subject, "train") for number in missing}
    if preparation.processes == 0:
        for number, split in chosen.items():
            yield volumes[number].name, partial(_write, preparation, volumes[number], split)
        return
    context = multiprocessing.get_context(
        "spawn"
    )  # no lock or open file of this process goes along
    with ProcessPoolExecutor(
        min(preparation.processes, max(1, len(missing))), context, _begin, (preparation,)
    ) as pool:
        jobs: dict[Future[Entry], str] = {
            pool.submit(_write_there, number, split): volumes[number].name
            for number, split in chosen.items()
        }
        try:
            for job in as_completed(jobs):
                yield jobs[job], job.result
        finally:
            pool.shutdown(cancel_futures=True)


def _begin(preparation: Preparation) -> None:
    """List the volumes once in each worker: what reads them cannot travel between processes."""
    global _worker
    _worker = preparation, find_volumes(preparation).volumes


_worker: tuple[Preparation, list[SourceVolume]]


def _write_there(number: int, split: str) -> Entry:
    preparation, volumes = _worker
    return _write(preparation, volumes[number], split)


def _write(preparation: Preparation, volume: SourceVolume, split: str) -> Entry:
    guarded = replace(volume, slices=partial(_read, volume))
    return write_prepared(guarded, split, preparation.source, preparation.folder, preparation.form)


def _read(volume: SourceVolume) -> Iterator[SourceSlice]:
    """Read the slices; what a reader of one's own fails with names the file, too."""
    with blaming(volume.files[0]):
        yield from volume.slices()


def _remove_unfinished(folder: Path, unknown: Set[str]) -> None:
    """Remove what a run that was cut off left half-written, or wrote but did not note.

    The latter would stay where a subject is assigned to another split this time.

    Args:
        folder: of the data set.
        unknown: names of volumes that the manifest does not have.
    """
    unnoted = (path for path in folder.glob("*/*.h5") if path.stem in unknown)
    for path in (*folder.glob("*/.*.h5.*"), *unnoted):
        path.unlink(missing_ok=True)


def store_undersampled(folder: Path, mask: MaskRule, acceleration: str, mask_path: Path) -> int:
    """Write copies with undersampled k-space as the original project expects them.

    Args:
        folder: a prepared data set.
        mask: rule or file.
        acceleration: such as "4x"; copies go to `{split}/acc_4x/{1,2,...}.h5`.
        mask_path: where the mask is written, such as `us_masks/cardiac/mask_4x.npy`.

    Returns:
        The number of copies.
    """
    count, drawn = 0, None
    for split in sorted(path for path in folder.glob("*") if path.is_dir()):
        for number, path in enumerate(sorted(split.glob("*.h5")), start=1):
            volume = inspect(path, channels=1)
            with reading(path) as file:
                values = read_volume(file, volume, volume.target_key)
                facts = {key: file.attrs[key] for key in FACTS if key in file.attrs}
            drawn = mask(volume.shape[:2])
            single = values[:, :, 0] if volume.shape[2] == 1 else values
            target = split / f"acc_{acceleration}" / f"{number}.h5"
            write_undersampled(target, single, drawn, acceleration, facts)
            count += 1
    if drawn is not None:
        with written_aside(mask_path) as aside, aside.open("wb") as file:
            np.save(file, drawn)
    return count

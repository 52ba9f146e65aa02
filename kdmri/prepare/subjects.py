"""Who goes into which split: subjects as a whole, never their volumes or slices."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from kdmri.data.readers.base import UNKNOWN, SourceVolume
from kdmri.data.readers.naming import pseudonym
from kdmri.errors import ConfigurationError, DataError

SPLITS = ("train", "validation", "test")


def assign(
    volumes: Sequence[SourceVolume],
    ratios: Mapping[str, float] | None,
    seed: int,
    known: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return each subject its split.

    Args:
        volumes: all volumes of the source.
        ratios: share of the subjects for each split; None keeps the owner's split, and uses 0.8,
            0.1 and 0.1 where the source has none.
        seed: of the draw.
        known: split by pseudonym of subjects that were prepared before, which stay where they are;
            new ones go to the split that lacks most of its share.

    Volumes whose subject cannot be told, as of damaged DICOM files, are drawn nowhere.

    Returns:
        Split by subject.

    Raises:
        DataError: a subject lies in two splits of the source, or was prepared for another one.
        ConfigurationError: there are too few subjects for the ratios.
    """
    subjects = list(dict.fromkeys(v.subject for v in volumes if v.subject != UNKNOWN))
    fixed: dict[str, str] = {}
    if ratios is None:
        for volume in volumes:
            if volume.split is None:
                continue
            if fixed.setdefault(volume.subject, volume.split) != volume.split:
                raise DataError(
                    f"{volume.files[0]}: its subject is in `{fixed[volume.subject]}` as well as in "
                    f"`{volume.split}`; a subject belongs to one split, give ratios to split anew, "
                    "or subjects='.+' where each split numbers its files anew"
                )
    before = {s: known[pseudonym(s)] for s in subjects if known and pseudonym(s) in known}
    for subject in before.keys() & fixed.keys():
        if before[subject] != fixed[subject]:
            raise DataError(
                f"{pseudonym(subject)}: was prepared for `{before[subject]}`, the source has it in "
                f"`{fixed[subject]}` now; choose another name=... or move the prepared folder away"
            )
    free = [subject for subject in subjects if subject not in fixed and subject not in before]
    if fixed:
        return fixed | before | dict.fromkeys(free, "train")
    shares = ratios or {"train": 0.8, "validation": 0.1, "test": 0.1}
    return before | (_added(free, shares, known) if known else _draw(free, shares, seed))


def _added(
    subjects: list[str], ratios: Mapping[str, float], known: Mapping[str, str]
) -> dict[str, str]:
    """Return each subject that came later to the split that lacks most of its share."""
    shares = {split: ratios.get(split, 0) / sum(ratios.values()) for split in SPLITS}
    counts = Counter(known.values())
    assigned = {}
    for subject in subjects:
        total = counts.total() + 1
        split = max(SPLITS, key=lambda s: shares[s] * total - counts[s])
        counts[split] += 1
        assigned[subject] = split
    return assigned


def _draw(subjects: list[str], ratios: Mapping[str, float], seed: int) -> dict[str, str]:
    """Draw subjects for each split; every split that has a share gets one at least."""
    wanted = [split for split in SPLITS if ratios.get(split, 0) > 0]
    unknown = set(ratios) - set(SPLITS)
    if unknown or not wanted:
        raise ConfigurationError(f"ratios={dict(ratios)}: give shares of {', '.join(SPLITS)}")
    if len(subjects) < len(wanted):
        raise ConfigurationError(
            f"ratios={dict(ratios)}: {len(subjects)} subject(s) cannot fill {len(wanted)} splits; "
            "leave a split out, such as ratios={train:1} for data that is put together by hand"
        )
    order = np.random.default_rng(seed).permutation(len(subjects))
    total = sum(ratios[split] for split in wanted)
    counts = {s: max(1, round(ratios[s] / total * len(subjects))) for s in reversed(wanted)}
    counts[wanted[0]] = len(subjects) - sum(counts[split] for split in wanted[1:])
    if counts[wanted[0]] < 1:
        raise ConfigurationError(f"ratios={dict(ratios)}: leaves nothing for `{wanted[0]}`")
    assigned, first = {}, 0
    for split in wanted:
        for index in order[first : first + counts[split]]:
            assigned[subjects[index]] = split
        first += counts[split]
    return assigned

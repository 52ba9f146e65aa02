from collections.abc import Iterator
from pathlib import Path

import pytest

from kdmri.data.readers.base import UNKNOWN, SourceSlice, SourceVolume
from kdmri.data.readers.naming import pseudonym
from kdmri.errors import ConfigurationError, DataError
from kdmri.prepare.subjects import assign


def volumes(*subjects: str, split: str | None = None) -> list[SourceVolume]:
    def nothing() -> Iterator[SourceSlice]:
        yield from ()

    return [
        SourceVolume(f"{subject}_{n}", subject, (Path(f"{subject}_{n}.nii"),), nothing, split=split)
        for n, subject in enumerate(subjects)
    ]


def test_subjects_are_drawn_by_ratio_and_seed() -> None:
    people = volumes(*(f"p{n // 2}" for n in range(40)))
    ratios = {"train": 0.7, "validation": 0.2, "test": 0.1}
    assigned = assign(people, ratios, seed=1)
    assert len(assigned) == 20, "two volumes of one subject go together"
    counts = [list(assigned.values()).count(split) for split in ratios]
    assert counts == [14, 4, 2]
    assert assign(people, ratios, seed=1) == assigned
    assert assign(people, ratios, seed=2) != assigned


def test_owners_split_is_kept_and_can_be_drawn_anew() -> None:
    people = volumes("a", "b", split="train") + volumes("c", split="validation")
    assert assign(people, None, 0) == {"a": "train", "b": "train", "c": "validation"}
    anew = assign(people, {"train": 1, "validation": 1, "test": 1}, 0)
    assert sorted(anew.values()) == ["test", "train", "validation"]


def test_files_too_damaged_to_tell_their_subject_fill_no_split() -> None:
    people = volumes("a", "b", "c", UNKNOWN)
    ratios = {"train": 1, "validation": 1, "test": 1}
    assert sorted(assign(people, ratios, 0)) == ["a", "b", "c"]
    with pytest.raises(ConfigurationError, match=r"2 subject\(s\) cannot fill 3 splits"):
        assign(volumes("a", "b", UNKNOWN), ratios, 0)


def test_subject_in_two_splits_is_refused() -> None:
    people = volumes("a", "b", split="train") + volumes("a", split="validation")
    with pytest.raises(DataError, match=r"a_0.nii: its subject is in `train` as well as"):
        assign(people, None, 0)


@pytest.mark.parametrize("ratios", [{"train": 1, "validation": 1, "test": 1}, {"tests": 1}, {}])
def test_ratios_that_cannot_be_used(ratios: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="ratios="):
        assign(volumes("a", "b"), ratios, 0)


def test_pseudonym_tells_nothing_and_stays() -> None:
    assert pseudonym("Doe^Jane") == pseudonym("Doe^Jane") != pseudonym("Doe^John")
    assert "Doe" not in pseudonym("Doe^Jane")

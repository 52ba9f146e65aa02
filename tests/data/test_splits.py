from pathlib import Path

import numpy as np
import pytest

from kdmri.data.layout import SUBJECT, write_volume
from kdmri.data.splits import find_splits
from kdmri.errors import ConfigurationError, DataError


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(paths: list[Path]) -> list[str]:
    return [path.stem for path in paths]


def test_own_layout_selects_on_validation_and_reports_test(own: Path) -> None:
    splits = find_splits(own, selection=0.1, acceleration="4x", stored="4x")
    assert splits.stored is None
    files = {
        split: [str(p.relative_to(own)) for p in paths] for split, paths in splits.files.items()
    }
    assert files == {
        "train": ["train/1.h5", "train/2.h5"],
        "selection": ["validation/1.h5"],
        "evaluation": ["test/a.h5", "test/b.h5"],
    }


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """The original layout: undersampled copies, no test split."""
    make(tmp_path, *(f"train/acc_4x/{n}.h5" for n in range(1, 12)))
    make(tmp_path, *(f"validation/acc_4x/{n}.h5" for n in (1, 2)))
    return tmp_path


def test_selection_is_carved_out_of_training_files(original: Path) -> None:
    splits = find_splits(original, 0.2, "4x", "4x")
    assert splits.stored == "4x"
    assert names(splits.files["train"]) == [str(n) for n in range(1, 10)], "in natural order"
    assert names(splits.files["selection"]) == ["10", "11"]
    assert {p.parent.parent.name for p in splits.files["evaluation"]} == {"validation"}
    assert "2 of the training files" in splits.note
    named = find_splits(original, [3, "7"], "4x", "4x")  # type: ignore[list-item]
    assert names(named.files["selection"]) == ["3", "7"]
    assert not set(named.files["train"]) & set(named.files["selection"])


def test_subject_in_two_splits_is_refused(tmp_path: Path, anatomy: np.ndarray) -> None:
    for place, who in (("train/1", "a"), ("validation/1", "b"), ("test/1", "a")):
        write_volume(tmp_path / f"{place}.h5", anatomy[:, :, :3], {SUBJECT: who})
    with pytest.raises(DataError, match=r"test/1\.h5: shows the subject of .*train/1\.h5"):
        find_splits(tmp_path, selection=None, acceleration="4x", stored=None)


def test_carving_keeps_subjects_whole(tmp_path: Path, anatomy: np.ndarray) -> None:
    for number, who in enumerate(("a", "b", "b", "c", "b"), start=1):
        write_volume(tmp_path / "train" / f"{number}.h5", anatomy[:, :, :1], {SUBJECT: who})
    write_volume(tmp_path / "validation" / "1.h5", anatomy[:, :, :1], {SUBJECT: "d"})
    splits = find_splits(tmp_path, 0.2, None, None)
    assert names(splits.files["selection"]) == ["2", "3", "5"]
    assert names(splits.files["train"]) == ["1", "4"]


def test_shared_selection_is_said_to_be_optimistic(original: Path) -> None:
    splits = find_splits(original, "shared", "4x", "4x")
    assert splits.files["selection"] == splits.files["evaluation"]
    assert "selection and evaluation share" in splits.note


def test_copies_for_another_acceleration_are_not_read(original: Path) -> None:
    with pytest.raises(DataError, match=r"train: no h5 files here"):
        find_splits(original, 0.2, "8x", "8x")


@pytest.mark.parametrize(
    ("selection", "message"),
    [(None, "no `test` folder"), (1.5, "share of"), (["99"], "99.h5 is not in"), ([], "takes 0")],
)
def test_selection_that_cannot_be_used(
    original: Path, selection: float | list[str] | None, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"dataset.selection=.*{message}"):
        find_splits(original, selection, "4x", "4x")


def test_missing_and_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: there is no such data set; put its h5 files"):
        find_splits(tmp_path / "nowhere", 0.1, "4x", None)
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match=r"train: no h5 files here"):
        find_splits(tmp_path, 0.1, "4x", None)


def test_named_selection_keeps_subjects_whole(tmp_path: Path, anatomy: np.ndarray) -> None:
    for number, who in enumerate(("a", "b", "b"), start=1):
        write_volume(tmp_path / "train" / f"{number}.h5", anatomy[:, :, :1], {SUBJECT: who})
    write_volume(tmp_path / "validation" / "1.h5", anatomy[:, :, :1], {SUBJECT: "d"})
    assert names(find_splits(tmp_path, ["2", "3"], None, None).files["train"]) == ["1"]
    with pytest.raises(ConfigurationError, match=r"3\.h5 shows the subject of 2\.h5"):
        find_splits(tmp_path, ["2"], None, None)

"""Paired differences over seeds: exact where they can be, as sure as they say."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import wilcoxon

from kdmri.analysis.experiments import find_records
from kdmri.analysis.paired import compare_methods
from kdmri.errors import CheckpointError, ConfigurationError
from kdmri.metrics import SliceTable
from tests.analysis.measured import measurements

SUBJECTS = 7
"""Few enough that the exact test of equal gains is quick."""
MANY = 12
BESIDE = ("teacher", "student", "student_long", "kd")
PSNR = 30 + np.random.default_rng(0).standard_normal(MANY)


def table(psnr: np.ndarray, slices: int = 6) -> SliceTable:
    volume = np.repeat(np.arange(len(psnr)), slices).astype(float)
    constant = np.full(volume.size, 100.0)
    columns = {
        "volume": volume,
        "slice": np.tile(np.arange(slices), len(psnr)).astype(float),
        "data_range": np.ones(volume.size),
        "pixels": constant,
        "absolute_error": constant,
        "squared_error": 100 * 10 ** (-np.repeat(psnr, slices) / 10),
        "squared_target": constant,
        "ssim": np.repeat(psnr, slices) / 100,
        "hfn": constant,
        "vif": constant,
    }
    return SliceTable(columns)


def leave(
    root: Path,
    stage: str,
    seed: int,
    psnr: np.ndarray,
    subjects: list[str] | None = None,
    dataset: str = "Set",
    label: str | None = None,
    beside: tuple[str, ...] = BESIDE,
    name: str | None = None,
) -> None:
    measured = table(psnr)
    measurements(
        dataset=dataset,
        stage=stage,
        label=label or stage.title(),
        seed=seed,
        subjects=subjects or [str(number) for number in range(len(psnr))],
        figures={"psnr": measured.mean("psnr"), "ssim": measured.mean("ssim"), "nmse": 0.1},
        beside={name: f"{name}_seed-{seed}" for name in beside},
    ).write(root / f"{name or stage}_seed-{seed}", measured)


def chain(root: Path, gains: dict[int, np.ndarray], subjects: list[str] | None = None) -> None:
    for seed, gain in gains.items():
        psnr = PSNR[: len(gain)]
        leave(root, "student", seed, psnr, subjects)
        leave(root, "teacher", seed, psnr + 2, subjects)
        leave(root, "student_long", seed, psnr + 0.5, subjects)
        leave(root, "kd", seed, psnr + 0.5 + gain, subjects)


def row(root: Path, name: str, reference: str = "student_long", **settings: int) -> dict[str, str]:
    (one,) = compare_methods(
        find_records(root), reference, **{"block": 3, "resamples": 400} | settings
    ).tables
    (cells,) = (cells for cells in one.rows if cells[0] == name)
    return dict(zip(one.header, cells, strict=True))


def test_a_constant_gain_is_exact(tmp_path: Path) -> None:
    chain(tmp_path, {1: np.full(SUBJECTS, 0.5), 2: np.full(SUBJECTS, 0.5)})
    found = row(tmp_path, "Kd")
    assert found["Δ PSNR dB"] == "+0.50 (+0.50 to +0.50)"
    assert found["Δ SSIM"] == "+0.0050 (+0.0050 to +0.0050)"
    assert found["gap recovered"] == "50 % (50 to 50)"
    assert found["seeds"] == "2"
    assert found["GFLOP"] == "2.50"
    assert row(tmp_path, "Student")["gap recovered"] == "0 %"
    assert row(tmp_path, "Student_Long")["Δ PSNR dB"] == "–"


def test_reference_may_be_one_directory_for_all(tmp_path: Path) -> None:
    chain(tmp_path, {1: np.full(SUBJECTS, 0.5), 2: np.full(SUBJECTS, 0.5)})
    elsewhere = {"reference": "published_teacher"}
    for seed in (1, 2):
        leave(tmp_path, "published_teacher", seed, PSNR[:SUBJECTS] + 0.75)
    assert row(tmp_path, "Kd", **elsewhere)["Δ PSNR dB"] == "+0.25 (+0.25 to +0.25)"
    assert row(tmp_path, "Published_Teacher", **elsewhere)["Δ PSNR dB"] == "–"


def test_stages_of_one_label_are_told_apart_by_what_differs_in_their_directories(
    tmp_path: Path,
) -> None:
    chain(tmp_path, {1: np.full(SUBJECTS, 0.5)})
    names = ("flips_kd_loss.fade-None", "flips_fsp_kd_loss.fade-None", "a_kd_b", "a_a_kd_b")
    for label, directories in (("KD", names[:2]), ("Joint", names[2:])):
        for directory in directories:
            leave(tmp_path, directory, 1, PSNR[:SUBJECTS], label=label)
    (found,) = compare_methods(find_records(tmp_path), "student_long", 5, 10).tables
    shown = {row[0] for row in found.rows}
    assert shown == {
        *("Teacher", "Student", "Student_Long", "Kd"),
        *("KD", "KD (fsp)", "Joint", "Joint (a)"),
    }


def test_significance_is_that_of_subjects_not_of_volumes(tmp_path: Path) -> None:
    gain = 0.2 + np.random.default_rng(3).standard_normal(MANY) * 0.3
    chain(tmp_path / "apart", {1: gain})
    assert float(row(tmp_path / "apart", "Kd")["p"]) == pytest.approx(
        wilcoxon(gain).pvalue, rel=0.05
    )
    subjects = [f"patient-{number // 2}" for number in range(MANY)]
    chain(tmp_path / "together", {1: gain}, subjects)
    expected = wilcoxon(gain.reshape(-1, 2).mean(axis=1)).pvalue
    assert float(row(tmp_path / "together", "Kd")["p"]) == pytest.approx(expected, rel=0.05)


def test_seeds_that_disagree_widen_the_interval(tmp_path: Path) -> None:
    def width(root: Path) -> float:
        words = row(root, "Kd")["Δ PSNR dB"].replace("(", "").replace(")", "").split()
        return float(words[3]) - float(words[1])

    chain(tmp_path / "agree", {1: np.full(SUBJECTS, 0.3), 2: np.full(SUBJECTS, 0.3)})
    chain(tmp_path / "differ", {1: np.full(SUBJECTS, 0.1), 2: np.full(SUBJECTS, 0.5)})
    assert width(tmp_path / "agree") == 0
    assert width(tmp_path / "differ") == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("seeds", "description"),
    [
        (1, "of one seed, which says nothing of others"),
        (3, "over seeds (3 of them: "),
        (10, "seeds;"),
    ],
)
def test_what_intervals_say_of_other_seeds(tmp_path: Path, seeds: int, description: str) -> None:
    chain(tmp_path, {seed: np.full(SUBJECTS, 0.5) for seed in range(seeds)})
    (one,) = compare_methods(find_records(tmp_path), "student_long", 3, 50).tables
    assert sum(description in note for note in one.notes) == 1


def test_few_subjects_have_no_test_and_are_labelled(tmp_path: Path) -> None:
    chain(tmp_path, {1: np.full(SUBJECTS, 0.5)}, ["one"] * SUBJECTS)
    assert row(tmp_path, "Kd")["p"] == "–"
    (one,) = compare_methods(find_records(tmp_path), "student_long", 3, 50).tables
    assert any("blocks of 3 neighbouring slices" in note for note in one.notes)
    assert "Fewer than 5 subjects: no statement about other people." in one.notes


@pytest.mark.parametrize(("subjects", "description"), [(5, "p is not given"), (6, "p: Wilcoxon")])
def test_note_tells_of_a_test_where_there_is_one(
    tmp_path: Path, subjects: int, description: str
) -> None:
    chain(tmp_path, {1: np.full(SUBJECTS, 0.5)}, [str(n % subjects) for n in range(SUBJECTS)])
    assert (row(tmp_path, "Kd")["p"] == "–") == (subjects == 5)
    (one,) = compare_methods(find_records(tmp_path), "student_long", 3, 50).tables
    assert any(description in note for note in one.notes)


def test_a_method_without_its_reference_is_shown_without_difference(tmp_path: Path) -> None:
    leave(tmp_path, "kd", 1, PSNR)
    found = row(tmp_path, "Kd")
    assert found["Δ PSNR dB"] == found["gap recovered"] == "–"
    (one,) = compare_methods(find_records(tmp_path), "student_long", 3, 50).tables
    assert 'Δ: nothing here was measured beside the reference, "student_long".' in one.notes


def test_a_stage_measured_alone_is_named_with_the_way_out(tmp_path: Path) -> None:
    chain(tmp_path, {1: np.full(SUBJECTS, 0.5)})
    (one,) = compare_methods(find_records(tmp_path), "student_long", 3, 50).tables
    assert not any("Measured without" in note for note in one.notes)
    leave(tmp_path, "kd", 1, PSNR[:SUBJECTS], beside=("teacher", "kd"), name="kd_loss-0.3")
    (one,) = compare_methods(find_records(tmp_path), "student_long", 3, 50).tables
    (note,) = (note for note in one.notes if "Measured without a student_long" in note)
    assert '"Kd (loss-0.3)"' in note
    assert '"Kd (kd)"' not in note
    assert "stage=all" in note


def test_a_table_without_latencies_says_so(tmp_path: Path) -> None:
    leave(tmp_path, "kd", 1, PSNR)
    (one,) = compare_methods(find_records(tmp_path), "student_long", 3, 50).tables
    assert any("ms: not timed" in note for note in one.notes)


def test_seeds_that_the_reference_lacks_are_told(tmp_path: Path) -> None:
    chain(tmp_path, {1: np.full(SUBJECTS, 0.5)})
    leave(tmp_path, "kd", 2, PSNR[:SUBJECTS])
    found = row(tmp_path, "Kd")
    assert found["seeds"] == "2 (1 paired)"
    assert found["Δ PSNR dB"] == "+0.50 (+0.50 to +0.50)"


def test_other_slices_are_refused(tmp_path: Path) -> None:
    leave(tmp_path, "kd", 1, PSNR)
    leave(tmp_path, "student", 1, PSNR[:6])
    with pytest.raises(CheckpointError, match="measured on other slices"):
        compare_methods(find_records(tmp_path), "student_long", 3, 50)


def test_one_data_set_that_cannot_be_compared_leaves_the_others(tmp_path: Path) -> None:
    chain(tmp_path, {1: np.full(SUBJECTS, 0.5)})
    leave(tmp_path / "other", "kd", 1, PSNR, dataset="Other")
    leave(tmp_path / "other", "student", 1, PSNR[:6], dataset="Other")
    found = compare_methods(find_records(tmp_path), "student_long", 3, 50)
    assert [table.title for table in found.tables] == ["Set, 4x"]
    (error,) = found.errors
    assert "other" in error
    assert "measured on other slices" in error


NO_NUMBER = ",".join(table(PSNR).columns) + "\nnan" + 9 * ",1" + "\n"


@pytest.mark.parametrize("text", ["", "volume,slice\n1,2\n", "import os", "{}", NO_NUMBER])
def test_damaged_slices_are_named(tmp_path: Path, text: str) -> None:
    leave(tmp_path, "kd", 1, PSNR)
    (tmp_path / "kd_seed-1" / "slices.csv").write_text(text)
    with pytest.raises(CheckpointError, match=r"slices\.csv: not what evaluation writes"):
        compare_methods(find_records(tmp_path), "student_long", 3, 50)


def test_table_is_read_as_it_was_written() -> None:
    written = table(PSNR)
    written.columns["vif"][3] = np.nan
    read = SliceTable.from_csv(written.to_csv())
    for name, values in written.columns.items():
        np.testing.assert_array_equal(read.columns[name], values)


@pytest.mark.parametrize(
    "odd", [{"subjects": [["one"]]}, {"task": 4}, {"input": None}, {"figures": {"psnr": "high"}}]
)
def test_record_of_odd_values_is_named(tmp_path: Path, odd: dict[str, object]) -> None:
    leave(tmp_path, "kd", 1, PSNR)
    path = tmp_path / "kd_seed-1" / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | odd))
    with pytest.raises(CheckpointError, match=r"metrics\.json: not what evaluation writes"):
        find_records(tmp_path)


def test_record_of_something_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text('{"dataset": 1}')
    with pytest.raises(CheckpointError, match=r"metrics\.json: not what evaluation writes"):
        find_records(tmp_path)


def test_reference_that_is_not_there_is_an_error_that_names_those_that_are(tmp_path: Path) -> None:
    chain(tmp_path, {1: np.full(SUBJECTS, 0.5)})
    leave(tmp_path / "other" / "acc_2x", "teacher", 1, PSNR)
    assert len(compare_methods(find_records(tmp_path), "student_long", 3, 50).tables) == 2
    with pytest.raises(
        ConfigurationError, match=r"reference=long: there is none among kd, student"
    ):
        compare_methods(find_records(tmp_path), "long", 3, 50)


def test_several_references_are_all_told(tmp_path: Path) -> None:
    chain(tmp_path, {1: np.full(SUBJECTS, 0.5)})
    (one,) = compare_methods(find_records(tmp_path), "student_long", 3, 50).tables
    assert any('difference to "Student_Long" of the same seed' in note for note in one.notes)
    leave(tmp_path, "student_long", 1, PSNR[:SUBJECTS])
    shutil.copytree(tmp_path / "student_long_seed-1", tmp_path / "other_student_long_seed-1")
    (one,) = compare_methods(find_records(tmp_path), "student_long", 3, 50).tables
    description = '"Student_Long (other)", "Student_Long"'
    assert any(f"the one of the plan among {description}" in note for note in one.notes)


def test_a_gap_without_its_other_end_is_none(tmp_path: Path) -> None:
    leave(tmp_path, "teacher", 1, PSNR)
    leave(tmp_path, "student_long", 1, PSNR)
    assert row(tmp_path, "Teacher")["gap recovered"] == "–"

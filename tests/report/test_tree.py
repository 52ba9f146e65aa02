import json
import shutil
from pathlib import Path

import pytest
import yaml

from kdmri.analysis.experiments import find_comparisons, find_records, find_runs
from kdmri.errors import DataError
from kdmri.report.tree import experiments_of

STAGES = ["teacher", "student", "student_long", "feature", "kd"]


def experiments(root: Path) -> dict[str, list[str]]:
    runs, _ = find_runs(root)
    compared, _ = find_comparisons(root)
    found = experiments_of(runs, {key: set(figures) for key, figures in compared.items()})
    return {e.comparison: [run.directory.name for run in e.runs] for e in found}


def test_stages_are_sorted_by_what_they_share(trained: Path) -> None:
    assert experiments(trained / "experiments") == {
        "tiny_comparison": [f"tiny_{stage}" for stage in STAGES],
        "tiny_comparison_seed-1": [f"tiny_{stage}_seed-1" for stage in STAGES],
    }


def test_shared_stages_stand_in_both_experiments(tree: Path) -> None:
    folder = tree / "experiments" / "own" / "acc_4x"
    other = folder / "tiny_kd_loss.imitation-0.3"
    shutil.copytree(folder / "tiny_kd", other)
    record = json.loads((other / "stage.json").read_text())
    record["experiment"]["loss.imitation"] = 0.3
    (other / "stage.json").write_text(json.dumps(record))
    found = experiments(tree / "experiments")
    assert found["tiny_comparison_loss.imitation-0.3"] == [
        *(f"tiny_{stage}" for stage in STAGES[:-1]),
        "tiny_kd_loss.imitation-0.3",
    ]
    assert found["tiny_comparison"][-1] == "tiny_kd"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("stage.json", "{"),
        ("stage.json", "[1, 2]"),
        ("stage.json", "[" * 100_000),
        ("config.yaml", "a: !!python/object/apply:os.system [true]"),
        ("config.yaml", "a: &a [1]\nb: [*a, *a]"),
        ("config.yaml", "a" * 2_000_000),
    ],
)
def test_damaged_or_hostile_stage_is_left_out_and_named(
    tree: Path, name: str, content: str
) -> None:
    stage = tree / "experiments" / "own" / "acc_4x" / "tiny_student"
    (stage / name).write_text(content)
    runs, notes = find_runs(tree / "experiments")
    assert len(runs) == 9
    assert len(notes) == 1
    assert "tiny_student: left out" in notes[0]


def test_record_of_odd_values_counts_as_one_without_them(tree: Path) -> None:
    stage = tree / "experiments" / "own" / "acc_4x" / "tiny_student"
    (stage / "stage.json").write_text(
        json.dumps({"stage": "student", "experiment": [], "circumstances": 3, "best": "x"})
    )
    (stage / "config.yaml").write_text(yaml.safe_dump({"stage": 3, "dataset": "own"}))
    runs, notes = find_runs(tree / "experiments")
    assert (len(runs), notes) == (10, [])
    assert runs[0].settings


def test_empty_tree_is_an_error_that_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"stage\.json"):
        find_runs(tmp_path)


def test_data_sets_that_are_links_are_found_by_all_readers(tree: Path) -> None:
    experiments = tree / "experiments"
    elsewhere = tree / "elsewhere"
    (experiments / "own").rename(elsewhere)
    (experiments / "own").symlink_to(elsewhere, target_is_directory=True)
    runs, _ = find_runs(experiments)
    compared, _ = find_comparisons(experiments)
    assert (len(runs), len(compared)) == (10, 2)
    assert len(find_records(experiments)) == 8


def test_titles_are_told_apart_as_in_the_tables(tree: Path) -> None:
    """One data set in two folders, one of them deeper, is two."""
    shutil.copytree(tree / "experiments" / "own", tree / "experiments" / "again" / "own")
    runs, notes = find_runs(tree / "experiments")
    assert (len(runs), notes) == (20, [])
    titles = {run.dataset_title for run in runs}
    assert titles == {r.measured.dataset for r in find_records(tree / "experiments")}
    assert {title.rpartition(" ")[2] for title in titles} == {"(own)", "(again/own)"}


def test_figures_of_a_logger_are_no_comparison(tree: Path) -> None:
    summary = tree / "experiments" / "own" / "acc_4x" / "tiny_kd" / "summary" / "version_0"
    summary.mkdir(parents=True)
    (summary / "metrics.csv").write_text("epoch,step,val/psnr\n0,1,30\n")
    compared, notes = find_comparisons(tree / "experiments")
    assert (len(compared), notes) == (2, [])


@pytest.mark.parametrize("content", ["{", "[" * 100_000, '{"dataset": 1}', "a" * 2_000_000])
def test_damaged_measures_leave_the_stage_and_are_named(tree: Path, content: str) -> None:
    stage = tree / "experiments" / "own" / "acc_4x" / "tiny_student"
    (stage / "metrics.json").write_text(content)
    runs, (note,) = find_runs(tree / "experiments")
    assert len(runs) == 10
    assert "tiny_student/metrics.json: not what evaluation writes" in note

"""What a report shows of stages that were measured alone."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from kdmri.report.collect import collect


def rows(root: Path) -> tuple[dict[str, Any], list[str]]:
    """Rows of stages by directory, and the notes of all experiments."""
    found = collect(root, None, 5, 20)
    notes = [note for experiment in found.experiments for note in experiment["notes"]]
    return {row["directory"]: row for row in found.rows if row["stage"]}, notes


def test_a_stage_that_no_comparison_holds_has_its_own_figures(
    trained: Path, tmp_path: Path
) -> None:
    root = shutil.copytree(trained / "experiments", tmp_path / "experiments")
    together, _ = rows(root)
    for path in root.glob("*/*/*_comparison*/metrics.csv"):
        path.unlink()
    kd, *_ = sorted(path.parent for path in root.glob("*/*/*_kd*/metrics.json"))
    (kd / "metrics.json").unlink()
    alone, notes = rows(root)
    assert not any("No figures yet" in note for note in notes)
    assert alone.keys() == together.keys()
    for directory, row in alone.items():
        if root / directory == kd:
            assert row["measures"] == {}
            continue
        wanted = together[directory]["measures"]
        assert row["measures"].keys() == wanted.keys()
        for metric, (mean, spread) in wanted.items():
            assert row["measures"][metric] == pytest.approx([mean, spread], rel=1e-4)

"""Sweeps end with one table, and any directory can be collected."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Result

Run = Callable[..., Result]


def test_sweep_over_seeds_ends_with_one_table_and_trains_shared_stages_once(
    train: Run, run: Run, tmp_path: Path
) -> None:
    words = ("stage.run=[teacher,student,feature,kd]", "loss.imitation=0.3,0.5", "seed=1,2")
    result = train("--multirun", *words)
    assert result.code == 0, result.err
    text = " ".join(result.out.split())
    assert text.count("teacher: done before") == 2, "one teacher a seed"
    assert "All stages that were measured" in text
    root = tmp_path / "experiments"
    assert {p.name for p in tmp_path.iterdir()} == {"datasets", "experiments"}, "no litter"
    files = {p.name for p in root.iterdir() if p.is_file()}
    assert files == {"multirun.yaml", "table.csv", "table.md", "table.tex"}
    table = (root / "table.md").read_text()
    with (root / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    psnr = [float(r["psnr"]) for r in rows if r["method"] == "Teacher"]
    assert len(psnr) == 2
    assert f"| Teacher | 450 | {sum(psnr) / 2:.2f} ± " in table
    assert table.count("Student + KD") == 2

    for name in ("table.md", "table.csv", "table.tex"):
        (root / name).unlink()
    again = run("kdmri/collect.py")
    assert again.code == 0, again.err
    assert (root / "table.md").read_text() == table


@pytest.mark.usefixtures("own")
def test_nothing_to_collect(run: Run) -> None:
    result = run("kdmri/collect.py", "experiments=nowhere")
    assert result.code == 2
    assert "nowhere: nothing was measured there" in " ".join(result.err.split())

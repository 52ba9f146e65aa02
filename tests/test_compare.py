"""A comparison of methods is a sweep that ends with one table, and can be made again."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, Result

Run = Callable[..., Result]


def cells(table: str, name: str) -> list[str]:
    (line,) = (line for line in table.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in line.split("|")[1:-1]]


@pytest.mark.usefixtures("own")
def test_methods_and_seeds_end_in_one_table(run: Run, tmp_path: Path) -> None:
    result = run(
        "train.py",
        "--multirun",
        f"--config-dir={ROOT / 'tests' / 'configs'}",
        "experiment=tiny_comparison",
        "dataset=own",
        "dataset.name=own",
        "distillation=attention_imitation,fitnets",
        "seed=1,2",
    )
    assert result.code == 0, result.err
    root = tmp_path / "experiments"
    table = (root / "methods.md").read_text()
    description = [
        json.loads((root / "own" / "acc_4x" / folder / "metrics.json").read_text())
        for folder in ("tiny_fitnets_kd_seed-1", "tiny_fitnets_kd_seed-2")
    ]
    mean = sum(one["figures"]["psnr"] for one in description) / 2
    method = cells(table, "Student + KD (fitnets)")
    assert method[1] == "2"
    assert method[2].startswith(f"{mean:.2f} ± ")
    long = [
        json.loads((root / "own" / "acc_4x" / folder / "metrics.json").read_text())
        for folder in ("tiny_student_long_seed-1", "tiny_student_long_seed-2")
    ]
    gain = mean - sum(one["figures"]["psnr"] for one in long) / 2
    assert method[4].startswith(f"{gain:+.2f} (")
    assert float(method[10]) > 0, "timed"
    assert " + " in method[11], "its teacher's cost stands beside its own"
    assert cells(table, "Student, long")[4] == "–"
    assert len([line for line in table.splitlines() if line.startswith("| Teacher |")]) == 1
    assert "blocks of 5 neighbouring slices" in table
    assert "Student, long" in result.out

    slices = root / "own" / "acc_4x" / "tiny_student_long_seed-2" / "slices.csv"
    slices.rename(slices.with_name("aside.csv"))
    broken = run("kdmri/compare.py", "resamples=50")
    assert broken.code == 2
    assert "slices.csv: is missing; run evaluate.py there again" in " ".join(broken.err.split())
    assert (root / "methods.md").read_text() == table
    slices.with_name("aside.csv").rename(slices)
    (root / "methods.md").unlink()
    again = run("kdmri/compare.py", "resamples=50")
    assert again.code == 0, again.err
    assert (root / "methods.md").read_text() == table


@pytest.mark.usefixtures("own")
def test_nothing_to_compare(run: Run) -> None:
    result = run("kdmri/compare.py", "experiments=nowhere")
    assert result.code == 2
    assert "nowhere: nothing was measured there" in " ".join(result.err.split())
    result = run("kdmri/compare.py", "resamples=0")
    assert result.code == 2
    assert "resamples=0: must be a whole number" in " ".join(result.err.split())

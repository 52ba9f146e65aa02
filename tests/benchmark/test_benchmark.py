"""The benchmark measures what it says, and its command prints and writes it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdmri.benchmark.arms import build
from kdmri.benchmark.command import _arms, _table
from kdmri.benchmark.measuring import Plan, Repetitions
from kdmri.benchmark.setting import Setting
from kdmri.benchmark.steps import FileStep, SuiteStep
from kdmri.errors import KdmriError
from kdmri.models import CascadedNetwork
from tests.conftest import Result, command

TINY = ("size=[48,44]", "batch_size=2", "slices=4", "rounds=3", "warm_up=1", "threads=1")


def network(depth: int) -> dict[str, Any]:
    sizes = {"cascades": 2, "depth": depth, "width": 4, "channels": 1, "residual": False}
    return {"_target_": "kdmri.models.DCCNN", **sizes}


@pytest.fixture
def setting() -> Setting:
    networks = {"teacher": network(4), "student": network(3)}
    return Setting(networks, (48, 44), 2, 4, "cpu", "32-true", 1)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count from here on how many images each run of student or teacher is given."""
    runs: list[int] = []
    observe = CascadedNetwork.observe

    def counting(self: CascadedNetwork, image: torch.Tensor, *rest: Any, **how: Any) -> Any:
        runs.append(len(image))
        return observe(self, image, *rest, **how)

    monkeypatch.setattr(CascadedNetwork, "observe", counting)
    return runs


def test_table_and_figures(tmp_path: Path) -> None:
    words = ("works=[student inference]", "json=figures.json")
    shown = command(tmp_path, "-m", "kdmri.benchmark", *TINY, *words)
    figures = json.loads((tmp_path / "figures.json").read_text())
    arms = figures["works"]["student inference"]
    assert set(arms) == {"suite", "reference", "bound"}
    assert all(len(arm["seconds"]) == 3 and min(arm["seconds"]) > 0 for arm in arms.values())
    assert all(arm["peak_mib"] > 100 for arm in arms.values()), "torch alone takes more"
    ratio = arms["reference"]["median"] / arms["suite"]["median"]
    row = next(line for line in shown.splitlines() if "student inference" in line)
    cells = [cell.strip() for cell in row.split("│")]
    assert cells[4] == f"{ratio:.2f}"
    a_slice = arms["suite"]["median"] / 2
    shown_ms = float(cells[2].split()[0].replace(",", ""))
    assert shown_ms == pytest.approx(1e3 * a_slice, rel=0.06)
    peak = figures["peak_flops"]["student inference"]
    student = figures["networks"]["student"]
    assert f"{student['flops'] / a_slice / peak:.0%} of" in cells[5]
    assert student["parameters"] == 49285


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("earlier=nowhere", "earlier=nowhere: is no checkout of kdmri"),
        ("works=[student dreams]", "student dreams: must be among teacher inference;"),
        ("against=nobody", "against=nobody: must be null or reference"),
        ("slices=2", "slices=2: must be at least batch_size"),
        ("architecture@student=unet", "the reference is the published DC-CNN; give against=null"),
    ],
)
def test_unusable_settings(run: Callable[..., Result], word: str, said: str) -> None:
    result = run("kdmri/benchmark/__main__.py", word)
    assert result.code == 2
    assert said in " ".join(result.err.split())


def test_a_work_that_fails_leaves_what_was_measured_before_it(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(plan: Plan, work: str, arms: list[str]) -> dict[str, Repetitions]:
        if work == "kd step":
            raise KdmriError("kd step: a process failed")
        return dict.fromkeys(arms, Repetitions([0.5] * 3))

    monkeypatch.setattr("kdmri.benchmark.command.measure", failing)
    words = ("works=[student step,kd step,loading]", *TINY)
    result = run("kdmri/benchmark/__main__.py", *words)
    assert result.code == 2
    assert "kd step: a process failed" in result.err
    assert "student step" in result.out
    assert "500" in result.out
    assert "kd step" not in result.out


def test_a_step_on_a_gpu_is_measured_without_its_graph_too(setting: Setting) -> None:
    assert _arms("kd step", "reference", "cuda") == ["suite", "uncaptured", "reference"]
    assert _arms("kd step", "reference", "cpu") == ["suite", "reference"]
    assert "uncaptured" not in _arms("student inference", None, "cuda")
    seconds = {"suite": 0.004, "uncaptured": 0.016, "reference": 0.008}
    arms = {arm: Repetitions([value] * 3) for arm, value in seconds.items()}
    table = _table("", setting, {"kd step": arms})
    works, times, _, ratios = (list(column.cells) for column in table.columns[:4])
    assert works == ["kd step", "kd step, uncaptured"]
    assert [time.split()[0] for time in times] == ["4.0", "16.0"]
    assert ratios == ["2.00", "0.50"]


def test_operations_of_the_published_networks(setting: Setting) -> None:
    sizes = {"cascades": 5, "width": 32}
    networks = {role: network(depth) | sizes for role, depth in (("teacher", 5), ("student", 3))}
    published = Setting(networks, (240, 240), 1, 1, "cpu", "32-true", 1)
    # 5 cascades of 9 * (32 + (D - 2) * 32 * 32 + 32) products a pixel
    assert published.flops("teacher") == pytest.approx(16.26e9, rel=0.005)
    assert published.flops("student") == pytest.approx(5.64e9, rel=0.005)


def test_both_arms_of_inference_see_the_same_slices(setting: Setting, tmp_path: Path) -> None:
    chosen = []
    for arm in ("suite", "reference"):
        torch.manual_seed(1)
        work = build(setting, arm, "student inference", tmp_path)
        torch.manual_seed(2)
        work.prepare()
        work.run()
        chosen.append([part for inputs in work.chosen for part in inputs])
    for one, other in zip(*chosen, strict=True):
        assert one.any()
        assert one.shape == other.shape


@pytest.mark.parametrize("arm", ["suite", "reference"])
@pytest.mark.parametrize("work", ["teacher step", "feature step", "kd step", "loading"])
def test_a_work_is_done_on_new_slices_each_time(
    setting: Setting, tmp_path: Path, arm: str, work: str
) -> None:
    built, seen = build(setting, arm, work, tmp_path), []
    for _ in range(20):
        built.prepare()
        built.run()
        seen.append(str(built.chosen))
    assert len(set(seen)) > 1


@pytest.mark.parametrize(
    ("work", "teacher_sees"),
    [("kd step", 0), ("feature step, flips", 0), ("kd step, first visit", 2)],
)
def test_the_teacher_runs_on_new_slices_alone(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: str, teacher_sees: int
) -> None:
    built = build(setting, "suite", work, tmp_path)
    assert isinstance(built, SuiteStep)
    runs = counted(monkeypatch)
    for _ in range(5):
        built.prepare()
        built.run()
    student = [2] * 5
    assert sum(runs) == sum(student) + 5 * teacher_sees


def test_learning_changes_the_student(setting: Setting, tmp_path: Path) -> None:
    built = build(setting, "suite", "kd step", tmp_path)
    assert isinstance(built, SuiteStep)
    before = [p.detach().clone() for p in built.method.parameters()]
    built.prepare()
    built.run()
    after = list(built.method.parameters())
    assert all((a != b).any() for a, b in zip(after, before, strict=True))


def test_slices_of_files_are_read(setting: Setting, tmp_path: Path) -> None:
    built = build(setting, "suite", "student step, files", tmp_path)
    assert isinstance(built, FileStep)
    built.prepare()
    for path in built.paths:
        path.unlink()
    with pytest.raises(Exception, match="missing"):
        built.run()


def test_evaluation_leaves_a_volume(setting: Setting, tmp_path: Path) -> None:
    built = build(setting, "suite", "student evaluation", tmp_path)
    built.run()
    assert (tmp_path / "results" / "1.h5").is_file()


def test_median_and_quartiles() -> None:
    measured = Repetitions([4.0, 1.0, 2.0, 3.0, 100.0], slices=4)
    assert (measured.median, measured.quartiles, measured.a_slice) == (3.0, (2.0, 4.0), 0.75)


def test_a_peak_is_that_of_the_process_itself() -> None:
    held = np.ones(2**26)  # 512 MiB, which the figure of getrusage would begin with
    code = "from kdmri.benchmark.peak import own_peak; print(own_peak())"
    words = [sys.executable, "-c", code]
    found = int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    assert 2**21 < found < held.nbytes

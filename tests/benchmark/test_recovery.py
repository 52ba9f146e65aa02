"""A training that is killed at random moments ends like one that is not."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from kdmri.benchmark.kills import Chain, differences
from tests.conftest import TINY, Result

Run = Callable[..., Result]
STAGE = "experiments/own/acc_4x/run_kd"


def test_killed_chain_ends_the_same(run: Run, own: Path) -> None:
    words = [*TINY, "trainer.max_epochs=4", "checkpoint_minutes=0.001"]
    words += [f"paths.datasets={own.parent}", "stage.run=[teacher,feature,kd]"]
    listed = ",".join(f"'{word}'" for word in words)
    result = run("kdmri/benchmark/recovery.py", "kills=2", f"train=[{listed}]")
    assert result.code == 0, result.err + result.out
    text = " ".join(result.out.split())
    assert "2 of 2 kills survived" in text
    assert "the same, bit for bit" in text


def leave(folder: Path, weight: float = 1.0, psnr: float = 30.0, stage: str = STAGE) -> Chain:
    chain = Chain(folder, [])
    (folder / stage).mkdir(parents=True)
    record = {"stage": "kd", "finished": True, "best": {"score": 0.1}}
    (folder / stage / "stage.json").write_text(json.dumps(record))
    (folder / stage / "metrics.json").write_text(json.dumps({"figures": {"psnr": psnr}}))
    kept = {"network": {}, "weights": {"a": torch.full((2,), weight)}}
    torch.save(kept, folder / stage / "best_model.pt")
    return chain


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({}, []),
        ({"weight": 1 + 1e-6}, [f"{STAGE}: weights"]),
        ({"psnr": 30.1}, [f"{STAGE}: measured figures"]),
        ({"stage": f"{STAGE}_more"}, [f"stages ['{STAGE}', '{STAGE}_more']"]),
    ],
)
def test_what_differs_is_named(
    tmp_path: Path, other: dict[str, float | str], expected: list[str]
) -> None:
    one, two = leave(tmp_path / "one"), leave(tmp_path / "two", **other)  # type: ignore[arg-type]
    assert differences(one, two) == expected


def test_kills_must_be_a_number(run: Run) -> None:
    result = run("kdmri/benchmark/recovery.py", "kills=0")
    assert result.code == 2
    assert "kills=0: must be a whole number" in " ".join(result.err.split())

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from kdmri.models.stored import build_network
from tests.conftest import Result
from tests.inference.expected import CENTRE, LINES, Run


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """Write a checkpoint as training does, of small random networks near the identity."""

    def write(name: str = "best_model.pt", sampling: dict | None = LINES, **changes) -> Path:
        channels = changes.pop("channels", 1)
        network = {
            "_target_": "kdmri.models.DCCNN" if sampling != CENTRE else "kdmri.models.VDSR",
            **({"cascades": 2, "residual": True} if sampling != CENTRE else {}),
            **{"depth": 2, "width": 4, "channels": channels},
        }
        weights = build_network(network).state_dict()
        weights = {key: value / 10 for key, value in weights.items()}
        stored = {"network": network, "weights": weights, "epoch": 1, "score": 0.1, "metrics": {}}
        if sampling is not None:
            stored |= {"format": 2, "task": {"name": "t", "sampling": sampling}, "stage": "kd"}
        torch.save({**stored, **changes}, tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def reconstruct(run: Run) -> Run:
    def call(*overrides: object, **keys: object) -> Result:
        words = [f"{key}={value}" for key, value in keys.items()]
        return run("kdmri/reconstruct.py", *map(str, overrides), *words)

    return call

"""The weights that a stage's network begins with."""

from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from kdmri.errors import CheckpointError
from kdmri.models import DCCNN
from kdmri.training.networks import begin

SETTINGS = {"_target_": "kdmri.models.DCCNN", "cascades": 1, "depth": 2, "width": 4}


def config(weights: str | None, **changes: object) -> DictConfig:
    student = {**SETTINGS, "name": "d2c1", **changes}
    plan = {"student": {"network": "student"}}
    return OmegaConf.create(
        {"student": student, "stage": {"plan": plan}, "initial_weights": weights}
    )


def saved(path: Path, **changes: object) -> DCCNN:
    settings = {**SETTINGS, **changes}
    network = DCCNN(**{k: v for k, v in settings.items() if k != "_target_"})
    torch.save({"network": settings, "weights": network.state_dict()}, path)
    return network


def same(one: DCCNN, other: DCCNN) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(left, right) for left, right in pairs)


def test_stage_begins_with_the_weights_of_a_checkpoint_unless_it_goes_on(tmp_path: Path) -> None:
    """What has no weights, such as the closing consistency, may differ."""
    given = saved(tmp_path / "a.pt", channels=2)
    other = saved(tmp_path / "b.pt", channels=2, closing=3)
    own = config(str(tmp_path / "a.pt"), channels=2, closing=3)
    network, _ = begin(own, "student", {})
    assert same(network, given)
    assert network.closing == 3
    assert same(begin(own, "student", {"start": tmp_path / "b.pt"})[0], other)
    fresh, _ = begin(config(None, channels=2), "student", {})
    assert not same(fresh, given)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    saved(tmp_path / "a.pt", width=5)
    with pytest.raises(CheckpointError, match=r"initial_weights=.*a\.pt: its weights do not fit"):
        begin(config(str(tmp_path / "a.pt")), "student", {})
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        begin(config(str(tmp_path / "b.pt")), "student", {})

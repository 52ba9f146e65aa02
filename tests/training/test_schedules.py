import math

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from kdmri.training.schedules import one_cycle, pace, schedule_of, warmup_cosine
from tests.conftest import ROOT


def test_rate_rises_and_falls() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = warmup_cosine(optimizer, warmup=3, epochs=11)
    rates = []
    for _ in range(13):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[:4] == pytest.approx([0.5, 1.0, 1.5, 2.0])
    expected = [1 + math.cos(math.pi * n / 8) for n in range(9)]
    assert rates[3:12] == pytest.approx(expected)
    assert rates[12] == 0


def test_rise_must_end_before_the_schedule() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(ValueError, match="warmup=5 must be at least 0 and less than epochs=5"):
        warmup_cosine(optimizer, warmup=5, epochs=5)


@pytest.mark.parametrize(("epochs", "top"), [(1, 0), (2, 0), (4, 1), (5, 1), (10, 2), (40, 8)])
def test_cycle_of_any_length_wastes_no_epoch(epochs: int, top: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = one_cycle(optimizer, epochs=epochs, rise=0.2)
    rates = []
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates.index(max(rates)) == top
    assert 0.6 * 2 < max(rates) <= 2
    assert rates == sorted(rates[:top]) + sorted(rates[top:], reverse=True)
    assert min(rates) > 0
    assert optimizer.param_groups[0]["lr"] < 1e-6  # behind the end
    assert sum(rates) / epochs == pytest.approx(1.0, rel=0.4)


@pytest.mark.parametrize(("epochs", "rise"), [(5, 1), (5, -0.1), (0, 0.2)])
def test_cycle_has_to_fall(epochs: int, rise: float) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(ValueError, match=f"epochs={epochs} must be at least 1, rise={rise} at"):
        one_cycle(optimizer, epochs=epochs, rise=rise)


def setting(scheduler: str, epochs: int, every: int = 1) -> DictConfig:
    """A stage of so many epochs where `trainer.max_epochs` is 150."""
    definition = {"max_epochs": epochs, "method": {"scheduler_every": every}}
    found = OmegaConf.load(ROOT / "configs" / "scheduler" / f"{scheduler}.yaml")
    return OmegaConf.create(
        {
            "trainer": {"max_epochs": 150},
            "stage": {"plan": {"kd": definition}},
            "scheduler": found,
        }
    )


@pytest.mark.parametrize(
    ("scheduler", "epochs", "every", "expected"),
    [
        ("step", 150, 1, 1),
        ("step", 300, 2, 2),
        ("step", 262, 1, 262 / 150),
        ("step", 38, 1, 1),
        ("one_cycle", 262, 1, 1),
        ("one_cycle", 300, 2, 2),
    ],
)
def test_schedule_of_fixed_epochs_is_stretched_to_a_longer_stage(
    scheduler: str, epochs: int, every: int, expected: float
) -> None:
    config = setting(scheduler, epochs, every)
    assert pace(config, "kd") == pytest.approx(expected)
    if scheduler == "one_cycle":
        assert schedule_of(config, "kd")["epochs"] == epochs / every

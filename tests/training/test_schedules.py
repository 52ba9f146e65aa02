import math

import pytest
import torch

from kdmri.training.schedules import warmup_cosine


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

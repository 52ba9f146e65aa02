import math
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from kdmri.distillation import AttentionTransfer, DistillationLoss, FitNets
from kdmri.models import DCCNN
from kdmri.training import Distillation
from kdmri.training.distillation import LossWeights
from tests.training.test_methods import batch, quiet

STEPS = [(1 + math.cos(math.pi / 4)) / 2, (1 + math.cos(3 * math.pi / 4)) / 2, 0.0, 0.0]


def fading(loss: DistillationLoss, fade: float | None = 0.5) -> Distillation:
    method = Distillation(
        network=DCCNN(cascades=2, depth=2, width=4),
        teacher=DCCNN(cascades=2, depth=3, width=6),
        distillation=loss,
        weights=LossWeights(0.5, 0.4, 2.0, fade),
        optimizer=torch.optim.Adam,
    )
    quiet(method)
    return method


def begin(method: Distillation, epoch: int) -> None:
    """Put a method into an epoch of four, counted from 0."""
    method.trainer = cast(Any, SimpleNamespace(max_epochs=4, current_epoch=epoch))


@pytest.mark.parametrize(("epoch", "left"), list(enumerate(STEPS)))
def test_what_the_teacher_says_falls_along_half_a_cosine(epoch: int, left: float) -> None:
    method, given = fading(AttentionTransfer()), batch()
    inputs = (given.image, given.kspace, given.mask)
    student, theirs = method.network.features(*inputs, taps=method.taps)
    teacher, shown = method.teacher.features(*inputs, taps=method.teacher_taps)
    expected = 0.5 * (student - given.target).abs().mean()
    expected = expected + left * 0.4 * (student - teacher).abs().mean()
    expected = expected + left * 2 * AttentionTransfer()(theirs, shown)
    begin(method, epoch)
    torch.testing.assert_close(method.loss(given), expected)


@pytest.mark.parametrize(
    ("fade", "epoch", "asked"), [(0.5, 1, True), (0.5, 2, False), (1, 3, True)]
)
def test_teacher_that_has_faded_is_not_run(fade: float, epoch: int, asked: bool) -> None:
    method, runs = fading(AttentionTransfer(), fade), []
    run = method.frozen_teacher
    method.frozen_teacher = lambda *given: runs.append(1) or run(*given)  # type: ignore
    begin(method, epoch)
    _, terms = method.compare(batch())
    assert bool(runs) is asked
    assert set(terms) == {"reconstruction"} | ({"imitation", "attention"} if asked else set())


def test_layers_of_a_loss_keep_a_gradient_that_several_devices_wait_for() -> None:
    method = fading(FitNets())
    begin(method, 3)
    method.loss(batch()).backward()
    gradients = [p.grad for p in method.distillation.parameters()]
    assert gradients
    for gradient in gradients:
        assert gradient is not None
        assert not gradient.any()


def test_weights_stay_without_fading() -> None:
    method = fading(AttentionTransfer(), fade=None)
    begin(method, 3)
    assert method.weights_now == method.weights
    assert set(method.compare(batch())[1]) == {"reconstruction", "imitation", "attention"}

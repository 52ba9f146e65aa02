"""What the papers of the losses state: what costs nothing, what does not matter, who learns."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from kdmri.distillation import (
    FSP,
    AttentionTransfer,
    CorrelationCongruence,
    DistillationLoss,
    FitNets,
    Relational,
    SimilarityPreserving,
    VariationalInformation,
)
from kdmri.distillation.fsp import flow
from kdmri.distillation.relational import angles, distances
from kdmri.errors import ConfigurationError

Features = list[torch.Tensor]
ALL = (
    AttentionTransfer,
    CorrelationCongruence,
    FitNets,
    FSP,
    Relational,
    SimilarityPreserving,
    VariationalInformation,
)
ZERO_FOR_EQUALS = [loss for loss in ALL if loss is not VariationalInformation]
BETWEEN_SAMPLES = (CorrelationCongruence, Relational, SimilarityPreserving)


def features(batch: int, channels: int, taps: int = 2) -> Features:
    return [torch.randn(batch, channels, 6, 5) for _ in range(taps)]


def build(kind: Callable[[], DistillationLoss], student: int = 4, teacher: int = 4, taps: int = 2):
    loss = kind()
    loss.adapt([student] * taps, [teacher] * taps)
    return loss


@pytest.mark.parametrize("kind", ZERO_FOR_EQUALS)
def test_equal_features_cost_nothing_and_others_something(kind: type[DistillationLoss]) -> None:
    loss, teacher = build(kind), features(4, 4)
    assert loss([f.clone() for f in teacher], teacher) == pytest.approx(0, abs=1e-6)
    assert loss(features(4, 4), teacher) > 1e-4


@pytest.mark.parametrize("kind", ALL)
def test_only_the_student_and_its_adaptation_learn(kind: type[DistillationLoss]) -> None:
    loss = build(kind)
    student = [f.requires_grad_() for f in features(4, 4)]
    teacher = features(4, 4)
    value = loss(student, teacher)
    assert value.shape == ()
    value.backward()
    for feature in student:
        assert feature.grad is not None
        assert torch.isfinite(feature.grad).all()
        assert feature.grad.abs().max() > 0
    assert all(p.grad is not None for p in loss.parameters())
    assert all(f.grad is None for f in teacher)


@pytest.mark.parametrize("kind", ALL)
def test_student_may_be_narrower_than_its_teacher(kind: type[DistillationLoss]) -> None:
    loss = build(kind, student=3, teacher=7)
    assert torch.isfinite(loss(features(4, 3), features(4, 7)))


@pytest.mark.parametrize("kind", ALL)
def test_unequal_numbers_of_taps_are_refused(kind: type[DistillationLoss]) -> None:
    loss = build(kind)
    with pytest.raises(ConfigurationError, match="student has 4, the teacher 2"):
        loss(features(4, 4, taps=4), features(4, 4, taps=2))


@pytest.mark.parametrize("kind", BETWEEN_SAMPLES)
def test_relations_survive_a_turn_of_all_samples_together(kind: type[DistillationLoss]) -> None:
    """An orthogonal change of the feature space and its scale do not matter."""
    teacher = features(5, 4)
    turn = torch.linalg.qr(torch.randn(120, 120))[0]
    turned = [2.5 * (f.flatten(1) @ turn).view_as(f) for f in teacher]
    assert build(kind)(turned, teacher) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("kind", BETWEEN_SAMPLES)
def test_one_sample_has_no_relations(kind: type[DistillationLoss]) -> None:
    student = [f.requires_grad_() for f in features(1, 4)]
    value = build(kind)(student, features(1, 4))
    value.backward()
    assert value.detach() == pytest.approx(0, abs=1e-6)
    assert torch.isfinite(student[0].grad).all()  # type: ignore[arg-type]
    assert kind.smallest_batch > 1


def test_similarity_is_the_papers_formula() -> None:
    student, teacher = features(4, 3, 1)[0], features(4, 6, 1)[0]
    grams = []
    for activation in (student, teacher):
        q = activation.numpy().astype(np.float64).reshape(4, -1)
        gram = q @ q.T
        grams.append(gram / np.linalg.norm(gram, axis=1, keepdims=True))
    expected = np.square(grams[0] - grams[1]).sum() / 16
    assert SimilarityPreserving()([student], [teacher]) == pytest.approx(expected, rel=1e-4)


def test_correlation_tends_to_the_gaussian_kernel() -> None:
    activation = features(4, 3, 1)[0]
    unit = F.normalize(activation.flatten(1), dim=1)
    exact = torch.exp(-0.4 * torch.cdist(unit, unit) ** 2)
    torch.testing.assert_close(
        CorrelationCongruence(0.4, order=8).correlation(activation), exact, atol=1e-5, rtol=0
    )
    near = CorrelationCongruence(0.4, order=2).correlation(activation)
    assert (near - exact).abs().max() < 0.05  # the rest of the series at |cosine| = 1


def test_flow_is_the_mean_product_of_channels() -> None:
    first, second = torch.randn(2, 3, 4, 5), torch.randn(2, 6, 4, 5)
    expected = torch.zeros(2, 3, 6)
    for row in range(4):
        for column in range(5):
            products = first[:, :, row, column, None] * second[:, None, :, row, column]
            expected += products / 20
    torch.testing.assert_close(flow(first, second), expected)
    shifted = (torch.roll(first, 2, -1), torch.roll(second, 2, -1))  # blind to the place
    torch.testing.assert_close(flow(*shifted), expected)


def test_fitnets_is_half_the_mean_square() -> None:
    student, teacher = features(2, 4, 1), features(2, 4, 1)
    expected = 0.5 * (student[0] - teacher[0]).square().mean()
    torch.testing.assert_close(build(FitNets, taps=1)(student, teacher), expected)


def test_relations_are_those_of_the_papers_equations() -> None:
    activation = features(4, 3, 1)[0]
    flat = activation.flatten(1).numpy().astype(np.float64)
    pairs = [np.linalg.norm(flat[i] - flat[j]) for i in range(4) for j in range(i + 1, 4)]
    np.testing.assert_allclose(distances(activation), pairs / np.mean(pairs), rtol=1e-4)
    found = angles(activation)
    one, other = flat[0] - flat[2], flat[3] - flat[2]
    cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    assert found[2, 0, 3] == pytest.approx(cosine, abs=1e-5)
    assert found[2, 2].abs().max() == 0, "a sample has no direction from itself"


def test_relations_of_equal_samples_are_none_and_have_a_gradient() -> None:
    """As those of the empty slices at a volume's ends."""
    activation = features(3, 3, 1)[0]
    activation = torch.cat((activation, activation[:1])).requires_grad_()
    found = angles(activation)
    assert found[0, 3].abs().max() == 0
    (found.square().sum() + distances(activation).square().sum()).backward()
    assert activation.grad is not None
    assert torch.isfinite(activation.grad).all()
    assert activation.grad.abs().max() < 1e3


def test_variational_information_is_a_gaussian_likelihood() -> None:
    loss = build(VariationalInformation, student=3, teacher=2, taps=1)
    student, teacher = features(2, 3, 1), features(2, 2, 1)
    mean = loss.means[0](student[0])
    gaussian = torch.distributions.Normal(mean, torch.tensor(5.0).sqrt())
    constant = 0.5 * np.log(2 * np.pi)
    expected = -gaussian.log_prob(teacher[0]).mean() - constant
    torch.testing.assert_close(loss(student, teacher), expected.float(), atol=1e-5, rtol=1e-5)


def test_variances_learn_how_far_the_teacher_is() -> None:
    loss = build(VariationalInformation, student=2, teacher=2, taps=1)
    for parameter in loss.means.parameters():
        nn.init.zeros_(parameter)
        parameter.requires_grad_(False)
    spread = torch.tensor([0.5, 2.0]).view(1, 2, 1, 1)
    teacher = [spread * torch.randn(4, 2, 30, 30)]
    optimizer = torch.optim.Adam([p for p in loss.parameters() if p.requires_grad], lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        loss([torch.zeros(4, 2, 30, 30)], teacher).backward()
        optimizer.step()
    found = F.softplus(loss.raw_variances[0])
    torch.testing.assert_close(found, teacher[0].square().mean((0, 2, 3)), rtol=0.02, atol=0.01)


def test_taps_can_weigh_differently() -> None:
    student, teacher = features(2, 3), features(2, 3)
    first, second = (AttentionTransfer()([s], [t]) for s, t in zip(student, teacher, strict=True))
    found = AttentionTransfer(weights=[3, 1])(student, teacher)
    torch.testing.assert_close(found, 0.75 * first + 0.25 * second)
    with pytest.raises(ConfigurationError, match="one for each of the 2 taps"):
        AttentionTransfer(weights=[1])(student, teacher)

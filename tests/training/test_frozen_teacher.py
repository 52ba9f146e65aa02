from collections.abc import Sequence
from typing import Any

import pytest
import torch

from kdmri.data.batch import Batch
from kdmri.data.masks import GaussianLines
from kdmri.distillation import AttentionTransfer, DistillationLoss, FitNets
from kdmri.models import DCCNN, CascadedNetwork, Tap
from kdmri.physics import CartesianUndersampling
from kdmri.training import Distillation
from kdmri.training.distillation import LossWeights
from kdmri.training.frozen_teacher import FrozenTeacher
from tests.training.test_methods import batch

KIB = 2**10
SLICE = 16 * 12 * 4  # bytes of an output


def coming_again(items: int) -> Batch:
    return batch(items)._replace(variant=torch.zeros(items, dtype=torch.long))


class Counting(CascadedNetwork):
    """Counts the slices that go through a network."""

    def __init__(self, network: CascadedNetwork) -> None:
        super().__init__(list(network.cascades), network.channels)
        self.seen = 0

    def observe(self, image: torch.Tensor, *rest: Any, **how: Any) -> Any:
        self.seen += len(image)
        return super().observe(image, *rest, **how)


def method(
    weights: Sequence[float], gib: float, loss: DistillationLoss | None = None
) -> Distillation:
    torch.manual_seed(0)
    return Distillation(
        network=DCCNN(cascades=2, depth=2, width=4),
        teacher=Counting(DCCNN(cascades=2, depth=3, width=6)),
        distillation=loss or AttentionTransfer(),
        weights=LossWeights(*weights),
        teacher_cache_gib=gib,
        optimizer=torch.optim.Adam,
    )


@pytest.mark.parametrize("loss", [AttentionTransfer, FitNets])
@pytest.mark.parametrize("weights", [(0.5, 0.5, 0.0), (0.0, 0.0, 1.0), (0.5, 0.5, 1.0)])
def test_kept_teacher_gives_the_same_losses_and_gradients(
    weights: tuple[float, ...], loss: type[DistillationLoss]
) -> None:
    given = coming_again(5)
    kept, computed = method(weights, 1.0, loss()), method(weights, 0.0, loss())
    for items in ([0, 1, 2], [3, 1], [4, 3, 2, 1, 0], [2, 4]):
        part = given.select(items)
        for training in (kept, computed):
            training.zero_grad()
            _, terms = training.compare(part)
            training.total(terms).backward()
        for one, other in zip(kept.parameters(), computed.parameters(), strict=True):
            if other.grad is not None:
                assert one.grad is not None
                torch.testing.assert_close(one.grad, other.grad, rtol=1e-5, atol=1e-6)
    assert isinstance(kept.teacher, Counting)
    assert isinstance(computed.teacher, Counting)
    assert computed.teacher.seen == 12
    assert kept.teacher.seen == 5, "each slice goes through the teacher once"


def teacher(cache_bytes: int, with_output: bool = True) -> tuple[FrozenTeacher, Counting]:
    network = Counting(DCCNN(cascades=2, depth=3, width=6))
    frozen = FrozenTeacher(network, (), with_output, AttentionTransfer().condense, cache_bytes)
    return frozen, network


def test_splits_and_variants_are_kept_apart() -> None:
    frozen, _ = teacher(cache_bytes=100 * KIB)
    given, other = coming_again(2), coming_again(2)
    changed = other._replace(variant=torch.ones(2, dtype=torch.long))
    for part, split in ((given, "train"), (other, "selection"), (changed, "train")):
        for _ in range(2):
            expected = frozen.network(part.image, part.kspace, part.mask)
            torch.testing.assert_close(frozen(part, split, []).output, expected)


def test_what_may_never_come_again_is_not_kept() -> None:
    frozen, _ = teacher(cache_bytes=100 * KIB)
    assert batch().variant is None
    frozen(batch(), "train", [])
    assert frozen.kept_bytes == 0


def test_room_is_never_exceeded_and_the_rest_is_right_all_the_same() -> None:
    frozen, network = teacher(cache_bytes=3 * SLICE)
    given = coming_again(5)
    expected = network(given.image, given.kspace, given.mask)
    for items in ([0, 1], [2, 3, 4], [4, 0, 3], [1, 2]):
        part = given.select(items)
        torch.testing.assert_close(frozen(part, "train", []).output, expected[items])
    assert frozen.kept_bytes == 3 * SLICE
    assert network.seen == 5 + 2, "only what is not kept is computed again"


def test_kept_values_do_not_hold_the_batch_that_they_came_with() -> None:
    frozen, _ = teacher(cache_bytes=SLICE)
    frozen(coming_again(5), "train", [])
    assert frozen.kept_bytes == SLICE


def test_nothing_behind_the_last_tap_is_computed() -> None:
    network = DCCNN(cascades=3, depth=3, width=4)
    given = batch()
    inputs = (given.image, given.kspace, given.mask)
    taps = [Tap(1, 1), Tap(0, 0)]
    _, expected = network.features(*inputs, taps=taps)
    for parameter in (
        *network.cascades[1].layers[2].parameters(),
        *network.cascades[2].parameters(),
    ):
        torch.nn.init.constant_(parameter, torch.nan)
    for found, other in zip(network.activations(*inputs, taps=taps), expected, strict=True):
        torch.testing.assert_close(found, other)
    assert torch.isnan(network(*inputs)).all()


@pytest.mark.parametrize("size", [(16, 12), (8, 12), (20, 20)])
def test_condensed_activations_cost_the_same(size: tuple[int, int]) -> None:
    loss = AttentionTransfer()
    student = [torch.randn(2, 3, *size) for _ in range(2)]
    teacher = [torch.randn(2, 5, 16, 12), torch.zeros(2, 5, 16, 12)]
    condensed = loss.condense(teacher, [size, size])
    assert all(c.shape[1] == 1 for c in condensed)
    torch.testing.assert_close(loss(student, condensed), loss(student, teacher))


def test_it_sees_what_its_own_task_reveals_of_the_same_slices() -> None:
    more = GaussianLines(acceleration=2, centre_lines=2)
    lines = CartesianUndersampling(GaussianLines(acceleration=8), more=more)
    network = DCCNN(cascades=2, depth=3, width=6)
    frozen = FrozenTeacher(network, (), True, AttentionTransfer().condense, 100 * KIB, lines)
    given = coming_again(2)
    seen = lines.revealed(given, training=True)
    assert seen.mask.sum() > given.mask.sum()
    for _ in range(2):
        expected = network(seen.image, seen.kspace, seen.mask)
        torch.testing.assert_close(frozen(given, "train", []).output, expected)

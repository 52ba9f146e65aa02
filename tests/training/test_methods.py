import copy
from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from kdmri.data.batch import Batch
from kdmri.distillation import (
    AttentionTransfer,
    DistillationLoss,
    FitNets,
    SimilarityPreserving,
    VariationalInformation,
)
from kdmri.errors import DivergedError
from kdmri.models import DCCNN
from kdmri.physics import fft2, to_complex
from kdmri.training import Distillation, Supervised
from kdmri.training.base import TrainingMethod
from kdmri.training.distillation import LossWeights
from kdmri.training.frozen_teacher import TeacherOutput


def batch(items: int = 2) -> Batch:
    mask = torch.zeros(1, 1, 16, 12)
    mask[:, :, [0, 1, 2, 15]] = 1
    target = torch.rand(items, 1, 16, 12)
    index = torch.arange(items)
    kspace = mask * fft2(to_complex(target))
    return Batch(0.5 * target, kspace, mask, target, torch.ones(items), index, index)


def quiet(method: TrainingMethod) -> None:
    """Let a method be asked for its loss without a trainer to log to."""
    method.log = lambda *_, **__: None  # type: ignore[method-assign,assignment]


def distillation(
    *weights: float, student_depth: int = 2, loss: DistillationLoss | None = None
) -> Distillation:
    return Distillation(
        network=DCCNN(cascades=2, depth=student_depth, width=4),
        teacher=DCCNN(cascades=2, depth=3, width=6),
        distillation=loss or AttentionTransfer(),
        weights=LossWeights(*weights),
        optimizer=torch.optim.Adam,
    )


@pytest.mark.parametrize("weights", [(1.0, 0.0, 0.0), (0.5, 0.5, 0.0)])
def test_inner_cascades_learn_the_target_too(weights: tuple[float, ...]) -> None:
    given = batch()
    method = distillation(*weights)
    quiet(method)
    plain = method.loss(given)
    supervised = Distillation(
        network=method.network,
        teacher=method.teacher,
        distillation=AttentionTransfer(),
        weights=LossWeights(*weights),
        intermediate_supervision=0.3,
        optimizer=torch.optim.Adam,
    )
    first = method.network.cascades[0](given.image, given.kspace, given.mask)
    within = (first - given.target).abs().mean()
    quiet(supervised)
    torch.testing.assert_close(supervised.loss(given), plain + weights[0] * 0.3 * within)
    alone = Supervised(
        network=method.network, intermediate_supervision=0.3, optimizer=torch.optim.Adam
    )
    quiet(alone)
    output = method.network(given.image, given.kspace, given.mask)
    expected = (output - given.target).abs().mean() + 0.3 * within
    torch.testing.assert_close(alone.loss(given), expected)


def test_imitation_weighs_as_much_as_reconstruction() -> None:
    """Defect of the original: imitation was divided by the number of pixels a second time."""
    method, given = distillation(0.3, 0.7, 0.0), batch()
    inputs = (given.image, given.kspace, given.mask)
    student, teacher = method.network(*inputs), method.teacher(*inputs)
    expected = 0.3 * (student - given.target).abs().mean() + 0.7 * (student - teacher).abs().mean()
    output, terms = method.compare(given)
    torch.testing.assert_close(output, student)
    torch.testing.assert_close(method.total(terms), expected)
    assert terms["imitation"] > 0.01 * terms["reconstruction"]


def test_joint_training_adds_the_distillation_loss() -> None:
    method, given = distillation(0.5, 0.5, 2.0), batch()
    inputs = (given.image, given.kspace, given.mask)
    expected = AttentionTransfer()(
        method.network.features(*inputs)[1], method.teacher.features(*inputs)[1]
    )
    _, terms = method.compare(given)
    torch.testing.assert_close(terms["attention"], expected)
    parts = 0.5 * terms["reconstruction"] + 0.5 * terms["imitation"] + 2 * expected
    torch.testing.assert_close(method.total(terms), parts)


@pytest.mark.parametrize(
    "loss", [AttentionTransfer(), FitNets(), SimilarityPreserving(), VariationalInformation()]
)
def test_activations_of_half_precision_are_compared_in_single(loss: DistillationLoss) -> None:
    method = distillation(0.0, 0.0, 1.0, loss=loss)
    shapes = [(2, 4, 16, 12)] * 2
    student = [torch.randn(shape).bfloat16() for shape in shapes]
    teacher = [(s + 0.01 * torch.randn(s.shape)).repeat(1, 2, 1, 1)[:, :6] for s in student]
    teacher = [t.bfloat16() for t in loss.condense(teacher, [(16, 12)] * 2)]
    expected = loss([s.float() for s in student], [t.float() for t in teacher])
    method.frozen_teacher = lambda *_, **__: TeacherOutput(None, teacher)  # type: ignore[assignment]
    method.network.activations = lambda *_, **__: student  # type: ignore[method-assign]
    with torch.autocast("cpu", torch.bfloat16):
        found = method.compare(batch())[1]["attention"]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("weights", [(0.5, 0.5, 0.0), (0.0, 0.0, 1.0), (0.5, 0.5, 1.0)])
def test_teacher_is_frozen_and_no_part_of_the_student(weights: tuple[float, ...]) -> None:
    """Defect of the original: the teacher was not frozen, every step ran backward through it."""
    method = distillation(*weights)
    method.train()
    before = {k: v.clone() for k, v in method.teacher.state_dict().items()}
    assert not method.teacher.training
    assert not any("teacher" in name for name in method.state_dict())
    optimised = {
        id(p) for group in method.configure_optimizers().param_groups for p in group["params"]
    }
    assert not optimised & {id(p) for p in method.teacher.parameters()}

    _, terms = method.compare(batch())
    method.total(terms).backward()
    assert all(p.grad is None for p in method.teacher.parameters())
    assert any(p.grad is not None for p in method.network.parameters())
    for name, value in method.teacher.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


@pytest.mark.parametrize(("depth", "frozen"), [(2, [1]), (3, [2]), (4, [2, 3])])
def test_feature_stage_freezes_what_its_loss_never_reaches(depth: int, frozen: list[int]) -> None:
    method = distillation(0.0, 0.0, 1.0, student_depth=depth)
    expected = {f"cascades.1.layers.{n}.{part}" for n in frozen for part in ("weight", "bias")}
    found = {name for name, p in method.network.named_parameters() if not p.requires_grad}
    assert found == expected
    _, terms = method.compare(batch())
    method.total(terms).backward()
    reached = {name for name, p in method.network.named_parameters() if p.grad is not None}
    assert reached | expected == {name for name, _ in method.network.named_parameters()}
    assert not reached & expected


def test_output_stages_train_every_parameter() -> None:
    assert all(p.requires_grad for p in distillation(0.5, 0.5, 0.0).network.parameters())


def test_average_of_the_weights_is_what_is_measured() -> None:
    method = Supervised(
        network=DCCNN(cascades=1, depth=2, width=3),
        optimizer=torch.optim.SGD,
        weight_averaging=0.75,
    )
    standing = torch.optim.SGD(method.network.parameters(), lr=0)
    name = "cascades.0.layers.0.bias"
    expected = torch.zeros(3)
    for step in range(4):
        with torch.no_grad():
            method.network.get_parameter(name).fill_(step)
        method.optimizer_step(0, step, standing, None)
        expected = torch.full((3,), float(step)) if step == 0 else 0.75 * expected + 0.25 * step
    torch.testing.assert_close(method.measured_network.get_parameter(name), expected)
    assert not any(p.requires_grad for p in method.measured_network.parameters())
    optimised = method.configure_optimizers().param_groups[0]["params"]
    assert len(optimised) == len(list(method.network.parameters()))
    kept = method.state_dict()  # a resume goes on with it
    assert "_averages.network.n_averaged" in kept


def test_layers_of_a_loss_are_averaged_beside_the_network() -> None:
    method = Distillation(
        network=DCCNN(cascades=2, depth=2, width=4),
        teacher=DCCNN(cascades=2, depth=3, width=6),
        distillation=FitNets(),
        weights=LossWeights(0.0, 0.0, 1.0),
        optimizer=torch.optim.Adam,
        weight_averaging=0.75,
    )
    given, start = batch(), copy.deepcopy(method.distillation)
    _, before = method.compare(given, method.measured_network)
    with torch.no_grad():
        for parameter in method.distillation.parameters():
            parameter.add_(1)
    measured = method.measured("distillation")
    for one, other in zip(measured.parameters(), start.parameters(), strict=True):
        assert torch.equal(one, other)
    _, after = method.compare(given, method.measured_network)
    torch.testing.assert_close(after["attention"], before["attention"])
    _, trained = method.compare(given)
    assert not torch.isclose(trained["attention"], before["attention"])


def fitted(batches: list[Batch], skip_nonfinite: int, accumulate: int = 1) -> Supervised:
    torch.manual_seed(3)
    method = Supervised(
        network=DCCNN(cascades=1, depth=2, width=3),
        optimizer=partial(torch.optim.Adam, lr=0.01),
        skip_nonfinite=skip_nonfinite,
    )
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        accumulate_grad_batches=accumulate,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(method, DataLoader(batches, batch_size=None))  # type: ignore[arg-type]
    return method


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")  # of Lightning
def test_step_of_a_loss_that_is_not_finite_leaves_no_trace() -> None:
    good = [batch() for _ in range(4)]
    bad = batch()._replace(target=torch.full((2, 1, 16, 12), torch.nan))
    clean = fitted(good, skip_nonfinite=0)
    skipping = fitted([*good[:2], bad, bad, *good[2:]], skip_nonfinite=2)
    for one, other in zip(clean.parameters(), skipping.parameters(), strict=True):
        assert torch.equal(one, other)
    accumulating = fitted([bad, *good], skip_nonfinite=2, accumulate=2)
    assert all(torch.isfinite(p).all() for p in accumulating.parameters())
    with pytest.raises(DivergedError, match="step 3: the loss is not finite") as caught:
        fitted([*good[:2], bad], skip_nonfinite=0)
    assert caught.value.slices == [(0, 0), (1, 1)]
    with pytest.raises(DivergedError):
        fitted([bad, bad, bad], skip_nonfinite=2)

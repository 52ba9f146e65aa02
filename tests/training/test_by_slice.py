"""Gradients of several coils are taken slice by slice, and are those of the whole batch."""

import gc
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor

from kdmri.data.batch import Batch, Coils
from kdmri.data.cropping import Window
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
from kdmri.models import DCCNN, VarNet
from kdmri.physics import ifft2, to_channels
from kdmri.physics.coils import combine, expand
from kdmri.physics.fourier import fft2
from kdmri.training import Distillation, StudentFriendly, Supervised
from kdmri.training.base import TrainingMethod
from kdmri.training.distillation import LossWeights
from kdmri.training.image_loss import ImageLoss

SIZE = (24, 20)
LOSSES = [AttentionTransfer, FitNets, FSP, VariationalInformation]
RELATIONS = [CorrelationCongruence, Relational, SimilarityPreserving]


def coil_batch(items: int = 3, own_masks: bool = False) -> Batch:
    maps = torch.randn(items, 4, *SIZE, dtype=torch.complex64)
    maps = maps / torch.linalg.vector_norm(maps, dim=1, keepdim=True)
    image = torch.randn(items, 1, *SIZE, dtype=torch.complex64)
    lines = torch.rand(items if own_masks else 1, 1, 1, SIZE[1]) < 0.4
    lines[..., :2] = lines[..., -2:] = True
    mask = lines.float().expand(-1, 1, *SIZE).contiguous()
    kspace = mask * fft2(expand(image, maps))
    inputs = to_channels(combine(ifft2(kspace), maps), 2), kspace, mask, to_channels(image, 2)
    number, shown = torch.arange(items), Window(0, 0, *SIZE)
    coils = Coils(maps, torch.ones(items, 1, *SIZE), torch.full((items, 1), 48), shown)
    largest = image.abs().amax((1, 2, 3))
    return Batch(*inputs, largest, number, number, number, coils=coils)


def student() -> DCCNN:
    return DCCNN(2, 3, width=6, channels=2)


def distillation(weights: LossWeights, loss: DistillationLoss) -> Distillation:
    teacher = DCCNN(2, 3, width=8, channels=2)
    parts = {"network": student(), "teacher": teacher, "distillation": loss, "weights": weights}
    return Distillation(**parts, teacher_cache_gib=0.1, optimizer=torch.optim.Adam)


def supervised(**parts: object) -> Supervised:
    return Supervised(network=student(), optimizer=torch.optim.Adam, **parts)  # type: ignore[arg-type]


METHODS = {
    "supervised": supervised,
    "ssim": lambda: supervised(image_loss=ImageLoss(0.5, 0.5)),
    "magnitude": lambda: supervised(image_loss=ImageLoss(1.0, magnitude=True)),
    "inner": lambda: supervised(intermediate_supervision=0.5),
    "varnet": lambda: Supervised(VarNet(2, 4, 2, 2, 2), optimizer=torch.optim.Adam),
    "kd": lambda: distillation(LossWeights(0.5, 0.5, 0.0), AttentionTransfer()),
    "friendly": lambda: StudentFriendly(student(), student(), optimizer=torch.optim.Adam),
    **{
        kind.__name__: lambda kind=kind: distillation(LossWeights(0.3, 0.3, 0.4), kind())
        for kind in LOSSES
    },
}


def logged(method: TrainingMethod) -> dict[str, list[tuple[float, int]]]:
    found: dict[str, list[tuple[float, int]]] = {}

    def log(name: str, value: Tensor, batch_size: int, **_: object) -> None:
        found.setdefault(name, []).append((float(value), batch_size))

    method.log = log  # type: ignore[method-assign,assignment]
    return found


def gradients(method: TrainingMethod, loss: Tensor) -> dict[str, Tensor]:
    method.zero_grad()
    loss.backward()
    return {n: p.grad.clone() for n, p in method.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("kind", METHODS)
def test_loss_gradients_and_what_is_logged_are_the_batchs(kind: str, half: bool) -> None:
    torch.manual_seed(0)
    batch, method = coil_batch(own_masks=kind == "supervised"), METHODS[kind]()
    near = {"atol": 2e-2, "rtol": 5e-2} if half else {"atol": 1e-6, "rtol": 2e-3}
    with torch.autocast("cpu", torch.bfloat16) if half else nullcontext():
        lines = logged(method)
        whole = method.loss(batch)
        means, lines = lines, logged(method)
        parts = method.step_loss(batch)
    assert parts.grad_fn is not None
    assert "BySlice" in parts.grad_fn.name()
    torch.testing.assert_close(parts, whole, atol=1e-5, rtol=1e-2 if half else 1e-5)
    wanted, found = gradients(method, whole), gradients(method, 2 * parts)
    assert wanted.keys() == found.keys()
    for name, gradient in wanted.items():
        size = gradient.abs().max() + 1e-6
        torch.testing.assert_close(found[name] / size / 2, gradient / size, msg=name, **near)
    for name, [(mean, count)] in means.items():
        assert [number for _, number in lines[name]] == [1] * count
        each = sum(value for value, _ in lines[name]) / count
        assert each == pytest.approx(mean, rel=2e-2 if half else 1e-4)


@pytest.mark.parametrize("kind", RELATIONS)
def test_relations_of_slices_are_compared_in_the_batch(kind: type[DistillationLoss]) -> None:
    torch.manual_seed(0)
    method = distillation(LossWeights(0.0, 0.0, 1.0), kind())
    logged(method)
    batch = coil_batch(4)
    torch.testing.assert_close(method.step_loss(batch), method.loss(batch), atol=0, rtol=0)
    assert not method.by_slice
    assert distillation(LossWeights(1.0, 0.0, 0.0), kind()).by_slice


def test_one_coil_one_slice_and_padded_batches_stay_whole() -> None:
    batch, method = coil_batch(), supervised()
    logged(method)
    assert batch.coils is not None
    one = batch.coils._replace(sensitivities=batch.coils.sensitivities[:, :1])
    alone = batch._replace(kspace=batch.kspace[:, :1], coils=one)
    padded = batch._replace(counts=torch.tensor([True, True, False]))
    for given in (alone, batch.select([1]), padded):
        assert "BySlice" not in method.step_loss(given).grad_fn.name()  # type: ignore[union-attr]


def test_activations_of_one_slice_are_held_at_a_time() -> None:
    """Pixels that graphs hold, seen where autograd packs them, do not grow with the batch."""

    def most(items: int) -> int:
        method = supervised()
        logged(method)
        held, largest = 0, 0

        class Held:
            def __init__(self, tensor: Tensor) -> None:
                nonlocal held, largest
                self.tensor, held = tensor, held + tensor.numel()
                largest = max(largest, held)

            def __del__(self) -> None:
                nonlocal held
                held -= self.tensor.numel()

        with torch.autograd.graph.saved_tensors_hooks(Held, lambda kept: kept.tensor):
            method.step_loss(coil_batch(items)).backward()
        gc.collect()
        return largest

    assert most(5) < 1.2 * most(2)

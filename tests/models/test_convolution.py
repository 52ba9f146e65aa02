"""The convolutions that a CPU runs fast are PyTorch's own, with their gradients."""

from itertools import product

import pytest
import torch
from torch.nn import functional as F

from kdmri.models import convolution as module
from kdmri.models import narrow
from kdmri.models.convolution import NARROW, WIDE, Convolution
from tests.models.gradients import assert_same


def layer(
    inputs: int, outputs: int, size: tuple[int, int], bias: bool = True
) -> tuple[Convolution, torch.Tensor]:
    torch.manual_seed(0)
    image = torch.randn(2, inputs, *size, dtype=torch.double)
    image = image.contiguous(memory_format=torch.channels_last)
    return Convolution(inputs, outputs, bias).double(), image.requires_grad_()


@pytest.mark.parametrize(
    ("inputs", "outputs", "size"),
    [*product([NARROW + 1, 32], [1, 2, NARROW], [(7, 9)]), (8, 1, (1, 5)), (8, 2, (5, 1))],
)
def test_few_outputs_are_convolved_and_differentiated_exactly(
    inputs: int, outputs: int, size: tuple[int, int]
) -> None:
    convolution, image = layer(inputs, outputs, size)
    expected = F.conv2d(image, convolution.weight, convolution.bias, padding=1)
    found = convolution(image)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    weight = torch.randn_like(expected)
    parts = (image, convolution.weight, convolution.bias)
    wanted = torch.autograd.grad((expected * weight).sum(), parts)
    for one, other in zip(torch.autograd.grad((found * weight).sum(), parts), wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("frozen", ["", "image", "weight", "bias"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 32), (32, 1), (2, 8), (8, 2), (4, 7), (7, 4)])
def test_products_of_a_cuda_graph_are_the_same_convolution(
    inputs: int, outputs: int, bias: bool, frozen: str
) -> None:
    convolution, image = layer(inputs, outputs, (7, 5), bias)
    parts = {"image": image, "weight": convolution.weight, "bias": convolution.bias}
    learnt = [part for name, part in parts.items() if part is not None and name != frozen]
    if frozen and (part := parts[frozen]) is not None:
        part.requires_grad_(False)
    expected = F.conv2d(image, convolution.weight, convolution.bias, padding=1)
    found = narrow.convolved(image, convolution.weight, convolution.bias)
    assert_same(found, expected, learnt)


def test_gradient_agrees_with_finite_differences() -> None:
    convolution, image = layer(NARROW + 2, 1, (4, 5))
    assert torch.autograd.gradcheck(convolution, (image,))


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 32), (32, 32), (32, 1)])
def test_rectified_without_gradient_is_the_same(inputs: int, outputs: int) -> None:
    convolution, image = layer(inputs, outputs, (9, 8))
    convolution, image = convolution.float(), image.detach().float()
    expected = F.relu(F.conv2d(image, convolution.weight, convolution.bias, padding=1))
    with torch.inference_mode():
        torch.testing.assert_close(convolution.rectified(image), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("frozen", ["", "image", "weight", "bias"])
def test_gradient_of_a_relaid_convolution_is_the_same(
    frozen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "has_avx2_at_best", lambda: True)
    convolution, image = layer(WIDE, WIDE, (9, 8))
    convolution, image = convolution.float(), image.detach().float().requires_grad_()
    leaves = {"image": image, "weight": convolution.weight, "bias": convolution.bias}
    parts = {name: leaf.requires_grad_(name != frozen) for name, leaf in leaves.items()}
    parts.pop(frozen, None)
    found = convolution(image)
    assert "Relaid" in found.grad_fn.name()
    expected = F.conv2d(image, convolution.weight, convolution.bias, padding=1)
    torch.testing.assert_close(found, expected)
    weight = torch.randn_like(expected)
    wanted = torch.autograd.grad((expected * weight).sum(), [*parts.values()])
    gradients = torch.autograd.grad((found * weight).sum(), [*parts.values()])
    for part, one, other in zip(parts.values(), gradients, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-4)
        assert one.stride() == part.stride()


@pytest.mark.parametrize("outputs", [1, WIDE])
def test_bias_can_be_left_out(outputs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "has_avx2_at_best", lambda: True)
    convolution, image = layer(WIDE, outputs, (9, 8), bias=False)
    convolution, image = convolution.float(), image.detach().float().requires_grad_()
    found = convolution(image)
    expected = F.conv2d(image, convolution.weight, padding=1)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    one, other = (torch.autograd.grad(o.square().sum(), image)[0] for o in (found, expected))
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)

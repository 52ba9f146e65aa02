"""Convolutions between few channels and many give PyTorch's own images and gradients."""

import pytest
import torch
from torch.nn import functional as F

from kdmri.models import few
from kdmri.models.convolution import Convolution
from tests.models.gradients import assert_same


@pytest.mark.parametrize("frozen", ["", "image", "weight", "bias"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("inputs", "outputs"), [(2, 8), (8, 2), (4, 7), (7, 4)])
@pytest.mark.parametrize("size", [(7, 5), (1, 6), (6, 1)])
def test_they_are_the_same_convolution(
    inputs: int, outputs: int, bias: bool, frozen: str, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    layer = Convolution(inputs, outputs, bias).double()
    image = torch.randn(2, inputs, *size, dtype=torch.double).requires_grad_()
    parts = {"image": image, "weight": layer.weight, "bias": layer.bias}
    learnt = [part for name, part in parts.items() if part is not None and name != frozen]
    if frozen and (part := parts[frozen]) is not None:
        part.requires_grad_(False)
    convolve = few.widened if inputs < outputs else few.narrowed
    found = convolve(image, layer.weight, layer.bias)
    expected = F.conv2d(image, layer.weight, layer.bias, padding=1)
    assert_same(found, expected, learnt)


@pytest.mark.parametrize(("inputs", "outputs"), [(2, 6), (6, 2)])
def test_gradients_agree_with_finite_differences(inputs: int, outputs: int) -> None:
    torch.manual_seed(0)
    layer = Convolution(inputs, outputs).double()
    image = torch.randn(1, inputs, 4, 3, dtype=torch.double, requires_grad=True)
    convolve = few.widened if inputs < outputs else few.narrowed
    assert torch.autograd.gradcheck(convolve, (image, layer.weight, layer.bias))


@pytest.mark.parametrize(("inputs", "outputs"), [(2, 32), (32, 2)])
def test_training_on_complex_images_takes_them_and_that_on_real_ones_does_not(
    inputs: int, outputs: int
) -> None:
    for channels in (1, 2):
        layer = Convolution(*(channels if n == 2 else n for n in (inputs, outputs)))
        image = torch.randn(1, layer.in_channels, 6, 5, requires_grad=True)
        taken = layer(image).grad_fn.name()
        assert ("Narrowed" in taken or "Widened" in taken) == (channels == 2)
        with torch.no_grad():
            assert layer(image).grad_fn is None
        with torch.autocast("cpu", torch.bfloat16):
            assert layer(image).grad_fn.name() not in ("_NarrowedBackward", "_WidenedBackward")

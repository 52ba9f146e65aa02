"""Convolutions of a complex cascade as one function: the images and gradients of its layers."""

from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from kdmri.models import DCCNN, stack
from kdmri.models.cascaded import Tap
from kdmri.models.convolution import Convolution
from kdmri.physics import Measurement, fft2, to_complex


@pytest.fixture(autouse=True)
def avx512(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let any CPU take it; one with AVX2 alone is faster otherwise."""
    monkeypatch.setattr(stack, "has_avx2_at_best", lambda: False)


def layers_of(*widths: int) -> list[Convolution]:
    return [Convolution(inputs, outputs) for inputs, outputs in pairwise(widths)]


@pytest.mark.parametrize("frozen", [(), ("image",), (0, "image"), (1,), (2,), (0, 1, 2)])
@pytest.mark.parametrize("widths", [(2, 7, 6, 2), (2, 5, 2), (2, 8, 8, 6, 2)])
def test_it_is_the_layers_one_after_the_other(
    widths: tuple[int, ...], frozen: tuple[int | str, ...]
) -> None:
    torch.manual_seed(0)
    layers, image = layers_of(*widths), torch.randn(2, 2, 9, 7)
    learnt = [image.requires_grad_()] if "image" not in frozen else []
    for number, layer in enumerate(layers):
        if number in frozen:
            layer.requires_grad_(False)
        else:
            learnt += [layer.weight, layer.bias]  # type: ignore[list-item]
    assert stack.fits(layers, image)
    expected = image
    for number, layer in enumerate(layers, 1):
        expected = F.conv2d(expected, layer.weight, layer.bias, padding=1)
        expected = F.relu(expected) if number < len(layers) else expected
    found, weight = stack.convolved(image, layers), torch.randn(2, 2, 9, 7)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    given = weight.clone()
    gradients = torch.autograd.grad(found, learnt, given)
    assert torch.equal(given, weight)  # what is done in place is done to images of its own
    for one, other in zip(gradients, torch.autograd.grad(expected, learnt, weight), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_it_is_for_gradients_of_complex_images_in_single_precision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layers, image = layers_of(2, 6, 2), torch.randn(1, 2, 8, 8)
    assert stack.fits(layers, image)
    assert not stack.fits(layers_of(1, 6, 1), image[:, :1])
    assert not stack.fits(layers_of(2, 6, 3, 2), image)
    assert not stack.fits(layers, image.double())
    with torch.no_grad():
        assert not stack.fits(layers, image)
    with torch.autocast("cpu", torch.bfloat16):
        assert not stack.fits(layers, image)
    monkeypatch.setattr(stack, "has_avx2_at_best", lambda: True)
    assert not stack.fits(layers, image)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("expansion", [0, 2])
def test_a_network_gives_the_same_with_taps_and_without(residual: bool, expansion: int) -> None:
    """Taps within a cascade ask for its layers one by one."""
    torch.manual_seed(1)
    network = DCCNN(2, 3, 6, channels=2, residual=residual, expansion=expansion)
    mask = (torch.rand(1, 1, 1, 10) < 0.5).float().expand(1, 1, 12, 10)
    image = torch.randn(2, 2, 12, 10)
    inputs = image, mask * fft2(to_complex(image)), mask
    taps = [Tap(0, 1), Tap(0, 3), Tap(1, 2), Tap(1, 3)]
    expected, (_, first, _, last) = network.features(*inputs, taps=taps)
    found, (output, same) = network.features(*inputs, taps=[Tap(0, 3), Tap(1, 3)])
    for one, other in ((found, expected), (output, first), (same, last), (same, found)):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)
    state = network.cascades[0].advance(image, Measurement(*inputs[1:]))
    torch.testing.assert_close(state, first, atol=1e-6, rtol=1e-5)
    (alone,) = network.activations(*inputs, taps=[Tap(0, 3)])
    torch.testing.assert_close(alone, first, atol=1e-6, rtol=1e-5)
    parameters = list(network.parameters())
    wanted, gradients = (
        torch.autograd.grad(image.square().mean(), parameters) for image in (expected, found)
    )
    for one, other in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)

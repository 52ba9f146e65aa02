"""Measurement and data consistency of several coils: properties that any implementation has."""

import pytest
import torch
from torch import Tensor

from kdmri.models import DCCNN
from kdmri.physics import DataConsistency, Measurement, fft2, ifft2, to_complex

SIZE = (20, 15)
MASKS = ("rows", "columns", "points", "each")


def complex_normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.complex64, generator=generator)


def unit_maps(items: int = 2, coils: int = 4) -> Tensor:
    maps = complex_normal(items, coils, *SIZE, seed=1)
    return maps / torch.linalg.vector_norm(maps, dim=1, keepdim=True)


def mask_of(kind: str) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    shape = {
        "rows": (1, 1, SIZE[0], 1),
        "columns": (1, 1, 1, SIZE[1]),
        "points": (1, 1, *SIZE),
        "each": (2, 1, 1, SIZE[1]),
    }[kind]
    mask = (torch.rand(shape, generator=generator) < 0.4).float()
    return mask.expand(shape[0], 1, *SIZE).contiguous()


def forward(image: Tensor, maps: Tensor, mask: Tensor) -> Tensor:
    return mask * fft2(maps * image)


def adjoint(kspace: Tensor, maps: Tensor, mask: Tensor) -> Tensor:
    return (maps.conj() * ifft2(mask * kspace)).sum(dim=1, keepdim=True)


def as_channels(image: Tensor) -> Tensor:
    return torch.cat((image.real, image.imag), dim=1)


@pytest.mark.parametrize("kind", MASKS)
def test_hard_consistency_is_what_the_formula_says(kind: str) -> None:
    maps, mask, image = unit_maps(), mask_of(kind), complex_normal(2, 1, *SIZE)
    measured = forward(complex_normal(2, 1, *SIZE, seed=3), maps, mask)
    kspace = measured + (1 - mask) * fft2(maps * image)
    expected = (maps.conj() * ifft2(kspace)).sum(dim=1, keepdim=True)
    found = to_complex(Measurement(measured, mask, maps).impose(as_channels(image)))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", MASKS)
def test_with_unit_maps_it_is_a_gradient_step(kind: str) -> None:
    maps, mask, image = unit_maps(), mask_of(kind), complex_normal(2, 1, *SIZE)
    measured = forward(complex_normal(2, 1, *SIZE, seed=3), maps, mask)
    step = adjoint(measured - forward(image, maps, mask), maps, mask)
    measurement = Measurement(measured, mask, maps)
    for weight in (None, torch.tensor(1.0), torch.tensor(0.3)):
        found = to_complex(measurement.impose(as_channels(image), weight))
        expected = image + (1 if weight is None else weight) * step
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_a_soft_step_leaves_alone_what_no_coil_sees() -> None:
    maps, mask, image = unit_maps(), mask_of("rows"), complex_normal(2, 1, *SIZE)
    maps[..., :5, :] = 0
    measured = forward(complex_normal(2, 1, *SIZE, seed=3), maps, mask)
    found = to_complex(Measurement(measured, mask, maps).impose(as_channels(image), torch.ones(())))
    torch.testing.assert_close(found[..., :5, :], image[..., :5, :])
    hard = to_complex(Measurement(measured, mask, maps).impose(as_channels(image)))
    assert not hard[..., :5, :].any()


@pytest.mark.parametrize("kind", MASKS)
def test_measurement_and_combination_are_adjoint(kind: str) -> None:
    maps, mask = unit_maps(), mask_of(kind)
    image, kspace = complex_normal(2, 1, *SIZE), complex_normal(2, 4, *SIZE, seed=5)
    nothing = torch.zeros(2, 2, *SIZE)
    back = to_complex(Measurement(kspace, mask, maps).impose(nothing))
    left = torch.vdot(forward(image, maps, mask).flatten(), kspace.flatten())
    right = torch.vdot(image.flatten(), back.flatten())
    torch.testing.assert_close(left, right, atol=1e-3, rtol=1e-5)


def test_full_measurement_gives_the_image_whatever_the_network_thinks() -> None:
    maps, image = unit_maps(), complex_normal(2, 1, *SIZE)
    mask = torch.ones(1, 1, *SIZE)
    measurement = Measurement(fft2(maps * image), mask, maps)
    once = measurement.impose(as_channels(complex_normal(2, 1, *SIZE, seed=9)))
    torch.testing.assert_close(to_complex(once), image, atol=1e-5, rtol=0)
    torch.testing.assert_close(measurement.impose(once), once, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("soft", [False, True])
def test_one_coil_that_sees_everything_alike_is_no_coil(kind: str, soft: bool) -> None:
    mask, image = mask_of(kind), as_channels(complex_normal(2, 1, *SIZE))
    kspace = mask * complex_normal(2, 1, *SIZE, seed=7)
    consistency = DataConsistency(soft)
    without = consistency(image, Measurement(kspace, mask))
    ones = torch.ones(2, 1, *SIZE, dtype=torch.complex64)
    assert torch.equal(consistency(image, Measurement(kspace, mask, ones)), without)
    turned = ones * torch.polar(torch.ones(SIZE), complex_normal(*SIZE).real)
    other = to_complex(image) * turned.conj()
    found = consistency(as_channels(other), Measurement(kspace, mask, turned))
    back = to_complex(found) * turned
    torch.testing.assert_close(as_channels(back), without, atol=1e-5, rtol=0)


def test_soft_consistency_learns_its_step() -> None:
    consistency = DataConsistency(soft=True)
    maps, mask = unit_maps(), mask_of("rows")
    measured = forward(complex_normal(2, 1, *SIZE, seed=3), maps, mask)
    consistency(torch.zeros(2, 2, *SIZE), Measurement(measured, mask, maps)).sum().backward()
    (weight,) = consistency.parameters()
    assert weight.item() == 1
    assert weight.grad is not None
    assert weight.grad.item() != 0


def test_magnitude_does_not_depend_on_the_phase_of_the_maps() -> None:
    maps, mask, image = unit_maps(), mask_of("columns"), complex_normal(2, 1, *SIZE)
    measured = forward(image, maps, mask)
    turn = torch.exp(1j * torch.rand(1, 1, *SIZE, generator=torch.Generator().manual_seed(4)))
    own = complex_normal(2, 1, *SIZE, seed=8)
    found = Measurement(measured, mask, maps).consistent_image(as_channels(own))
    turned = Measurement(measured, mask, turn * maps)
    other = turned.consistent_image(as_channels(turn.conj() * own))
    torch.testing.assert_close(other, turn.conj() * found, atol=1e-5, rtol=0)


def test_number_of_coils_is_no_part_of_a_network() -> None:
    network = DCCNN(cascades=2, depth=2, width=4, channels=2).eval()
    for coils in (1, 3, 8):
        maps, mask = unit_maps(2, coils), mask_of("columns")
        measured = forward(complex_normal(2, 1, *SIZE), maps, mask)
        with torch.no_grad():
            output = network(as_channels(adjoint(measured, maps, mask)), measured, mask, maps)
        assert output.shape == (2, 2, *SIZE)


@pytest.mark.parametrize("kind", MASKS)
def test_exported_network_is_the_same(kind: str) -> None:
    network = DCCNN(cascades=2, depth=2, width=4, channels=2).eval()
    maps, mask = unit_maps(), mask_of(kind)
    measured = forward(complex_normal(2, 1, *SIZE), maps, mask)
    inputs = (as_channels(adjoint(measured, maps, mask)), measured, mask, maps)
    with torch.no_grad():
        exported = torch.export.export(network, inputs).module()
        torch.testing.assert_close(exported(*inputs), network(*inputs), atol=1e-5, rtol=0)


def test_bf16_mixed_keeps_consistency_in_single_precision() -> None:
    maps, mask, image = unit_maps(), mask_of("columns"), complex_normal(2, 1, *SIZE)
    measured, own = forward(image, maps, mask), as_channels(complex_normal(2, 1, *SIZE, seed=8))
    for weight in (None, torch.tensor(0.7)):
        expected = Measurement(measured, mask, maps).impose(own, weight)
        with torch.autocast("cpu", torch.bfloat16):
            found = Measurement(measured, mask, maps).impose(own, weight)
        torch.testing.assert_close(found, expected, atol=0, rtol=0)


@pytest.mark.parametrize("kind", MASKS)
def test_coils_one_by_one_are_all_at_once_and_so_is_their_gradient(kind: str) -> None:
    maps, image = unit_maps(), complex_normal(2, 1, *SIZE).requires_grad_()
    measurement = Measurement(complex_normal(2, 4, *SIZE, seed=3), mask_of(kind), maps)
    found = measurement.consistent_image(as_channels(image))
    expected = measurement.unmeasured(image)
    expected = expected + (maps.conj() * ifft2(mask_of(kind) * measurement.kspace)).sum(1, True)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    weight = complex_normal(2, 1, *SIZE, seed=4)
    one, other = (torch.autograd.grad(part, image, weight)[0] for part in (found, expected))
    torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("seen", [(3, 12), (7, 8), (0, 0)])
@pytest.mark.parametrize("kind", MASKS)
def test_coils_one_by_one_where_they_see_something_are_the_formula(
    kind: str, seen: tuple[int, int]
) -> None:
    maps, mask, image = unit_maps(), mask_of(kind), complex_normal(2, 1, *SIZE)
    inside = torch.zeros(2, 1, *SIZE)
    first, end = seen
    inside[0, :, first:end, first:end] = 1
    inside[1, :, first : end - 1, first:end] = 1  # one item sees less than the other
    maps = maps * inside
    measurement = Measurement(forward(image, maps, mask), mask, maps)
    for found, kept in (
        (measurement.measured_by_coil(image), mask),
        (measurement.unmeasured_by_coil(image), 1 - mask),
    ):
        expected = adjoint(forward(image, maps, kept), maps, kept)
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)

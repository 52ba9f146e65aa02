from pathlib import Path

import pytest
import torch

from kdmri.data.simulated_coils import draw_phase, draw_sensitivities
from kdmri.physics import fft2
from kdmri.physics.coils import expand
from kdmri.physics.sense import conjugate_gradient_sense, noise_variance, weighted_consistency
from tests.physics import bart


def scan(size: tuple[int, int] = (48, 40), items: int = 2) -> tuple[torch.Tensor, ...]:
    """Image, sensitivities and mask of every second row besides a centre."""
    sensitivities = draw_sensitivities(size, 8, range(items))
    phase = draw_phase(size, range(items))
    image = torch.polar(torch.rand(phase.shape, generator=torch.Generator().manual_seed(1)), phase)
    mask = torch.zeros(1, 1, *size)
    mask[:, :, ::2] = mask[:, :, :6] = mask[:, :, -6:] = 1
    return image, sensitivities, mask


def test_image_comes_back_where_coils_tell_it() -> None:
    image, sensitivities, mask = scan()
    kspace = fft2(expand(image, sensitivities))
    unmeasured = torch.where(mask > 0, kspace, torch.nan)
    found = conjugate_gradient_sense(unmeasured, mask, sensitivities, iterations=60)
    torch.testing.assert_close(found, image, atol=2e-3, rtol=0)
    full = conjugate_gradient_sense(kspace, torch.ones_like(mask), sensitivities, iterations=1)
    torch.testing.assert_close(full, image, atol=1e-5, rtol=0)


def test_items_of_a_batch_do_not_touch_each_other_and_empty_ones_stay_empty() -> None:
    image, sensitivities, mask = scan(items=3)
    kspace = fft2(expand(image, sensitivities)) * torch.tensor([1, 0, 1e-6]).view(3, 1, 1, 1)
    found = conjugate_gradient_sense(kspace, mask, sensitivities, iterations=40)
    assert not found[1].any()
    for number, scale in ((0, 1.0), (2, 1e-6)):
        one = slice(number, number + 1)
        alone = conjugate_gradient_sense(kspace[one], mask, sensitivities[one], iterations=40)
        torch.testing.assert_close(found[one], alone, atol=1e-4 * scale, rtol=0)


def test_regularised_image_solves_its_equation() -> None:
    image, sensitivities, _ = scan((6, 5), items=1)
    mask = torch.zeros(1, 1, 6, 5)
    mask[:, :, ::2] = 1
    kspace = fft2(expand(image, sensitivities))
    unit = torch.eye(30, dtype=torch.complex64).view(30, 1, 6, 5)
    matrix = (mask * fft2(expand(unit, sensitivities))).flatten(1).T
    normal = matrix.mH @ matrix + 0.1 * torch.eye(30)
    expected = torch.linalg.solve(normal, matrix.mH @ (mask * kspace).flatten())
    found = conjugate_gradient_sense(kspace, mask, sensitivities, 60, regularisation=0.1)
    torch.testing.assert_close(found.flatten(), expected, atol=1e-4, rtol=0)


@bart.needed
@pytest.mark.parametrize(("iterations", "regularisation"), [(8, 0.0), (40, 0.01)])
def test_image_is_that_of_bart(tmp_path: Path, iterations: int, regularisation: float) -> None:
    image, sensitivities, mask = scan(items=1)
    kspace = fft2(expand(image, sensitivities))
    found = conjugate_gradient_sense(kspace, mask, sensitivities, iterations, regularisation)
    bart.write(tmp_path / "kspace", bart.to_middle((mask * kspace)[0]))
    bart.write(tmp_path / "maps", bart.to_middle(sensitivities[0]))
    options = ("-S", "-l2", f"-r{regularisation}", f"-i{iterations}")
    bart.run("pics", *options, tmp_path / "kspace", tmp_path / "maps", tmp_path / "image")
    expected = bart.to_corner(bart.read(tmp_path / "image"))
    difference = (found[0] - expected).abs().max() / expected.abs().max()
    assert difference < 1e-3


@pytest.mark.parametrize("size", [(1, 1), (6, 5)])
def test_weighted_image_solves_its_equation_and_lets_gradients_pass(size: tuple[int, int]) -> None:
    image, sensitivities, _ = scan((6, 5), items=1)
    mask = torch.zeros(1, 1, 6, 5)
    mask[:, :, ::2] = 1
    kspace = fft2(expand(image, sensitivities))
    prior = torch.randn(1, 1, 6, 5, dtype=torch.complex64).requires_grad_()
    unit = torch.eye(30, dtype=torch.complex64).view(30, 1, 6, 5)
    matrix = (mask * fft2(expand(unit, sensitivities))).flatten(1).T
    weight = 0.1 + 0.4 * torch.rand(1, 1, *size)
    weights = weight.expand(1, 1, 6, 5).flatten()
    normal = matrix.mH @ matrix + torch.diag(weights)
    right = matrix.mH @ (mask * kspace).flatten() + weights * prior.detach().flatten()
    found = weighted_consistency(prior, kspace, mask, sensitivities, 60, weight)
    expected = torch.linalg.solve(normal, right)
    torch.testing.assert_close(found.detach().flatten(), expected, atol=1e-4, rtol=0)
    onto = torch.randn(30, dtype=torch.complex64)
    (found.flatten().conj() * onto).real.sum().backward()
    assert prior.grad is not None
    wanted = weights * torch.linalg.solve(normal, onto)
    torch.testing.assert_close(prior.grad.flatten(), wanted, atol=1e-3, rtol=0)


def test_noise_is_what_the_corners_of_kspace_hold() -> None:
    noise = torch.tensor([0.1, 0.3]).view(2, 1, 1, 1) * torch.view_as_complex(
        torch.randn(2, 6, 40, 48, 2)
    )
    kspace = noise.clone()
    kspace[:, :, [0, 1, -1]] += 100
    kspace[..., [0, 1, -1]] += 100
    mask = torch.zeros(1, 1, 40, 48)
    mask[..., ::3] = 1
    found = noise_variance(torch.where(mask > 0, kspace, torch.nan), mask)
    torch.testing.assert_close(found.sqrt().flatten(), torch.tensor([0.1, 0.3]), rtol=0.1, atol=0)
    mask[..., 10:-10] = 0  # nothing is left of the corners
    assert not noise_variance(kspace, mask).any()


def test_noise_is_told_from_sharp_images_by_what_coils_do_not_have_in_common() -> None:
    """Each sample holds a hundred times as much signal as noise, in the corners, too."""
    image = torch.rand(2, 1, 64, 60).to(torch.complex64)
    maps = draw_sensitivities((64, 60), 8, [1, 2])
    signal = fft2(expand(image, maps))
    level = torch.tensor([0.001, 0.004]).view(2, 1, 1, 1)
    kspace = signal + level * torch.view_as_complex(torch.randn(2, 8, 64, 60, 2))
    mask = torch.zeros(1, 1, 64, 60)
    mask[..., ::4] = 1
    mask[..., [*range(12), *range(48, 60)]] = 1
    found = noise_variance(torch.where(mask > 0, kspace, torch.nan), mask).sqrt()
    assert signal.abs().mean() > 25 * level.max()
    torch.testing.assert_close(found, level, rtol=0.25, atol=0)
    alone = noise_variance(kspace[1:], mask)
    torch.testing.assert_close(alone.sqrt(), found[1:], rtol=1e-3, atol=0)


def test_few_coils_or_patches_have_their_noise_told_by_the_corners() -> None:
    kspace = torch.view_as_complex(torch.randn(1, 1, 40, 40, 2))
    mask = torch.zeros(1, 1, 40, 40)
    mask[..., ::2] = 1  # no two lines side by side
    assert noise_variance(kspace, mask).item() == pytest.approx(1, rel=0.15)

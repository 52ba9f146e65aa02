"""DC-CNNs for several coils that go on from CG-SENSE and close with a weighted consistency."""

import pytest
import torch

from kdmri.errors import ConfigurationError
from kdmri.models import DCCNN, build_network
from kdmri.models.dc_cnn import FLAT_ERROR, LEAST_WEIGHT, closing_weight, with_floor
from kdmri.physics import fft2, ifft2, magnitude, to_channels, to_complex
from kdmri.physics.coils import combine, expand, root_sum_of_squares
from kdmri.physics.sense import noise_variance
from tests.physics.test_sense import scan


def error(network: DCCNN, noise: float) -> float:
    """Of the image that a network makes of simulated coils with noise, root mean square."""
    torch.manual_seed(0)
    image, maps, mask = scan()
    kspace = fft2(expand(image, maps))
    kspace = mask * (kspace + noise * torch.randn_like(kspace))
    zero_filled = to_channels(combine(ifft2(kspace), maps), 2)
    with torch.no_grad():
        found = network(zero_filled, kspace, mask, maps)
    return float((found - to_channels(image, 2)).square().mean().sqrt())


def silent(**settings: int) -> DCCNN:
    """A network whose convolutions add nothing."""
    network = DCCNN(2, 2, 4, channels=2, residual=True, **settings)
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    return network.eval()


def test_cascades_go_on_from_cg_sense() -> None:
    assert error(silent(start=16), 0) < 0.3 * error(silent(), 0)


def test_closing_consistency_trusts_samples_as_far_as_their_noise_lets_it() -> None:
    wrong = DCCNN(1, 2, 4, channels=2, residual=True)
    closed = DCCNN(1, 2, 4, channels=2, residual=True, closing=12)
    closed.load_state_dict(wrong.state_dict())
    for network in (wrong, closed):
        torch.nn.init.constant_(network.cascades[0].layers[-1].bias, 0.1)
        network.eval()
    gains = [error(wrong, noise) / error(closed, noise) for noise in (0.001, 0.03, 0.3)]
    assert gains[0] > gains[1] > gains[2] > 0.95
    assert gains[0] > 1.15
    assert error(closed.train(), 0.001) == error(wrong, 0.001)  # training goes without


def test_closing_consistency_trusts_images_least_where_they_vary() -> None:
    image = torch.zeros(2, 2, 40, 40)
    image[0, 0] = torch.where(torch.arange(40) < 20, 1.0, 0.2)
    image[1, 0] = 0.7  # flat
    weight = closing_weight(image, torch.tensor([0.01, 0.0]).view(2, 1, 1, 1))
    assert weight.shape == (2, 1, 40, 40)
    edge, flat = weight[0, 0, :, 17:23], weight[0, 0, :, :16]
    torch.testing.assert_close(flat, torch.full_like(flat, 0.01 / FLAT_ERROR**2), rtol=0.05, atol=0)
    assert (edge < 0.02 * flat.min()).all()
    assert (weight[1] == LEAST_WEIGHT).all()


def test_noise_floor_makes_magnitudes_those_of_the_root_sum_of_squares() -> None:
    """On average, also where there is no signal; the phase stays."""
    image, maps, mask = scan((64, 60))
    image = image * (torch.arange(60) < 30)
    kspace = fft2(expand(image, maps))
    kspace = kspace + 0.03 * torch.view_as_complex(torch.randn(*kspace.shape, 2))
    full = torch.ones_like(mask)
    squares = root_sum_of_squares(ifft2(kspace))
    plain, floored = silent(), silent(noise_floor=True)
    with torch.no_grad():
        inputs = (to_channels(image, 2), torch.zeros_like(kspace), torch.zeros_like(mask), maps)
        clean = plain(*inputs)
        noise = 2 * kspace.shape[1] * noise_variance(kspace, full)
        found = with_floor(clean, noise)
        whole = floored(to_channels(combine(ifft2(kspace), maps), 2), kspace, full, maps)
    for half in (slice(0, 30), slice(30, 60)):
        wanted = squares[..., half].mean(dim=(1, 2, 3))
        got = magnitude(found)[..., half].mean(dim=(1, 2, 3))
        torch.testing.assert_close(got, wanted, rtol=0.1, atol=0)
    assert (magnitude(clean)[..., 30:].mean() < 0.1 * squares[..., 30:].mean()).all()
    inner = to_complex(found)[..., :30] * to_complex(clean)[..., :30].conj()
    assert (inner.imag.abs() < 1e-3 * inner.abs() + 1e-4).all()
    assert (magnitude(whole) >= magnitude(to_channels(combine(ifft2(kspace), maps), 2))).all()


@pytest.mark.parametrize("power", [0.01, 0.0])
def test_gradients_pass_a_floor_above_nothing(power: float) -> None:
    image = torch.zeros(1, 2, 4, 4, requires_grad=True)
    magnitude(with_floor(image, torch.full((1, 1, 1, 1), power))).sum().backward()
    assert image.grad is not None
    assert image.grad.isfinite().all()


def test_one_coil_has_neither() -> None:
    network, plain = silent(start=3, closing=3), silent()
    image, mask = torch.rand(1, 2, 16, 12), torch.ones(1, 1, 16, 12)
    mask[:, :, 3:9] = 0
    kspace = mask.to(torch.complex64)
    assert torch.equal(network(image, kspace, mask), plain(image, kspace, mask))


def test_training_moves_every_weight() -> None:
    network = DCCNN(2, 2, 4, channels=2, residual=True, start=2, closing=3)
    image, maps, mask = scan()
    kspace = mask * fft2(expand(image, maps))
    zero_filled = to_channels(combine(ifft2(kspace), maps), 2)
    magnitude(network(zero_filled, kspace, mask, maps)).mean().backward()
    for parameter in network.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
        assert parameter.grad.any()


@pytest.mark.parametrize("settings", [{"start": -1}, {"closing": -1}, {"start": 2, "channels": 1}])
def test_wrong_settings_are_one_line(settings: dict[str, int]) -> None:
    given = {"_target_": "kdmri.models.DCCNN", "cascades": 1, "depth": 2, "channels": 2}
    with pytest.raises(ConfigurationError, match="needs at least 0, and 2 channels above"):
        build_network(given | settings)

import pytest
import torch
from torch.nn import functional as F

from kdmri.models import VDSR, Tap
from kdmri.physics import fft2, to_complex

PUBLISHED = {11: (333_569, 6), 7: (185_857, 4)}


@pytest.mark.parametrize("depth", PUBLISHED)
def test_parameters_and_tap_are_the_published_ones(depth: int) -> None:
    parameters, middle = PUBLISHED[depth]
    network = VDSR(depth)
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert network.middle_taps == (Tap(0, middle - 1),)


def test_network_adds_its_input_to_plain_convolutions() -> None:
    network = VDSR(depth=4, width=5)
    image = torch.rand(2, 1, 13, 10)
    mask = torch.zeros(1, 1, 13, 10)
    residual = image
    for number in range(4):
        weights = (network.get_parameter(f"cascades.0.layers.{number}.{k}") for k in WEIGHTS)
        residual = F.conv2d(residual.relu() if number else residual, *weights, padding=1)
    output = network(image, mask.to(torch.complex64), mask)
    torch.testing.assert_close(output, image + residual)


WEIGHTS = ("weight", "bias")


def test_closing_consistency_keeps_the_measured_centre() -> None:
    mask = torch.zeros(1, 1, 16, 12)
    mask[..., [0, 1, 2, 14, 15], :4] = 1
    target = torch.randn(2, 2, 16, 12)
    kspace = mask * fft2(to_complex(target))
    image = torch.rand(2, 2, 16, 12)
    closed = VDSR(depth=3, width=4, channels=2, consistency=True)
    found = fft2(to_complex(closed(image, kspace, mask)))
    torch.testing.assert_close(mask * found, kspace, atol=1e-5, rtol=0)
    opened = VDSR(depth=3, width=4, channels=2)
    opened.load_state_dict(closed.state_dict())
    own = fft2(to_complex(opened(image, kspace, mask)))
    torch.testing.assert_close((1 - mask) * found, (1 - mask) * own, atol=1e-5, rtol=0)


def test_signal_survives_all_convolutions() -> None:
    network = VDSR(depth=11)
    image = torch.rand(1, 1, 40, 40)
    mask = torch.zeros(1, 1, 40, 40)
    taps = network.taps([[0, 0], [0, 9]])
    output, (first, last) = network.features(image, mask.to(torch.complex64), mask, taps=taps)
    assert 0.2 < last.std() / first.std() < 5
    assert 0.01 < (output - image).std() / image.std() < 1


@pytest.mark.parametrize(
    "wrong", [{"depth": 1}, {"depth": 3, "width": 0}, {"depth": 3, "channels": 3}]
)
def test_impossible_networks_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="needs depth >= 2"):
        VDSR(**wrong)

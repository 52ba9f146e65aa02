import pytest
import torch

from kdmri.errors import ConfigurationError
from kdmri.models import Tap, UNet
from kdmri.physics import fft2, to_complex


def inputs(size: tuple[int, int], channels: int = 1) -> tuple[torch.Tensor, ...]:
    mask = (torch.rand(1, 1, *size) < 0.4).float()
    target = torch.rand(2, channels, *size)
    return target, mask * fft2(to_complex(target)), mask


def test_parameters_are_those_of_fastmris_baseline() -> None:
    widths = [32, 64, 128, 256]
    expected = 9 * 32 + 9 * 32 * 32  # down1
    expected += sum(9 * w * 2 * w + 9 * (2 * w) ** 2 for w in widths)  # down2-4, bottleneck
    expected += sum(2 * w * w * 4 + 9 * 2 * w * w + 9 * w * w for w in widths)  # up
    expected += 32 + 1
    assert sum(p.numel() for p in UNet().parameters()) == expected == 7_756_097


@pytest.mark.parametrize("size", [(32, 32), (37, 45)])
def test_blocks_are_tapped_by_name(size: tuple[int, int]) -> None:
    network, given = UNet(width=4, levels=2), inputs(size)
    taps = network.taps([[0, "down1"], [0, "bottleneck"], [0, "up2"]])
    output, found = network.features(*given, taps=taps)
    assert output.shape == given[0].shape
    heights = [feature.shape[1:] for feature in found]
    assert heights == [(4, *size), (16, size[0] // 4, size[1] // 4), (4, *size)]
    torch.testing.assert_close(found[0], network.cascades[0].down[0](given[0]))
    torch.testing.assert_close(network.cascades[0].output(found[-1]), output)


def test_closing_consistency_keeps_measured_samples() -> None:
    image, kspace, mask = inputs((16, 12), channels=2)
    output = UNet(width=3, levels=1, channels=2, consistency=True)(image, kspace, mask)
    torch.testing.assert_close(mask * fft2(to_complex(output)), kspace, atol=1e-5, rtol=0)


@pytest.mark.parametrize("levels", [4, 5])
def test_deep_networks_are_tried_on_images_that_are_large_enough(levels: int) -> None:
    features = UNet(width=1, levels=levels).tiny_features([Tap(0, levels)])
    assert features[0].shape[1] == 2**levels


def test_places_that_are_not_there_are_named() -> None:
    network = UNet(width=2, levels=1)
    for wrong in ([0, "down2"], [1, 0], [0, 9]):
        with pytest.raises(ConfigurationError, match="named down1, bottleneck, up1"):
            network.taps([wrong])
    with pytest.raises(ConfigurationError, match='taps "end": give middle, ends'):
        network.taps("end")


@pytest.mark.parametrize("wrong", [{"width": 0}, {"levels": 0}, {"channels": 3}])
def test_impossible_networks_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="needs width >= 1"):
        UNet(**wrong)

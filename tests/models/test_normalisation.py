"""Instance normalisation that is fast is as exact as PyTorch's."""

import pytest
import torch
from torch import nn

from kdmri.models.normalisation import InstanceNorm


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("size", [(96, 80), (3, 4)])
def test_it_is_exact_without_gradient(layout: torch.memory_format, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    image = (5 + 3 * torch.randn(2, 18, *size)).contiguous(memory_format=layout)
    exact = nn.InstanceNorm2d(18)(image.double().contiguous())
    layer, plain = InstanceNorm(18), nn.InstanceNorm2d(18)
    with torch.inference_mode():
        off = (layer(image) - exact).abs().max()
        assert off <= 2 * (plain(image) - exact).abs().max() + 1e-6
        assert off < 1e-5
    assert torch.equal(layer(image), plain(image))  # with gradients it is PyTorch's


def test_one_pixel_has_no_deviation_and_is_refused() -> None:
    with torch.inference_mode(), pytest.raises(ValueError, match="more than 1 spatial element"):
        InstanceNorm(2)(torch.ones(1, 2, 1, 1))

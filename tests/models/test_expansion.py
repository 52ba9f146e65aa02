import pytest
import torch

from kdmri.models import DCCNN
from kdmri.models.convolution import Convolution
from kdmri.physics import fft2, to_complex


def inputs() -> tuple[torch.Tensor, ...]:
    image, mask = torch.rand(2, 1, 24, 20), torch.zeros(1, 1, 24, 20)
    mask[:, :, ::3] = 1
    return 0.7 * image, mask * fft2(to_complex(image)), mask


def trained(expansion: int) -> DCCNN:
    """A network that has learnt a little, so that its expansions are not zero."""
    torch.manual_seed(1)
    network = DCCNN(cascades=2, depth=3, width=6, residual=True, expansion=expansion)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    given = inputs()
    for _ in range(5):
        optimizer.zero_grad()
        network(*given).square().mean().backward()
        optimizer.step()
    return network


def test_folded_network_is_the_published_one_with_the_same_output() -> None:
    network = trained(expansion=4)
    folded = network.folded()
    plain = DCCNN(cascades=2, depth=3, width=6, residual=True)
    assert folded.state_dict().keys() == plain.state_dict().keys()
    assert sum(p.numel() for p in folded.parameters()) == sum(p.numel() for p in plain.parameters())
    plain.load_state_dict(folded.state_dict())
    given = inputs()
    for mode in (torch.no_grad(), torch.enable_grad()):
        with mode:
            torch.testing.assert_close(plain(*given), network(*given), atol=1e-6, rtol=0)
            torch.testing.assert_close(folded(*given), network(*given), atol=1e-6, rtol=0)


def test_published_size_stays_as_it_is() -> None:
    network = DCCNN(cascades=5, depth=3, expansion=4)
    assert sum(p.numel() for p in network.parameters()) > 49_285
    assert sum(p.numel() for p in network.folded().parameters()) == 49_285


def test_it_begins_as_the_plain_network_and_then_learns_otherwise() -> None:
    torch.manual_seed(0)
    plain = DCCNN(cascades=2, depth=3, width=6)
    expanded = plain.folded()
    for layer in expanded.modules():
        if isinstance(layer, Convolution):
            layer.expand(3)
    given = inputs()
    torch.testing.assert_close(expanded(*given), plain(*given), atol=1e-6, rtol=0)
    weights = trained(4).folded().state_dict()["cascades.0.layers.0.weight"]
    others = trained(0).folded().state_dict()["cascades.0.layers.0.weight"]
    assert (weights - others).abs().max() > 1e-3


def test_negative_expansion_is_refused() -> None:
    with pytest.raises(ValueError, match="expansion=-1"):
        DCCNN(cascades=1, depth=2, expansion=-1)


@pytest.mark.parametrize("expansion", [0, 4])
def test_activations_lie_channels_last(expansion: int) -> None:
    network = DCCNN(cascades=2, depth=3, width=8, residual=True, expansion=expansion)
    taps = network.taps("ends")
    for activation in network.activations(*inputs(), taps=taps):
        assert activation.stride(1) == 1

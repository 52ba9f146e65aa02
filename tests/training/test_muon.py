import copy

import numpy as np
import pytest
import torch
from torch import nn

from kdmri.models import DCCNN
from kdmri.physics import fft2, ifft2, to_complex
from kdmri.training.muon import Muon, orthogonal

BETAS = (0.95, 0.99)


@pytest.mark.parametrize("shape", [(1, 9), (32, 9), (32, 288), (3, 32, 288), (4, 4)])
def test_singular_values_come_close_to_one_and_vectors_stay(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    matrices = 1e-3 * torch.randn(shape)
    left, values, right = torch.linalg.svd(matrices, full_matrices=False)
    within = left.mT @ orthogonal(matrices) @ right.mT
    found = torch.diagonal(within, dim1=-2, dim2=-1)
    large = values > 0.1 * values.amax(dim=-1, keepdim=True)
    assert ((found > 0.6) & (found < 1.3))[large].all()
    torch.testing.assert_close(within, torch.diag_embed(found), atol=1e-4, rtol=0)


def test_first_step_of_a_kernel_has_the_size_that_the_rate_says() -> None:
    torch.manual_seed(0)
    kernel = nn.Parameter(torch.randn(32, 32, 3, 3).to(memory_format=torch.channels_last))
    before = kernel.detach().clone()
    kernel.grad = torch.randn_like(kernel) * 1e-6  # its scale does not matter
    Muon([kernel], lr=0.01, betas=BETAS).step()
    size = (kernel - before).square().mean().sqrt()
    assert size.item() == pytest.approx(0.2 * 0.01, rel=0.2)


def test_vectors_are_optimised_as_adam_does() -> None:
    ours = nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
    theirs = nn.Parameter(ours.detach().clone())
    unused = nn.Parameter(torch.zeros(2, 2))
    one = Muon([ours, unused], lr=0.1, betas=(0.8, 0.9))
    other = torch.optim.Adam([theirs], lr=0.1, betas=(0.8, 0.9))
    for _ in range(5):
        for parameter, optimizer in ((ours, one), (theirs, other)):
            optimizer.zero_grad()
            parameter.pow(4).sum().backward()
            optimizer.step()
    torch.testing.assert_close(ours, theirs)


def test_steps_of_many_kernels_are_those_of_each_however_they_lie_in_memory() -> None:
    torch.manual_seed(0)
    values = [torch.randn(5, 3, 3, 3) for _ in range(3)]
    gradients = [[torch.randn(5, 3, 3, 3) for _ in values] for _ in range(3)]
    layouts = (torch.channels_last, torch.contiguous_format)
    together = [
        nn.Parameter(v.clone().to(memory_format=layouts[n % 2])) for n, v in enumerate(values)
    ]
    apart = [nn.Parameter(v.clone()) for v in values]
    one, *others = Muon(together, 0.1, BETAS), *(Muon([p], 0.1, BETAS) for p in apart)
    for now in gradients:
        for mine, its, gradient in zip(together, apart, now, strict=True):
            mine.grad, its.grad = gradient.to(mine), gradient.clone()
        for optimizer in (one, *others):
            optimizer.step()
    for mine, its, value in zip(together, apart, values, strict=True):
        torch.testing.assert_close(mine, its)
        assert (mine - value).abs().max() > 0.01


def loss_after(
    optimizer: torch.optim.Optimizer, network: DCCNN, image: torch.Tensor, steps: int
) -> float:
    mask = torch.zeros(1, 1, *image.shape[-2:])
    mask[:, :, ::3] = 1
    kspace = mask * fft2(to_complex(image))
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (network(ifft2(kspace).abs(), kspace, mask) - image).abs().mean()
        loss.backward()
        optimizer.step()
    return float(loss.detach())


def test_it_learns_and_goes_on_from_its_state(anatomy: np.ndarray) -> None:
    image = torch.from_numpy(anatomy[:, :, 10:12]).float().permute(2, 0, 1)[:, None]
    torch.manual_seed(0)
    network = DCCNN(cascades=2, depth=3, width=8, residual=True)
    optimizer = Muon(network.parameters(), lr=0.01, betas=BETAS)
    first = loss_after(optimizer, network, image, 1)
    assert loss_after(optimizer, network, image, 40) < 0.7 * first
    other = network.folded()
    resumed = Muon(other.parameters(), lr=1.0, betas=BETAS)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    went_on = loss_after(resumed, other, image, 3)
    assert went_on == loss_after(optimizer, network, image, 3)


@pytest.mark.parametrize(("lr", "betas"), [(-1.0, BETAS), (0.1, (1.0, 0.9))])
def test_values_out_of_range_are_refused(lr: float, betas: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="needs lr >= 0"):
        Muon([nn.Parameter(torch.zeros(2, 2))], lr, betas)


def test_vectors_alone_are_refused() -> None:
    with pytest.raises(ValueError, match="all parameters are vectors"):
        Muon([nn.Parameter(torch.zeros(2))], 0.1, BETAS)

"""What a network costs to run."""

import time
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from kdmri.models.cascaded import CascadedNetwork

WARM_UP = 3


def flops(network: CascadedNetwork, size: tuple[int, int]) -> int:
    """Count the operations of one slice (H, W): two for each product of a convolution.

    Fourier transforms and activations are left out, as is usual.
    """
    image = torch.rand(1, network.channels, *size)
    mask = torch.rand(1, 1, *size).round()  # of single points: lines would be imposed by products
    device = next(network.parameters()).device
    inputs = (t.to(device) for t in (image, mask.to(torch.complex64), mask))
    with FlopCounterMode(display=False) as counter, torch.enable_grad():  # no fused operations
        network(*inputs)
    return counter.get_total_flops()


@torch.inference_mode()
def latencies(
    networks: Mapping[str, CascadedNetwork], inputs: Sequence[Tensor], runs: int
) -> dict[str, float]:
    """Time networks in turns, so that what else the machine does meets all of them alike.

    Args:
        networks: on one device, in evaluation mode, by name.
        inputs: image, k-space and mask of one batch, on that device.
        runs: of each network, after a warm-up.

    Returns:
        Median milliseconds of a batch, by name.
    """
    measured: dict[str, list[float]] = {name: [] for name in networks}
    for number in range(WARM_UP + runs):
        for name, network in networks.items():
            begin = _now(inputs[0].device)
            network(*inputs)
            if number >= WARM_UP:
                measured[name].append(1000 * (_now(inputs[0].device) - begin))
    return {name: torch.tensor(times).median().item() for name, times in measured.items()}


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()

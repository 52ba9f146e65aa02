"""What a network costs to run."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import torch
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
    known = {torch.ops.mkldnn._convolution_pointwise: _of_convolution}
    with FlopCounterMode(display=False, custom_mapping=known) as counter, torch.enable_grad():
        network(*inputs)
    return counter.get_total_flops()


def _of_convolution(
    image: Sequence[int], kernel: Sequence[int], *_: Any, out_shape: Sequence[int], **__: Any
) -> int:
    """Count those of a convolution with its ReLU, (B, C, H, W) by (out, in, height, width)."""
    return 2 * math.prod(out_shape) * math.prod(kernel[1:])


@torch.inference_mode()
def latencies(
    runs: Mapping[str, Callable[[], object]], repeats: int, device: torch.device | None = None
) -> dict[str, float]:
    """Time several things in turns, so that what else the machine does meets all of them alike.

    Args:
        runs: what to do, such as to reconstruct one batch, by name.
        repeats: of each, after a warm-up.
        device: where it is done; None: the CPU.

    Returns:
        Median milliseconds of each, by name.
    """
    measured: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(WARM_UP + repeats):
        for name, run in runs.items():
            began = _now(device)
            run()
            if number >= WARM_UP:
                measured[name].append(1000 * (_now(device) - began))
    return {name: median(times) for name, times in measured.items()}


def _now(device: torch.device | None) -> float:
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()

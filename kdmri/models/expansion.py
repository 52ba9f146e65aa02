"""Convolutions that train with more parameters than they keep."""

import torch
from torch import Tensor, nn


class Expansion(nn.Module):
    """Adds to a kernel what two convolutions in a row come to: 1x1 to more channels, then 3x3.

    Kernels are composed before each step, not activations, so that training costs hardly more. The
    second one starts at zero: the network begins as the plain one of the same seed would.
    After Guo et al., "ExpandNets", NeurIPS 2020 (linear over-parameterisation), with the kernel
    itself kept as a branch, as in Ding et al., "RepVGG", CVPR 2021.
    """

    def __init__(self, inputs: int, outputs: int, factor: int) -> None:
        """Say how large.

        Args:
            inputs: channels that the convolution takes.
            outputs: channels that it gives.
            factor: channels between the two convolutions, in multiples of `inputs`.
        """
        super().__init__()
        between = factor * inputs
        self.first = nn.Parameter(torch.randn(between, inputs) / inputs**0.5)
        self.second = nn.Parameter(torch.zeros(outputs, between, 3, 3))

    def forward(self, kernel: Tensor) -> Tensor:
        """Return the kernel that is used, (outputs, inputs, 3, 3)."""
        return kernel + torch.einsum("obhw,bi->oihw", self.second, self.first)

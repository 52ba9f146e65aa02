"""Instance normalisation with activations that lie channels last, as convolutions leave them."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdmri.hardware import eager_on_cpu

MANY_PIXELS = 1024
"""From so many on PyTorch's group normalisation goes through an image as it lies."""


class InstanceNorm(nn.InstanceNorm2d):
    """PyTorch's own, but on a CPU, where no gradient is wanted, without laying images out anew.

    That of PyTorch brings channels first before it does anything, and costs twice as much; group
    normalisation with one group a channel is the same. Batch normalisation of one image, or means
    as products with a vector, would be other ways, but add up pixel by pixel and lose digits.
    """

    def forward(self, image: Tensor) -> Tensor:
        """Bring each channel of each image (B, C, H, W) to mean 0 and standard deviation 1."""
        if torch.is_grad_enabled() or not eager_on_cpu(image) or not _channels_last(image):
            return super().forward(image)
        if image.shape[-2] * image.shape[-1] < MANY_PIXELS:
            return super().forward(image)
        return F.group_norm(image, image.shape[1], eps=self.eps)


class LeakyReLU(nn.LeakyReLU):
    """PyTorch's own, in place where no gradient is wanted."""

    def forward(self, image: Tensor) -> Tensor:
        """Multiply what is negative by the slope."""
        return F.leaky_relu(image, self.negative_slope, inplace=not torch.is_grad_enabled())


def _channels_last(image: Tensor) -> bool:
    return image.is_contiguous(memory_format=torch.channels_last)

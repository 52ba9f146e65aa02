"""Instance normalisation with activations that lie channels last, as convolutions leave them."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdmri.hardware import eager_on_cpu

MANY_PIXELS = 1024
"""From so many on PyTorch's group normalisation goes through an image with channels last once."""


class InstanceNorm(nn.InstanceNorm2d):
    """PyTorch's own, but on a CPU, where no gradient is wanted, without laying images out anew.

    That of PyTorch brings channels first before it does anything, and costs twice as much; with
    one group a channel, group normalisation is the same, and so is that of a batch of one image.
    """

    def forward(self, image: Tensor) -> Tensor:
        """Bring each channel of each image (B, C, H, W) to mean 0 and standard deviation 1."""
        if torch.is_grad_enabled() or not eager_on_cpu(image) or not _channels_last(image):
            return super().forward(image)
        if image.shape[-2] * image.shape[-1] >= MANY_PIXELS:
            return F.group_norm(image, image.shape[1], eps=self.eps)
        if len(image) == 1:
            return F.batch_norm(image, None, None, training=True, eps=self.eps)
        return super().forward(image)


class LeakyReLU(nn.LeakyReLU):
    """PyTorch's own, in place where no gradient is wanted."""

    def forward(self, image: Tensor) -> Tensor:
        """Multiply what is negative by the slope."""
        return F.leaky_relu(image, self.negative_slope, inplace=not torch.is_grad_enabled())


def _channels_last(image: Tensor) -> bool:
    return image.is_contiguous(memory_format=torch.channels_last)

"""Instance normalisation as a CPU runs it fast."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdmri.hardware import eager_on_cpu


class InstanceNorm(nn.InstanceNorm2d):
    """PyTorch's own, without parameters; by groups of one channel where no gradient is wanted.

    With channels first that is several times as fast and exact to rounding. With channels last
    PyTorch sums squares of what has a mean, which loses two digits.
    """

    def forward(self, image: Tensor) -> Tensor:
        """Bring each channel of each image (B, C, H, W) to mean 0 and variance 1."""
        if torch.is_grad_enabled() or not eager_on_cpu(image) or image[0, 0].numel() < 2:
            return super().forward(image)
        return F.group_norm(image.contiguous(), image.shape[1], eps=self.eps)

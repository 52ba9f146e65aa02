"""Activation functions in place where no gradient is wanted."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LeakyReLU(nn.LeakyReLU):
    """PyTorch's own, in place where no gradient is wanted."""

    def forward(self, image: Tensor) -> Tensor:
        """Multiply what is negative by the slope."""
        return F.leaky_relu(image, self.negative_slope, inplace=not torch.is_grad_enabled())

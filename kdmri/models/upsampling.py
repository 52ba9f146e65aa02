"""Transposed convolutions that double an image, as one product of matrices."""

import torch
from torch import Tensor, nn

from kdmri.hardware import eager_on_cpu


class Doubling(nn.ConvTranspose2d):
    """A transposed 2x2 convolution of stride 2 without bias; parameters are those of PyTorch's.

    Each pixel becomes four that no other pixel reaches: a product with one matrix for all pixels.
    On a CPU, where no gradient is wanted, that is what is computed, with channels last.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        """Initialise as PyTorch does; `inputs` and `outputs` are numbers of channels."""
        super().__init__(inputs, outputs, kernel_size=2, stride=2, bias=False)

    def forward(self, image: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Double (B, inputs, H, W) to (B, outputs, 2 H, 2 W)."""
        if torch.is_grad_enabled() or not eager_on_cpu(image) or output_size is not None:
            return super().forward(image, output_size)
        batch, _, height, width = image.shape
        matrix = self.weight.permute(0, 2, 3, 1).flatten(1)  # (inputs, 2 * 2 * outputs)
        found = image.permute(0, 2, 3, 1) @ matrix.to(image.dtype)
        found = found.view(batch, height, width, 2, 2, self.out_channels).transpose(2, 3)
        return found.reshape(batch, 2 * height, 2 * width, -1).permute(0, 3, 1, 2)

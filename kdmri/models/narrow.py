"""Convolutions from few channels to many and back as matrix products, for CUDA graphs.

cuDNN pads few channels to many and lays activations out anew; the products read them as they lie.
They are more kernels, which take half the time where starting them costs nothing, as in a graph.
Results and gradients are those of `F.conv2d` with a 3x3 kernel and padding 1, up to rounding.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

ALIGNED = 8
"""Numbers of columns of which a GPU's matrix units are fast with multiples."""


def convolved(image: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve, in the precision of `torch.autocast` where that is on.

    Args:
        image: (B, inputs, H, W) on a GPU.
        kernel: (outputs, inputs, 3, 3).
        bias: (outputs,) or None.

    Returns:
        (B, outputs, H, W).
    """
    if torch.is_autocast_enabled("cuda"):
        dtype = torch.get_autocast_dtype("cuda")
        image, kernel = image.to(dtype), kernel.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    few_to_many = kernel.shape[1] < kernel.shape[0]
    return (_Widening if few_to_many else _Narrowing).apply(image, kernel, bias)


class _Widening(torch.autograd.Function):
    """Few channels to many: each pixel's 3x3 neighbours, and a 1 for the bias, times weights."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
        neighbours = _neighbours(image, with_one=bias is not None)
        weights = kernel.new_zeros(len(kernel), neighbours.shape[1])
        weights[:, : kernel[0].numel()] = kernel.flatten(1)
        if bias is not None:
            weights[:, kernel[0].numel()] = bias
        ctx.save_for_backward(neighbours, kernel)
        size = len(image), len(kernel), *image.shape[-2:]
        output = torch.empty(
            size, dtype=image.dtype, device=image.device, memory_format=torch.channels_last
        )
        torch.mm(neighbours, weights.t(), out=_pixels(output))
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        neighbours, kernel = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        of_image = None
        if ctx.needs_input_grad[0]:
            of_image = _spread(gradient, kernel.flatten(1).t())
        of_weights = torch.mm(_pixels(gradient).t(), neighbours)
        count = kernel[0].numel()
        of_kernel = of_weights[:, :count].unflatten(1, kernel.shape[1:])
        of_kernel = of_kernel.contiguous(memory_format=torch.channels_last)
        return of_image, of_kernel, of_weights[:, count] if ctx.needs_input_grad[2] else None


class _Narrowing(torch.autograd.Function):
    """Many channels to few: each pixel's share in its neighbours, added up."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
        image = image.contiguous(memory_format=torch.channels_last)
        ctx.save_for_backward(image, kernel)
        output = _spread(image, _shares(kernel))
        return output if bias is None else output.add_(bias.view(-1, 1, 1))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        image, kernel = ctx.saved_tensors
        neighbours = _neighbours(gradient)
        of_image = None
        if ctx.needs_input_grad[0]:
            shares = _shares(kernel)
            weights = F.pad(shares, (0, 0, 0, neighbours.shape[1] - len(shares)))
            of_image = torch.empty_like(image)
            torch.mm(neighbours, weights, out=_pixels(of_image))
        of_shares = torch.mm(neighbours.t(), _pixels(image))[: 9 * len(kernel)]
        of_kernel = of_shares.view(len(kernel), 3, 3, -1).permute(0, 3, 1, 2).flip(2, 3)
        of_bias = gradient.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None
        return of_image, of_kernel, of_bias


def _pixels(image: Tensor) -> Tensor:
    """View an image that lies channels last as (B * H * W, C)."""
    return image.permute(0, 2, 3, 1).flatten(0, 2)


def _shares(kernel: Tensor) -> Tensor:
    """Return what a pixel adds to its neighbours, (outputs * 9, inputs)."""
    return kernel.flip(2, 3).permute(0, 2, 3, 1).flatten(0, 2)


def _neighbours(image: Tensor, with_one: bool = False) -> Tensor:
    """Put each pixel's 3x3 neighbours side by side, (B * H * W, columns): C * 9, a 1, zeros."""
    batch, channels, height, width = image.shape
    count = 9 * channels
    columns = -(-(count + with_one) // ALIGNED) * ALIGNED
    found = image.new_zeros(batch, height, width, columns)
    windows = F.pad(image, (1, 1, 1, 1)).unfold(2, 3, 1).unfold(3, 3, 1)
    found[..., :count].unflatten(-1, (channels, 3, 3)).copy_(windows.permute(0, 2, 3, 1, 4, 5))
    if with_one:
        found[..., count] = 1
    return found.flatten(0, 2)


def _spread(image: Tensor, shares: Tensor) -> Tensor:
    """Add up what pixels (B, C, H, W) have for their neighbours by (outputs * 9, C)."""
    by_neighbour = torch.matmul(shares, image.permute(0, 2, 3, 1).flatten(1, 2).transpose(1, 2))
    return F.fold(by_neighbour, image.shape[-2:], kernel_size=3, padding=1)

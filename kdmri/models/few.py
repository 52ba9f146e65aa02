"""Convolutions between few channels and many on a CPU, whose gradients oneDNN takes long for.

A kernel from few channels to many is fast forwards, and so is its own gradient. What is slow, to
few channels, is done by a matrix product; the gradient of such a kernel is that of one from few
channels to many with both images exchanged.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

PADDED = ((1, 1), (1, 1), (1, 1), False, (0, 0), 1)
"""Stride, padding and dilation of a 3x3 convolution, not transposed, in one group."""


def narrowed(image: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve from many channels to few.

    Args:
        image: (B, inputs, H, W), channels last.
        kernel: (outputs, inputs, 3, 3).
        bias: (outputs,) or None.

    Returns:
        (B, outputs, H, W).
    """
    return _Narrowed.apply(image, kernel, bias)


def widened(image: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve from few channels to many; see `narrowed`."""
    return _Widened.apply(image, kernel, bias)


def spread(image: Tensor, kernel: Tensor) -> Tensor:
    """Return each pixel's shares in its nine neighbours, (B, outputs, 3, 3, H, W), by a product."""
    shares = kernel.flip(2, 3).permute(0, 2, 3, 1).flatten(0, 2)  # (outputs * 9, inputs)
    pixels = image.permute(0, 2, 3, 1).flatten(1, 2)  # (B, H * W, inputs), as they lie
    found = torch.matmul(shares, pixels.transpose(1, 2))
    return found.view(len(image), -1, 3, 3, *image.shape[-2:])


def gathered(shares: Tensor) -> Tensor:
    """Add shares (B, C, 3, 3, H, W) up, (B, C, H, W): `F.fold` of 3x3, many times faster.

    What a pixel has for its upper left neighbour is at [0, 0].
    """
    left, middle, right = shares.unbind(dim=3)
    rows = middle.clone()
    rows[..., 1:] += right[..., :-1]
    rows[..., :-1] += left[..., 1:]
    above, level, below = rows.unbind(dim=2)
    total = level.clone()
    total[..., 1:, :] += below[..., :-1, :]
    total[..., :-1, :] += above[..., 1:, :]
    return total


class _Narrowed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(image, kernel)
        total = gathered(spread(image, kernel))
        return total if bias is None else total.add_(bias.view(-1, 1, 1))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        image, kernel = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        of_image, of_kernel, of_bias = None, None, None
        if ctx.needs_input_grad[0]:
            of_image = F.conv2d(gradient, turned(kernel), padding=1)
        if ctx.needs_input_grad[1]:
            of_kernel = kernel_of_narrowed(gradient, kernel, image)
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum((0, 2, 3))
        return of_image, of_kernel, of_bias


class _Widened(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(image, kernel)
        return F.conv2d(image, kernel, bias, padding=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        image, kernel = ctx.saved_tensors
        of_image, of_kernel, of_bias = None, None, None
        if ctx.needs_input_grad[0]:
            of_image = gathered(spread(gradient, turned(kernel)))
        if ctx.needs_input_grad[1]:
            of_kernel = kernel_of_widened(image, kernel, gradient)
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum((0, 2, 3))
        return of_image, of_kernel, of_bias


def turned(kernel: Tensor) -> Tensor:
    """Return the kernel of the adjoint, (inputs, outputs, 3, 3), channels last."""
    adjoint = kernel.flip(2, 3).transpose(0, 1)
    return adjoint.contiguous(memory_format=torch.channels_last)


def kernel_of_narrowed(gradient: Tensor, kernel: Tensor, image: Tensor) -> Tensor:
    """Return the gradient of a kernel to few channels; `gradient` is that of its result."""
    return turned(kernel_of_widened(gradient, turned(kernel), image))


def kernel_of_widened(image: Tensor, kernel: Tensor, gradient: Tensor) -> Tensor:
    """Return the gradient of a kernel from few channels; `gradient` is that of its result."""
    return torch.ops.aten.convolution_backward(
        gradient, image, kernel, None, *PADDED, (False, True, False)
    )[1]

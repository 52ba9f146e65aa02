"""Convolutions of complex images with ReLU between them, with gradients as a CPU runs them fast.

One function in place of several: a ReLU is cut off within its convolution and its gradient in
place, and gradients of biases are sums of their own, which oneDNN takes longer for.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from kdmri.hardware import has_avx2_at_best
from kdmri.models import few
from kdmri.models.convolution import Convolution


def fits(layers: Sequence[Convolution], image: Tensor) -> bool:
    """Tell whether `convolved` may stand for the layers: complex images, gradients wanted."""
    first, *within, last = layers
    wide = all(not layer.is_narrow for layer in within) and first.is_narrow and last.is_narrow
    complex_image = first.in_channels > 1 and last.out_channels > 1
    wanted = wide and complex_image and torch.is_grad_enabled() and not has_avx2_at_best()
    return wanted and all(layer.by_onednn(image) for layer in layers)


def convolved(image: Tensor, layers: Sequence[Convolution]) -> Tensor:
    """Convolve from few channels to many and back, with ReLU between all convolutions.

    Args:
        image: float32 (B, C, H, W).
        layers: at least two, with biases, that `fits` was asked about.

    Returns:
        float32 (B, C, H, W).
    """
    kernels, biases = [layer.kernel for layer in layers], [layer.bias for layer in layers]
    return _Stack.apply(len(layers), image, *kernels, *biases)


class _Stack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, count: int, image: Tensor, *parameters: Tensor) -> Tensor:
        kernels, biases = parameters[:count], parameters[count:]
        activations = [image]
        for kernel, bias in zip(kernels[:-1], biases[:-1], strict=True):
            activations.append(
                torch.ops.mkldnn._convolution_pointwise(
                    activations[-1], kernel, bias, (1, 1), (1, 1), (1, 1), 1, "relu", [], ""
                )
            )
        ctx.count = count
        ctx.save_for_backward(*kernels, *activations)
        result = few.gathered(few.spread(activations[-1], kernels[-1]))
        return result.add_(biases[-1].view(-1, 1, 1))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        kernels, activations = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
        _, of_image, *wanted = ctx.needs_input_grad
        of_kernels: list[Tensor | None] = [None] * ctx.count
        of_biases: list[Tensor | None] = [None] * ctx.count
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        for number in reversed(range(ctx.count)):
            kernel, image = kernels[number], activations[number]
            if wanted[ctx.count + number]:
                of_biases[number] = gradient.sum((0, 2, 3))
            if number == ctx.count - 1:
                if wanted[number]:
                    of_kernels[number] = few.kernel_of_narrowed(gradient, kernel, image)
                gradient = F.conv2d(gradient, few.turned(kernel), padding=1)
            elif number:
                gradient, of_kernels[number], _ = torch.ops.aten.convolution_backward(
                    gradient, image, kernel, None, *few.PADDED, (True, wanted[number], False)
                )
            else:
                if wanted[0]:
                    of_kernels[0] = few.kernel_of_widened(image, kernel, gradient)
                break
            torch.ops.aten.threshold_backward.grad_input(gradient, image, 0, grad_input=gradient)
        found = few.gathered(few.spread(gradient, few.turned(kernels[0]))) if of_image else None
        return None, found, *of_kernels, *of_biases

"""3x3 convolutions as a CPU, and a CUDA graph, run them fast; elsewhere they are PyTorch's own."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.grad import conv2d_input, conv2d_weight

from kdmri.hardware import eager_on_cpu, has_avx2_at_best, in_cuda_graph
from kdmri.models import few, narrow
from kdmri.models.expansion import Expansion

NARROW = 4
"""So few channels leave most of a convolution's vector lanes, or of a matrix unit, empty."""
WIDE = 32
"""From so many channels on it pays to lay activations out anew for the gradient of a kernel."""


class Convolution(nn.Conv2d):
    """A 3x3 convolution, padding 1; parameters are those of `torch.nn.Conv2d`.

    Weights lie channels last, and so do activations behind them.

    Attributes:
        expansion: further parameters of the kernel in training; None where it is as it is used.
    """

    expansion: Expansion | None

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        """Initialise as PyTorch does; `inputs` and `outputs` are numbers of channels."""
        super().__init__(inputs, outputs, kernel_size=3, padding=1, bias=bias)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.expansion = None

    @property
    def kernel(self) -> Tensor:
        """The weights that are used, (outputs, inputs, 3, 3)."""
        if self.expansion is None:
            return self.weight
        return self.expansion(self.weight).to(memory_format=torch.channels_last)

    def expand(self, factor: int) -> None:
        """Train with further parameters; see `Expansion`."""
        self.expansion = Expansion(self.in_channels, self.out_channels, factor)

    def fold(self) -> None:
        """Keep the kernel as it is used, without further parameters."""
        self.weight.data = self.kernel.detach().contiguous(memory_format=torch.channels_last)
        self.expansion = None

    def forward(self, image: Tensor) -> Tensor:
        """Convolve (B, inputs, H, W) to (B, outputs, H, W)."""
        if self._few(image):
            convolve = few.narrowed if self.out_channels <= NARROW else few.widened
            return convolve(image, self.kernel, self.bias)
        if self.out_channels <= NARROW < self.in_channels and eager_on_cpu(image):
            return self._as_product(image)
        if self.is_narrow and torch.is_grad_enabled() and in_cuda_graph(image):
            return narrow.convolved(image, self.kernel, self.bias)
        if self._relaid(image):
            return _RelaidConvolution.apply(image, self.kernel, self.bias)
        return self._conv_forward(image, self.kernel, self.bias)

    def rectified(self, image: Tensor) -> Tensor:
        """Convolve and cut off what is negative, in one go where no gradient is wanted."""
        if self._fusible(image):
            return torch.ops.mkldnn._convolution_pointwise(
                image, self.kernel, self.bias, (1, 1), (1, 1), (1, 1), 1, "relu", [], ""
            )
        return F.relu_(self(image))

    def _as_product(self, image: Tensor) -> Tensor:
        """Add each pixel's share to its nine neighbours, shares by a matrix product."""
        total = _Gathering.apply(few.spread(image, self.kernel))
        return total if self.bias is None else total + self.bias.view(1, -1, 1, 1)

    @property
    def is_narrow(self) -> bool:
        """Whether it has few channels on one side and many on the other."""
        least, most = sorted((self.in_channels, self.out_channels))
        return least <= NARROW < most

    def _few(self, image: Tensor) -> bool:
        """Whether gradients are wanted that `few` is faster in; of one channel they stay as is."""
        complex_image = self.is_narrow and min(self.in_channels, self.out_channels) > 1
        wanted = torch.is_grad_enabled() and image.requires_grad
        return complex_image and wanted and self.by_onednn(image)

    def _relaid(self, image: Tensor) -> bool:
        wide = min(self.in_channels, self.out_channels) >= WIDE
        return wide and torch.is_grad_enabled() and has_avx2_at_best() and self.by_onednn(image)

    def _fusible(self, image: Tensor) -> bool:
        return not torch.is_grad_enabled() and self.by_onednn(image)

    def by_onednn(self, image: Tensor) -> bool:
        """Tell whether it runs at once, in single precision, by oneDNN."""
        return (
            eager_on_cpu(image)
            and not torch.is_autocast_enabled("cpu")
            and image.dtype == self.weight.dtype == torch.float32
            and torch.backends.mkldnn.is_available()
        )


class _RelaidConvolution(torch.autograd.Function):
    """`F.conv2d` of a 3x3 kernel whose gradient is computed with channels first.

    The result is the same; with channels last oneDNN takes two to four times as long for it where
    the CPU has no AVX-512.
    """

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
            of_image = conv2d_input(image.shape, kernel, gradient, padding=1)
        if ctx.needs_input_grad[1]:
            first = image.contiguous(), kernel.shape, gradient.contiguous()
            of_kernel = conv2d_weight(*first, padding=1).to(memory_format=torch.channels_last)
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum((0, 2, 3))
        return of_image, of_kernel, of_bias


class _Gathering(torch.autograd.Function):
    """`few.gathered`, with its gradient."""

    @staticmethod
    def forward(ctx: Any, shares: Tensor) -> Tensor:
        return few.gathered(shares)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        shares = F.unfold(gradient, kernel_size=3, padding=1)
        return shares.view(*gradient.shape[:2], 3, 3, *gradient.shape[-2:])

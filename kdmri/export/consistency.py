"""Networks without complex numbers: what ONNX can hold, with data consistency inside.

Fourier transforms are products with real matrices, which onnxruntime runs as fast as it multiplies
matrices, at any size, odd ones included. Where the mask consists of whole lines, data consistency
is x + (b - P x): b is the image of the measured samples, made once, and P = F^-1 M F a circulant
matrix along the undersampled axis, so that a cascade costs one product and no transform.
"""

import copy

import torch
from torch import Tensor, nn

from kdmri.errors import ConfigurationError
from kdmri.export.pairs import (
    Pair,
    SharedSamples,
    along,
    projected,
    projection,
    transform,
    unmeasured,
)
from kdmri.export.sense import RealSense
from kdmri.models import CascadedNetwork
from kdmri.models.convolution import Convolution
from kdmri.models.dc_cnn import with_floor
from kdmri.physics import DataConsistency


class LineConsistency(nn.Module):
    """Data consistency under a mask of whole lines along one axis."""

    def __init__(self, measured: SharedSamples, axis: int) -> None:
        """Take what the call fills, and the undersampled axis: 0 (rows) or 1 (columns)."""
        super().__init__()
        self._measured, self._axis = measured, axis

    def forward(self, image: Tensor, *_: object) -> Tensor:
        """Replace the measured lines of an image (B, C, H, W); see `DataConsistency`."""
        x, matrix, b = image.float(), self._measured.projection, self._measured.image
        if x.shape[1] == 1:
            return x + (b.real - along(self._axis, matrix.real, x))
        re, im = x[:, :1], x[:, 1:]
        seen = projected(self._axis, matrix, Pair(re, im))
        return torch.cat((re + (b.real - seen.real), im + (b.imag - seen.imag)), dim=1)


class MaskConsistency(nn.Module):
    """Data consistency under any mask, by whole transforms."""

    def __init__(self, measured: SharedSamples) -> None:
        """Take what the call fills."""
        super().__init__()
        self._measured = measured

    def forward(self, image: Tensor, *_: object) -> Tensor:
        """Replace the measured samples of an image (B, C, H, W); see `DataConsistency`."""
        x, b = image.float(), self._measured.image
        imag = x[:, 1:] if x.shape[1] == 2 else torch.zeros_like(x)
        rest = unmeasured(Pair(x[:, :1], imag), self._measured.mask)
        if x.shape[1] == 1:
            return b.real + rest.real
        return torch.cat((b.real + rest.real, b.imag + rest.imag), dim=1)


class CoilConsistency(nn.Module):
    """Data consistency of an image that is combined from several coils."""

    def __init__(self, measured: SharedSamples, axis: int | None) -> None:
        """Take what the call fills, and the undersampled axis of whole lines, if they are that."""
        super().__init__()
        self._measured, self._axis = measured, axis

    def forward(self, image: Tensor, *_: object) -> Tensor:
        """Replace the measured samples of an image (B, 2, H, W); see `DataConsistency`."""
        x, b = image.float(), self._measured.image
        own = self._measured.expanded(Pair(x[:, :1], x[:, 1:]))
        if self._axis is None:
            rest = unmeasured(own, self._measured.mask)
        else:
            seen = projected(self._axis, self._measured.projection, own)
            rest = Pair(own.real - seen.real, own.imag - seen.imag)
        found = self._measured.combined(rest)
        return torch.cat((b.real + found.real, b.imag + found.imag), dim=1)


class HalfConvolution(Convolution):
    """A convolution in half precision, whatever comes in."""

    def __init__(self, convolution: Convolution) -> None:
        """Take over the weights."""
        biased = convolution.bias is not None
        super().__init__(convolution.in_channels, convolution.out_channels, biased)
        self.load_state_dict(convolution.state_dict())
        self.half()

    def forward(self, image: Tensor) -> Tensor:
        """Convolve (B, C, H, W); gives float16."""
        return super().forward(image.half())


def _has_other_weights(module: nn.Module) -> bool:
    own = next(module.parameters(recurse=False), None)
    return own is not None and not isinstance(module, HalfConvolution)


class Exportable(nn.Module):
    """A network with real inputs and outputs, float32 everywhere outside.

    Called with `image` (B, C, H, W) alone where the network knows no k-space; else also with
    `kspace` (B, 2, H, W), real and imaginary part, and with `lines` (H,) or (W,), 1 where a row or
    column is measured, or `mask` (1, 1, H, W). All have the zero frequency at index 0. A network
    for several coils takes `kspace` (B, 2, coils, H, W), `sensitivities` like it and, where it
    needs to know it, `noise` (B,), as `kdmri.physics.sense.noise_variance` estimates it.

    Attributes:
        axis: undersampled axis, 0 or 1, of a mask of whole lines; None for any other mask.
        several_coils: whether it is one for several coils.
    """

    def __init__(
        self,
        network: CascadedNetwork,
        axis: int | None,
        half: bool = False,
        several_coils: bool = False,
    ) -> None:
        """Copy a network and replace what ONNX does not know.

        Args:
            network: stays as it is.
            axis: undersampled axis of a mask of whole lines, 0 or 1; None for any other mask.
            half: 3x3 convolutions in half precision.
            several_coils: whether its images are combined from several coils.

        Raises:
            ConfigurationError: there is none that could be.
        """
        if network.state != CascadedNetwork.state:
            raise ConfigurationError(
                f"format: {type(network).__name__} is not exported, its cascades hand on "
                f"{network.state}, not images; distil it into a DCCNN, which is"
            )
        super().__init__()
        self._measured, self.axis, self.several_coils = SharedSamples(), axis, several_coils
        self._sense = RealSense(self._measured, axis)
        self.network = copy.deepcopy(network)
        self.is_consistent = False
        for parent in list(self.network.modules()):
            for name, module in list(parent.named_children()):
                if isinstance(module, DataConsistency):
                    self.is_consistent = True
                    setattr(parent, name, self._without_complex(module))
                elif half and isinstance(module, Convolution):
                    setattr(parent, name, HalfConvolution(module))
        if half and any(_has_other_weights(module) for module in self.network.modules()):
            raise ConfigurationError(
                f"precision=float16: {type(network).__name__} is not made of 3x3 convolutions "
                "alone, which can be halved; choose float32"
            )
        self.eval()

    def _without_complex(self, module: DataConsistency) -> nn.Module:
        if module.weight is not None:
            raise ConfigurationError(
                "format: soft data consistency, whose step is learnt, is not exported"
            )
        if self.several_coils:
            return CoilConsistency(self._measured, self.axis)
        if self.axis is not None:
            return LineConsistency(self._measured, self.axis)
        return MaskConsistency(self._measured)

    @property
    def inputs(self) -> list[str]:
        """Names of the inputs in their order."""
        if not self.is_consistent:
            return ["image"]
        inputs = ["image", "kspace", "mask" if self.axis is None else "lines"]
        if not self.several_coils:
            return inputs
        return [*inputs, "sensitivities", *(["noise"] if self._knows_noise else [])]

    @property
    def _knows_noise(self) -> bool:
        return self.several_coils and bool(self.network.closing or self.network.noise_floor)

    def forward(
        self,
        image: Tensor,
        kspace: Tensor | None = None,
        mask: Tensor | None = None,
        sensitivities: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        """Reconstruct: float32 (B, C, H, W)."""
        if kspace is not None and mask is not None:
            spread = mask
            if self.axis is not None:
                spread = mask[:, None] if self.axis == 0 else mask
                self._measured.projection = projection(mask)
            samples = spread * kspace
            self._measured.mask = spread
            if sensitivities is None:
                parts = Pair(samples[:, :1], samples[:, 1:])
                self._measured.image = transform(parts, inverse=True)
            else:
                self._measured.sensitivities = Pair(sensitivities[:, 0], sensitivities[:, 1])
                return self._of_coils(image, Pair(samples[:, 0], samples[:, 1]), noise)
        return self.network(image, image, image).float()

    def _of_coils(self, image: Tensor, samples: Pair, noise: Tensor | None) -> Tensor:
        """Reconstruct from samples, each part (B, coils, H, W), with what the call has filled."""
        self._measured.image = self._measured.combined(transform(samples, inverse=True))
        if self.network.start:
            image = self._sense.start(self.network.start)
        output = self.network(image, image, image).float()
        if noise is None:
            return output
        level = noise.view(-1, 1, 1, 1)
        if self.network.closing:
            output = self._sense.closed(output, level, self.network.closing)
        if self.network.noise_floor:
            output = with_floor(output, 2 * samples.real.shape[1] * level)
        return output

"""DC-CNN: a cascade of small CNNs, each followed by data consistency (Schlemper et al. 2017)."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdmri.models import stack
from kdmri.models.cascaded import Cascade, CascadedNetwork
from kdmri.models.convolution import Convolution
from kdmri.physics import DataConsistency, Measurement, to_channels, to_complex
from kdmri.physics.sense import (
    START_PENALTY,
    conjugate_gradient_sense,
    noise_variance,
    weighted_consistency,
)

FAINTEST = 1e-5
"""Magnitude below which a pixel is as good as 0."""

FLAT_ERROR, SHARE, WINDOW = 0.01, 0.4, 7
"""Errors of images that the closing consistency expects: the first, at the scale of k-space
(see `kdmri.data.companions.centre_scale`), and this share of the standard deviation of magnitudes
within a window of so many pixels."""

LEAST_WEIGHT = 1e-4
"""Of cascades' images in the closing consistency."""


class ConvolutionalCascade(Cascade):
    """`depth` 3x3 convolutions with ReLU between them, then data consistency where it is wanted."""

    def __init__(
        self, depth: int, width: int, channels: int, residual: bool, consistent: bool = True
    ) -> None:
        """See `DCCNN` and `VDSR` for the arguments."""
        super().__init__()
        widths = [channels] + [width] * (depth - 1) + [channels]
        self.layers: Sequence[Convolution] = nn.ModuleList(  # type: ignore[assignment]
            Convolution(inputs, outputs) for inputs, outputs in pairwise(widths)
        )
        self.convolutions = depth
        self.residual = residual
        self.consistency = DataConsistency() if consistent else None

    def begin_close_to_input(self) -> None:
        """Initialise weights after He et al. (2015), biases with zeros, the last kernel a tenth.

        What is added to the input is small then, and activations do not fade from layer to layer,
        as they do with PyTorch's own initialisation.
        """
        for layer in self.layers:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            self.layers[-1].weight.mul_(0.1)

    def steps(self, image: Tensor, measurement: Measurement) -> Iterator[Tensor]:
        """Yield the activation behind each convolution, (B, width, H, W), then the output."""
        activation = image
        *hidden, last = self.layers
        for layer in hidden:
            activation = layer.rectified(activation)
            yield activation
        activation = last(activation)
        yield activation
        yield self._closed(activation, image, measurement)

    def advance(self, image: Tensor, measurement: Measurement) -> Tensor:
        """Return the last of `steps`, in a faster way where there is one."""
        if not stack.fits(self.layers, image):
            return super().advance(image, measurement)
        return self._closed(stack.convolved(image, self.layers), image, measurement)

    def _closed(self, convolved: Tensor, image: Tensor, measurement: Measurement) -> Tensor:
        """Return the output, from what the last convolution gives."""
        output = convolved + image if self.residual else convolved
        return output if self.consistency is None else self.consistency(output, measurement)


class DCCNN(CascadedNetwork):
    """The published teacher (5 cascades of 5 convolutions), student (5 of 3), or any other size."""

    def __init__(
        self,
        cascades: int,
        depth: int,
        width: int = 32,
        channels: int = 1,
        residual: bool = False,
        expansion: int = 0,
        start: int = 0,
        closing: int = 0,
        noise_floor: bool = False,
    ) -> None:
        """Build the network, with PyTorch's default initialisation as published.

        Args:
            cascades: number of cascades, at least 1.
            depth: convolutions in each, at least 2.
            width: channels between convolutions.
            channels: 1 for the published real-valued variant, 2 for complex images.
            residual: add each cascade's input to its CNN's output, close to which it begins; the
                published variant does not.
            expansion: train each kernel expanded by so many times its channels, see
                `kdmri.models.expansion`; what is used afterwards has none of it. 0 trains as is.
            start: iterations of CG-SENSE (`kdmri.physics.sense`) that the first cascade goes on
                from, for several coils: their folding is undone before anything is learnt. 0 goes
                on from the zero-filled image, as published.
            closing: iterations of a last data consistency that weighs image against samples by the
                noise that the latter have, for several coils: what they tell well is theirs, what
                they hardly tell the image's. 0 has none, as published. Training goes without: what
                cascades leave for it to mend they do not learn, and it mends less of other scans.
            noise_floor: add to the squared magnitude what noise adds to the squared root sum of
                squares of fully sampled coil images on average, which is what scans are measured
                against; networks that learn from that image learn as much. For several coils.

        Raises:
            ValueError: a size is too small, or `channels` is neither 1 nor 2.
        """
        if cascades < 1 or depth < 2 or width < 1 or channels not in (1, 2) or expansion < 0:
            raise ValueError(
                f"DCCNN(cascades={cascades}, depth={depth}, width={width}, channels={channels}, "
                f"expansion={expansion}): needs cascades >= 1, depth >= 2, width >= 1, channels 1 "
                "or 2, expansion >= 0"
            )
        if min(start, closing) < 0 or (max(start, closing) and channels == 1):
            raise ValueError(
                f"DCCNN(start={start}, closing={closing}): needs at least 0, and 2 channels above"
            )
        super().__init__(
            [ConvolutionalCascade(depth, width, channels, residual) for _ in range(cascades)],
            channels,
        )
        if residual:
            for cascade in self.cascades:
                assert isinstance(cascade, ConvolutionalCascade)
                cascade.begin_close_to_input()
        for layer in self.modules():
            if expansion and isinstance(layer, Convolution):
                layer.expand(expansion)
        self.start, self.closing, self.noise_floor = start, closing, noise_floor

    def begin(self, image: Tensor, measurement: Measurement) -> tuple[Tensor, Measurement]:
        """Return what the first cascade goes on from, and the measurement as it is."""
        sensitivities = measurement.sensitivities
        if not self.start or sensitivities is None:
            return image, measurement
        found = conjugate_gradient_sense(
            measurement.kspace, measurement.mask, sensitivities, self.start, START_PENALTY
        )
        return to_channels(found, 2), measurement

    def finish(self, state: Tensor, measurement: Measurement) -> Tensor:
        """Return the image, float32 (B, C, H, W), of what a cascade handed on."""
        sensitivities = measurement.sensitivities
        closing = 0 if self.training else self.closing
        if not (closing or self.noise_floor) or sensitivities is None:
            return state
        with torch.autocast(state.device.type, enabled=False):
            kspace, mask, image = measurement.kspace, measurement.mask, state.float()
            noise = noise_variance(kspace, mask)
            if closing:
                weight = closing_weight(image, noise)
                start = to_complex(image)
                image = to_channels(
                    weighted_consistency(start, kspace, mask, sensitivities, closing, weight),
                    2,
                )
            return with_floor(image, 2 * kspace.shape[1] * noise) if self.noise_floor else image


def closing_weight(image: Tensor, noise: Tensor) -> Tensor:
    """Weigh an image of cascades against samples: where it varies it errs most, at bright rims.

    Args:
        image: real and imaginary part, float32 (B, 2, H, W).
        noise: variance of the real part of a sample, float32 (B, 1, 1, 1).

    Returns:
        Weight for `kdmri.physics.sense.weighted_consistency`, without a gradient, float32
        (B, 1, H, W).
    """
    squared = image.detach().square().sum(dim=1, keepdim=True)
    mean, power = (
        functional.avg_pool2d(values, WINDOW, 1, WINDOW // 2, count_include_pad=False)
        for values in (squared.sqrt(), squared)
    )
    error = SHARE * (power - mean.square()).clamp(min=0).sqrt() + FLAT_ERROR
    return (noise / error.square()).clamp(min=LEAST_WEIGHT)


def with_floor(image: Tensor, power: Tensor) -> Tensor:
    """Add a power to the squared magnitude of images, whose phase stays.

    Args:
        image: real and imaginary part, float32 (B, 2, H, W).
        power: at least 0, float32 (B, 1, 1, 1).

    Returns:
        float32 (B, 2, H, W); real where the image is 0. Close to that its phase is of no account.
    """
    squared = image.square().sum(dim=1, keepdim=True)
    direction = torch.cat((image[:, :1] + FAINTEST, image[:, 1:]), dim=1)
    length = direction.square().sum(dim=1, keepdim=True).clamp(min=FAINTEST**4)
    # A root of 0 has no gradient.
    found = (squared + power).clamp(min=torch.finfo(squared.dtype).tiny)
    return direction * (found / length).sqrt()

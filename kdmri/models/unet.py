"""U-Net as a large teacher of another kind (Ronneberger et al. 2015; Zbontar et al. 2018)."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdmri.models.activation import LeakyReLU
from kdmri.models.cascaded import Cascade, CascadedNetwork
from kdmri.models.convolution import Convolution
from kdmri.models.normalisation import InstanceNorm
from kdmri.models.upsampling import Doubling
from kdmri.physics import DataConsistency, Measurement

SLOPE = 0.2

LARGEST, NO_DEVIATION = 6.0, 1e-11
"""Where fastMRI cuts normalised images off, and what it adds to their standard deviation."""


def _block(inputs: int, outputs: int) -> nn.Sequential:
    """Two 3x3 convolutions without bias, each with instance normalisation and leaky ReLU."""
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [
            Convolution(channels, outputs, bias=False),
            InstanceNorm(outputs),
            LeakyReLU(SLOPE),
        ]
    return nn.Sequential(*layers)


def _upsampling(inputs: int, outputs: int) -> nn.Sequential:
    """A transposed 2x2 convolution of stride 2 without bias, normalised as in `_block`."""
    return nn.Sequential(
        Doubling(inputs, outputs),
        InstanceNorm(outputs),
        LeakyReLU(SLOPE),
    )


class EncoderDecoder(nn.Module):
    """Encoder and decoder with skip connections.

    Attributes:
        names: of its blocks, in their order.
    """

    def __init__(self, channels: int, width: int, levels: int) -> None:
        """See `UNet` for the arguments."""
        super().__init__()
        widths = [width * 2**level for level in range(levels)]
        self.down = nn.ModuleList(
            _block(i, o) for i, o in zip([channels, *widths[:-1]], widths, strict=True)
        )
        self.bottleneck = _block(widths[-1], 2 * widths[-1])
        self.upsample = nn.ModuleList(_upsampling(2 * w, w) for w in reversed(widths))
        self.up = nn.ModuleList(_block(2 * w, w) for w in reversed(widths))
        self.output = nn.Conv2d(width, channels, kernel_size=1)
        numbers = range(1, levels + 1)
        self.names: Sequence[str] = (
            *(f"down{n}" for n in numbers),
            "bottleneck",
            *(f"up{n}" for n in numbers),
        )

    def blocks(self, image: Tensor) -> Iterator[Tensor]:
        """Yield the blocks' outputs, (B, C, H', W'), smaller at lower levels, then the last one's.

        That is the output of the closing 1x1 convolution, (B, channels, H, W).
        """
        activation, skipped = image, []
        for block in self.down:
            activation = block(activation)
            yield activation
            skipped.append(activation)
            activation = F.avg_pool2d(activation, kernel_size=2)
        activation = self.bottleneck(activation)
        yield activation
        for upsample, block in zip(self.upsample, self.up, strict=True):
            skip = skipped.pop()
            raised = upsample(activation)
            missing = [have - got for have, got in zip(skip.shape, raised.shape, strict=True)]
            if any(missing):  # odd sizes
                raised = F.pad(raised, (0, missing[3], 0, missing[2]), mode="reflect")
            activation = block(torch.cat((raised, skip), dim=1))
            yield activation
        yield self.output(activation)


class UNetCascade(EncoderDecoder, Cascade):
    """A U-Net on images; places to tap are its blocks, by name."""

    def __init__(
        self, channels: int, width: int, levels: int, consistency: bool, normalised: bool = False
    ) -> None:
        """See `UNet` for the arguments."""
        super().__init__(channels, width, levels)
        self.normalised = normalised
        self.consistency = DataConsistency() if consistency else None
        self.convolutions = len(self.names) + 1
        self.smallest_size = 2 ** (levels + 1)

    def steps(self, image: Tensor, measurement: Measurement) -> Iterator[Tensor]:
        """Yield the blocks' outputs, see `EncoderDecoder.blocks`, then the image."""
        seen, mean, deviation = image, image.new_zeros(()), image.new_ones(())
        if self.normalised:
            deviation, mean = torch.std_mean(image, dim=(1, 2, 3), keepdim=True)  # unbiased
            deviation = deviation + NO_DEVIATION
            seen = ((image - mean) / deviation).clamp(-LARGEST, LARGEST)
        output = seen
        for output in self.blocks(seen):
            yield output
        if self.normalised:
            output = output.float() * deviation + mean
        consistency = self.consistency
        yield output.float() if consistency is None else consistency(output, measurement)


class UNet(CascadedNetwork):
    """The U-Net that fastMRI takes for its baseline: 7,756,097 parameters at width 32, 4 levels."""

    def __init__(
        self,
        width: int = 32,
        levels: int = 4,
        channels: int = 1,
        consistency: bool = False,
        normalised: bool = False,
    ) -> None:
        """Build the network with PyTorch's default initialisation.

        Args:
            width: channels of the first level; each further level has twice as many.
            levels: how often the image is halved; slices have at least 2^(levels + 1) pixels along
                each axis.
            channels: of the image, 1 (real) or 2 (real and imaginary part).
            consistency: close the network with data consistency; fastMRI's is open.
            normalised: bring each image to mean 0 and standard deviation 1, cut off at 6, and the
                output back, as fastMRI's transforms do around its U-Net.

        Raises:
            ValueError: a size is too small, or `channels` is neither 1 nor 2.
        """
        if width < 1 or levels < 1 or channels not in (1, 2):
            raise ValueError(
                f"UNet(width={width}, levels={levels}, channels={channels}): needs width >= 1, "
                "levels >= 1, channels 1 or 2"
            )
        cascade = UNetCascade(channels, width, levels, consistency, normalised)
        super().__init__([cascade], channels)

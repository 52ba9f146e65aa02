"""U-Net on complex images of any size and scale, as the VarNet has it (Sriram et al. 2020)."""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from kdmri.models.unet import EncoderDecoder
from kdmri.physics import to_channels, to_complex

MULTIPLE = 16
"""Images are padded to multiples of so many pixels, whatever the number of levels."""


class Normalisation(NamedTuple):
    """What was done to images before the network, to be undone behind it.

    Attributes:
        mean: of each image's real and imaginary part, float32 (B, 2, 1, 1).
        deviation: standard deviation, likewise.
        size: (H, W) of the images.
        padded: (H, W) behind padding.
    """

    mean: Tensor
    deviation: Tensor
    size: tuple[int, int]
    padded: tuple[int, int]

    def cropped(self, activation: Tensor) -> Tensor:
        """Keep of an activation (B, C, H', W'), at any level, what covers the image."""
        for axis, size, padded in zip((-2, -1), self.size, self.padded, strict=True):
            step = padded // activation.shape[axis]
            before = (padded - size) // 2
            first, end = before // step, -(-(before + size) // step)
            activation = activation.narrow(axis, first, end - first)
        return activation

    def undone(self, output: Tensor) -> Tensor:
        """Bring the network's output (B, 2, H, W) to the images' scale, complex64 (B, 1, H, W)."""
        return to_complex(output.float() * self.deviation + self.mean)


class NormalisedUNet(EncoderDecoder):
    """A U-Net that sees real and imaginary part with mean 0 and standard deviation 1, each."""

    def __init__(self, width: int, levels: int) -> None:
        """Build it.

        Args:
            width: channels of the first level; each further level has twice as many.
            levels: how often the image is halved, 1 to 4.

        Raises:
            ValueError: a size is out of range.
        """
        if width < 1 or not 1 <= levels <= 4:
            raise ValueError(
                f"a U-Net of width {width} and {levels} levels: needs width >= 1 and 1 to 4 levels"
            )
        super().__init__(channels=2, width=width, levels=levels)

    def begin_small(self) -> None:
        """Begin with an image that is a tenth of what PyTorch's own initialisation gives."""
        with torch.no_grad():
            self.output.weight.mul_(0.1)
            assert self.output.bias is not None
            self.output.bias.zero_()

    @property
    def smallest_size(self) -> int:
        """Pixels along each axis with which any image will do: one pixel has no deviation."""
        return MULTIPLE + 1 if 2 ** len(self.down) == MULTIPLE else 2

    def normalised(self, image: Tensor) -> tuple[Tensor, Normalisation]:
        """Return what the network sees, float32 (B, 2, H', W'), and how to go back.

        A part that is constant, as the imaginary part of a real image, becomes 0 and comes back as
        it was, whatever the network makes of it.

        Args:
            image: complex64 (B, 1, H, W).
        """
        parts = to_channels(image, 2)
        deviation, mean = torch.std_mean(parts, dim=(-2, -1), keepdim=True)  # unbiased
        parts = (parts - mean) / torch.where(deviation > 0, deviation, 1)
        height, width = parts.shape[-2:]
        down, across = (-size % MULTIPLE for size in (height, width))
        padding = across // 2, across - across // 2, down // 2, down - down // 2
        padded = height + down, width + across
        return F.pad(parts, padding), Normalisation(mean, deviation, (height, width), padded)

    def steps(self, image: Tensor) -> Iterator[Tensor]:
        """Yield what can be tapped, each cropped to the image, then the network's image.

        Args:
            image: complex64 (B, 1, H, W).

        Yields:
            The blocks' outputs and that of the last convolution, each (B, C, H', W'), then
            complex64 (B, 1, H, W).
        """
        seen, normalisation = self.normalised(image)
        output = seen
        for activation in self.blocks(seen):
            output = normalisation.cropped(activation)
            yield output
        yield normalisation.undone(output)

    def forward(self, image: Tensor) -> Tensor:
        """Return the network's image, complex64 (B, 1, H, W), of one."""
        return deque(self.steps(image), maxlen=1).pop()

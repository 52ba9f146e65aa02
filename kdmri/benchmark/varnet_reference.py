"""The VarNet as one would write it down; see `kdmri.benchmark.reference`.

Layers are PyTorch's own in its default layout, all coils go through the U-Net for sensitivities
together, and k-space is transformed along both axes (Sriram et al. 2020). Nothing here is shared
with the suite.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MULTIPLE = 16
"""Images are padded to multiples of so many pixels."""


def block(inputs: int, outputs: int) -> nn.Sequential:
    """Return two convolutions, each with instance normalisation and leaky ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.InstanceNorm2d(outputs),
        nn.LeakyReLU(0.2),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.InstanceNorm2d(outputs),
        nn.LeakyReLU(0.2),
    )


class ReferenceUNet(nn.Module):
    """U-Net on complex images, whose real and imaginary part it normalises."""

    def __init__(self, width: int, levels: int) -> None:
        """Build it: `width` channels at first, twice as many at each of `levels` levels below."""
        super().__init__()
        widths = [width * 2**level for level in range(levels)]
        self.down = nn.ModuleList(
            block(i, o) for i, o in zip([2, *widths[:-1]], widths, strict=True)
        )
        self.bottleneck = block(widths[-1], 2 * widths[-1])
        self.upsample = nn.ModuleList(
            nn.Sequential(
                nn.ConvTranspose2d(2 * w, w, 2, stride=2, bias=False),
                nn.InstanceNorm2d(w),
                nn.LeakyReLU(0.2),
            )
            for w in reversed(widths)
        )
        self.up = nn.ModuleList(block(2 * w, w) for w in reversed(widths))
        self.output = nn.Conv2d(width, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return the image, complex64 (B, 1, H, W), of one."""
        parts = torch.cat((image.real, image.imag), dim=1)
        mean = parts.mean(dim=(2, 3), keepdim=True)
        deviation = parts.std(dim=(2, 3), keepdim=True)
        parts = (parts - mean) / deviation
        height, width = parts.shape[2:]
        down, across = -height % MULTIPLE, -width % MULTIPLE
        left, top = across // 2, down // 2
        activation = F.pad(parts, (left, across - left, top, down - top))
        skipped = []
        for layers in self.down:
            activation = layers(activation)
            skipped.append(activation)
            activation = F.avg_pool2d(activation, 2)
        activation = self.bottleneck(activation)
        for upsample, layers in zip(self.upsample, self.up, strict=True):
            activation = layers(torch.cat((upsample(activation), skipped.pop()), dim=1))
        parts = self.output(activation)[:, :, top : top + height, left : left + width]
        parts = parts * deviation + mean
        return torch.complex(parts[:, :1], parts[:, 1:])


class ReferenceVarNet(nn.Module):
    """E2E-VarNet for masks of columns; weights of the suite's load by their names."""

    def __init__(
        self,
        cascades: int,
        width: int,
        levels: int,
        sensitivity_width: int,
        sensitivity_levels: int,
    ) -> None:
        """Build it; arguments are those of `kdmri.models.VarNet`."""
        super().__init__()
        self.sensitivity = nn.Module()
        self.sensitivity.unet = ReferenceUNet(sensitivity_width, sensitivity_levels)
        self.cascades = nn.ModuleList()
        for _ in range(cascades):
            cascade = nn.Module()
            cascade.unet = ReferenceUNet(width, levels)
            cascade.dc_weight = nn.Parameter(torch.ones(1))
            self.cascades.append(cascade)

    def forward(self, image: Tensor, kspace: Tensor, mask: Tensor, maps: Tensor) -> Tensor:
        """Reconstruct.

        Args:
            image: float32 (B, 2, H, W); not used.
            kspace: measured samples, complex64 (B, coils, H, W), zero frequency at the corner.
            mask: float32 (1 or B, 1, H, W), whole columns.
            maps: sensitivities, complex64 (B, coils, H, W), for the phase of the image alone.

        Returns:
            The root sum of squares with the phase of the combined image, float32 (B, 2, H, W).
        """
        centre = torch.stack([centre_columns(columns) for columns in mask[:, 0, 0]])
        images = torch.fft.ifft2(centre[:, None, None] * kspace, norm="ortho")
        learnt = self.sensitivity.unet(images.flatten(0, 1)[:, None])  # type: ignore[operator]
        learnt = learnt[:, 0].view_as(images)
        learnt = learnt / learnt.abs().square().sum(dim=1, keepdim=True).sqrt()
        current = kspace
        for cascade in self.cascades:
            images = torch.fft.ifft2(current, norm="ortho")
            combined = (learnt.conj() * images).sum(dim=1, keepdim=True)
            found = torch.fft.fft2(learnt * cascade.unet(combined), norm="ortho")  # type: ignore[operator]
            current = current - cascade.dc_weight * mask * (current - kspace) - found  # type: ignore[operator]
        images = torch.fft.ifft2(current, norm="ortho")
        size = images.abs().square().sum(dim=1, keepdim=True).sqrt()
        combined = (maps.conj() * images).sum(dim=1, keepdim=True)
        phased = torch.polar(size, combined.angle())
        return torch.cat((phased.real, phased.imag), dim=1)


def centre_columns(columns: Tensor) -> Tensor:
    """Find the columns in the middle that are all measured, from a mask (W,), as a mask (W,)."""
    measured = torch.fft.fftshift(columns).tolist()
    middle = len(measured) // 2
    left = right = 0
    while left < middle and measured[middle - 1 - left]:
        left += 1
    while middle + right < len(measured) and measured[middle + right]:
        right += 1
    count = len(measured) if all(measured) else max(1, 2 * min(left, right))
    first = (len(measured) - count + 1) // 2
    centre = torch.zeros_like(columns)
    centre[first : first + count] = 1
    return torch.fft.ifftshift(centre)

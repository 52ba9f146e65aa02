"""Training slices as other scanners would see other people: for networks that are to take any scan.

What tells a real scan from a simulated one, and what a network that has only seen the latter does
not know, is drawn anew for each slice: contrast, detail, pose and size in the field of view,
shading, phase, coils, noise, and sensitivities that are estimated from noisy k-space.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from kdmri.data.batch import Slice
from kdmri.data.companions import Estimate, central
from kdmri.data.cropping import Window
from kdmri.data.photographs import draw_photographs
from kdmri.data.simulated_coils import draw_coils, draw_phase
from kdmri.errors import ConfigurationError

KNOTS = 6
"""Intensities between which a drawn contrast is linear, 0 and the largest among them."""

SPOTS = 12
"""Places that are brighter than what is around them, in 4 of 10 slices."""

DETAIL = (2, 4, 8, 16)
"""Pixels between two independent values of the fields that detail is made of."""


@dataclass(frozen=True)
class DrawnScanner:
    """Makes the scan of another scanner of each slice; only its magnitude is used.

    Attributes:
        estimate: of sensitivities, from the centre of noisy k-space, as in use.
        sizes: pixels along an axis of an image; of a batch both axes are drawn, each from these.
        coils: number of them, drawn for a batch.
        noise_range: smallest and largest standard deviation, of the largest magnitude; what is
            drawn is its logarithm.
        contrast: share of slices whose intensities are mapped to others.
        detail: largest relative change of intensities by random detail, of half of the slices.
        log_scale: smallest and largest |ln| of the object's size in the field of view, as a range.
        shift: largest displacement along an axis, in units of half the image.
        photographs: share of slices that are photographs instead, see `kdmri.data.photographs`.
    """

    estimate: Estimate
    sizes: Sequence[int]
    coils: Sequence[int]
    noise_range: tuple[float, float]
    contrast: float
    detail: float
    log_scale: tuple[float, float]
    shift: float
    photographs: float = 0.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        low, high = self.noise_range
        if not self.sizes or min(self.sizes) < 32 or not self.coils or min(self.coils) < 1:
            raise ConfigurationError(
                f"augmentation.transform: sizes={list(self.sizes)} must be at least 32, "
                f"coils={list(self.coils)} at least 1"
            )
        shares = self.contrast, self.photographs
        if not 0 < low <= high or not all(0 <= s <= 1 for s in shares) or not 0 <= self.detail < 1:
            raise ConfigurationError(
                "augmentation.transform: "
                f"noise_range={list(self.noise_range)} must be above 0 and in order, "
                f"contrast={self.contrast} and photographs={self.photographs} shares, "
                f"detail={self.detail} at least 0 and below 1"
            )

    def __call__(self, slices: Slice) -> Slice:
        """Change collated slices, by PyTorch's generator of the CPU.

        Args:
            slices: of several coils.

        Returns:
            Others with new k-space, sensitivities and targets, of another size and number of coils;
            they are measured against the root sum of squares of all coils.

        Raises:
            ConfigurationError: the slices are of one coil.
        """
        if slices.coils is None:
            raise ConfigurationError(
                f"augmentation.transform={type(self).__name__}: is for data of several coils"
            )
        device, count = slices.target.device, len(slices.target)
        size = self._one_of(self.sizes), self._one_of(self.sizes)
        magnitude = slices.target.square().sum(dim=1, keepdim=True).sqrt()
        if self.photographs:
            shown = (magnitude.shape[-2], magnitude.shape[-1])
            replaced = torch.rand(count, 1, 1, 1) < self.photographs
            drawn = draw_photographs(count, shown).to(device)
            magnitude = torch.where(replaced.to(device), drawn, magnitude)
        image = _largest_one(self._posed(magnitude, size))
        image = _largest_one(self._detailed(self._contrasted(image)))
        image = image * self._spots(count, size).to(device)
        seeds = torch.randint(2**31, (3, count)).tolist()
        image = image * (draw_phase(size, seeds[0], device) / (4 * math.pi)).clamp(-2, 2).exp()
        speed = (0.5 + 1.5 * torch.rand(count, 1, 1, 1)).to(device)
        phase = speed * draw_phase(size, seeds[1], device)
        coils = self._one_of(self.coils)
        maps, strength = draw_coils(size, coils, seeds[2], device)
        # Scanners take away all, a part or nothing of how much brighter it is near the coils.
        image = image * strength ** torch.rand(count, 1, 1, 1).to(device)
        clean = torch.fft.fft2(maps * _largest_one(image) * torch.exp(1j * phase), norm="ortho")
        kspace = clean + self._noise(count, coils, size).to(device)
        return self._scanned(slices, kspace)

    def _scanned(self, slices: Slice, kspace: Tensor) -> Slice:
        """Bring k-space to a network's scale, and find what belongs to it."""
        count, _, height, width = kspace.shape
        centre = self.estimate.used((height, width))
        low = torch.fft.ifft2(central(kspace, centre), norm="ortho")
        kspace = kspace / low.abs().square().sum(dim=1, keepdim=True).amax((2, 3), True).sqrt()
        sensitivities = self.estimate(kspace, centre)
        images = torch.fft.ifft2(kspace, norm="ortho")
        combined = (sensitivities.conj() * images).sum(dim=1, keepdim=True)
        rss = images.abs().square().sum(dim=1, keepdim=True).sqrt()
        assert slices.coils is not None
        coils = slices.coils._replace(
            sensitivities=sensitivities,
            acquired=torch.ones(count, 1, height, width, device=kspace.device),
            shown=Window(0, 0, height, width),
            image=rss,
        )
        return slices._replace(
            target=torch.cat((combined.real, combined.imag), dim=1),
            kspace=kspace,
            data_range=rss.amax(dim=(1, 2, 3)),
            variant=None,
            coils=coils,
        )

    @staticmethod
    def _one_of(choices: Sequence[int]) -> int:
        return int(choices[int(torch.randint(len(choices), ()))])

    def _posed(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        """Turn, scale, stretch and move images (B, 1, H, W) into a field of view (h, w)."""
        count, _, height, width = image.shape
        angle = math.pi * (2 * torch.rand(count) - 1)
        low, high = self.log_scale
        zoom = (low + (high - low) * torch.rand(count)).exp()
        stretch = (0.15 * (2 * torch.rand(count) - 1)).exp()
        # Between coordinates in units of half the longer side of each.
        cosine, sine = angle.cos() / zoom, angle.sin() / zoom
        rows = torch.stack((cosine * stretch, -sine / stretch), dim=-1)
        rows = torch.stack((rows, torch.stack((sine * stretch, cosine / stretch), dim=-1)), dim=1)
        ours = torch.tensor((size[1], size[0])) / max(size)
        theirs = max(height, width) / torch.tensor((width, height))
        moved = self.shift * (2 * torch.rand(count, 2, 1) - 1)
        matrix = torch.cat((theirs[:, None] * rows * ours, moved), dim=-1).to(image)
        grid = F.affine_grid(matrix, [count, 1, *size], align_corners=False)
        return F.grid_sample(image, grid, mode="bicubic", align_corners=False).clamp(min=0)

    @staticmethod
    def _spots(count: int, size: tuple[int, int]) -> Tensor:
        """Draw how much brighter fat and vessels are than what is around them, (B, 1, H, W)."""
        number = (count, SPOTS, 1)
        rows, columns = (
            torch.linspace(-1, 1, n) * n / max(size) - 2 * torch.rand(number) + 1 for n in size
        )
        width = 0.02 * 5 ** torch.rand(number)
        height = 3 * torch.rand(number) ** 3 * (torch.rand(count, 1, 1) < 0.4)
        rows, columns = ((-(axis / width).square() / 2).exp() for axis in (rows, columns))
        return 1 + torch.einsum("bsh,bsw->bhw", height * rows, columns)[:, None]

    def _contrasted(self, image: Tensor) -> Tensor:
        """Map intensities in [0, 1] of some images to others; 0 stays 0."""
        count = len(image)
        knots = torch.rand(count, KNOTS)
        knots[:, 0] = 0
        plain = torch.linspace(0, 1, KNOTS).expand(count, -1)
        changed = (torch.rand(count, 1) < self.contrast) & (knots.amax(1, keepdim=True) > 0.2)
        knots = torch.where(changed, knots, plain).to(image)
        place = image.flatten(1) * (KNOTS - 1)
        lower = place.floor().clamp(max=KNOTS - 2)
        low, high = (knots.gather(1, lower.long() + step) for step in (0, 1))
        return (low + (place - lower) * (high - low)).view_as(image)

    def _detailed(self, image: Tensor) -> Tensor:
        """Multiply images by fields of random detail: smooth, or with edges."""
        count, _, height, width = image.shape
        field = torch.zeros(count, 1, height, width)
        for step in DETAIL:
            drawn = torch.randn(count, 1, height // step + 2, width // step + 2)
            drawn = F.interpolate(drawn, size=(height, width), mode="bicubic", align_corners=False)
            field += torch.rand(count, 1, 1, 1) * drawn
        sharp = torch.rand(count, 1, 1, 1) < 0.5
        field = torch.tanh(torch.where(sharp, 8 * field, field))
        amplitude = self.detail * (2 * torch.rand(count, 1, 1, 1) - 1).clamp(min=0)
        return image * (1 + amplitude * field).to(image)

    def _noise(self, count: int, coils: int, size: tuple[int, int]) -> Tensor:
        """Draw complex noise of k-space (B, coils, H, W); the coils' levels differ a little."""
        low, high = (math.log(level) for level in self.noise_range)
        level = (low + (high - low) * torch.rand(count, 1, 1, 1)).exp()
        level = level * (0.2 * torch.randn(count, coils, 1, 1)).exp()
        return level * torch.view_as_complex(torch.randn(count, coils, *size, 2))


def _largest_one(image: Tensor) -> Tensor:
    return image / image.amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-6)

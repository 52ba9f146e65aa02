"""Noise of simulated k-space."""

import torch
from torch import Tensor

from kdmri.data.batch import Slice
from kdmri.errors import ConfigurationError
from kdmri.physics.fourier import fft2, to_complex


class SimulatedKspace:
    """Makes fully sampled k-space from slices, with complex Gaussian noise where there is any."""

    def __init__(self, noise: float = 0.0) -> None:
        """Take the noise.

        Args:
            noise: standard deviation in each sample, in units of the volume's largest magnitude.

        Raises:
            ConfigurationError: it is negative.
        """
        if noise < 0:
            raise ConfigurationError(f"task.noise={noise}: must be at least 0")
        self.noise = noise

    def __call__(self, slices: Slice, training: bool) -> Tensor:
        """Transform targets to k-space, complex64 (B, 1, H, W), zero frequency at the corner.

        Args:
            slices: collated.
            training: draw the noise anew, by PyTorch's generator of the CPU; else it is the same
                for a slice each time.
        """
        kspace = fft2(to_complex(slices.target))
        if not self.noise:
            return kspace
        if training:
            noise = torch.randn(kspace.shape, dtype=kspace.dtype)
        else:
            numbers = zip(slices.volume.tolist(), slices.slice.tolist(), strict=True)
            seeds = (volume * 1_000_003 + index for volume, index in numbers)
            noise = torch.stack([_normal(kspace.shape[1:], seed) for seed in seeds])
        deviation = self.noise * slices.data_range.view(-1, 1, 1, 1)
        return kspace + deviation * noise.to(kspace.device)

    def __str__(self) -> str:
        return f"; noise of {self.noise:g} times the largest magnitude" if self.noise else ""


def _normal(shape: torch.Size, seed: int) -> Tensor:
    """Draw complex64 numbers of standard deviation 1, the same for a seed on any device."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.complex64, generator=generator)

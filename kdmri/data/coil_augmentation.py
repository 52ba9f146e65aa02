"""Other coils, phase and noise for training slices of several coils."""

from dataclasses import dataclass

import torch
from torch import Tensor

from kdmri.data.batch import Slice
from kdmri.data.simulated_coils import draw_phase, draw_sensitivities
from kdmri.errors import ConfigurationError


@dataclass(frozen=True)
class DrawnCoils:
    """Lets other coils measure a slice: sensitivities, phase and noise are drawn anew.

    Attributes:
        share: of the slices, in (0, 1]; the others keep their coils.
        noise: standard deviation of complex noise is drawn between 0 and this, in units of the
            volume's largest magnitude.
    """

    share: float
    noise: float

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not 0 < self.share <= 1 or self.noise < 0:
            raise ConfigurationError(f"{self}: share must be in (0, 1], noise at least 0")

    def __call__(self, slices: Slice) -> Slice:
        """Change collated slices, by PyTorch's generator of the CPU.

        Args:
            slices: of several coils.

        Returns:
            The same with new k-space, sensitivities and targets.

        Raises:
            ConfigurationError: the slices are of one coil.
        """
        if slices.coils is None:
            raise ConfigurationError(
                f"augmentation.transform={type(self).__name__}: is for data of several coils"
            )
        target, old = slices.target, slices.coils.sensitivities
        size, device = (target.shape[-2], target.shape[-1]), target.device
        seeds = torch.randint(2**31, (len(target),)).tolist()
        changed = (torch.rand(len(target)) < self.share).to(device)[:, None, None, None]
        image = torch.complex(target[:, :1], target[:, 1:])
        drawn = draw_sensitivities(size, old.shape[1], seeds, device)
        sensitivities = torch.where(changed, drawn, old)
        phase = draw_phase(size, seeds, device)
        image = torch.where(changed, image * torch.polar(torch.ones_like(phase), phase), image)
        deviation = self.noise * torch.rand(len(target)).to(device) * slices.data_range
        noise = torch.randn(old.shape, dtype=old.dtype).to(device)
        added = changed * deviation[:, None, None, None] * noise
        return measured_by_coils(
            slices._replace(
                target=torch.cat((image.real, image.imag), dim=1),
                coils=slices.coils._replace(sensitivities=sensitivities),
            ),
            added,
        )


def measured_by_coils(slices: Slice, noise: Tensor | None = None) -> Slice:
    """Measure targets that were changed by their coils, as far as the scan was acquired.

    Args:
        slices: collated, of several coils, two channels.
        noise: that is added to k-space, complex64 (B, coils, H, W).

    Returns:
        The same with k-space of the targets, and with the targets that it gives.
    """
    coils = slices.coils
    assert coils is not None
    image = torch.complex(slices.target[:, :1], slices.target[:, 1:])
    kspace = torch.fft.fft2(coils.sensitivities * image, norm="ortho")
    if noise is not None:
        kspace = kspace + noise
    kspace = torch.where(coils.acquired > 0, kspace, 0)
    seen = torch.fft.ifft2(kspace, norm="ortho")
    combined = (coils.sensitivities.conj() * seen).sum(dim=1, keepdim=True)
    target = torch.cat((combined.real, combined.imag), dim=1)
    # An image of its own is that of the scan, not of what was made of it.
    return slices._replace(target=target, kspace=kspace, coils=coils._replace(image=None))

"""Data consistency: measured k-space samples replace the network's own."""

from functools import cached_property

import torch
from torch import Tensor, nn

from kdmri.hardware import eager_on_cpu
from kdmri.physics.fourier import fft2, ifft2, to_channels, to_complex


class Measurement:
    """What was measured of a batch; made once for all cascades that it corrects.

    A real image needs no complex transform. With F the Fourier transform and M the mask,
    Re F^-1(M y + (1 - M) F x) = Re F^-1(M y) + K x with a real K: where the mask consists of whole
    lines a circulant matrix along one axis, and under any mask the one that the mask's symmetric
    part (M(k) + M(-k)) / 2 gives to the transform of real images.
    """

    def __init__(self, kspace: Tensor, mask: Tensor) -> None:
        """Take the samples; nothing is computed before it is needed.

        Args:
            kspace: complex64 (B, 1, H, W), orthonormal, zero frequency at the corner.
            mask: 1 where measured, else 0; float32 (1 or B, 1, H, W).
        """
        self.kspace, self.mask = kspace, mask

    def impose(self, image: Tensor) -> Tensor:
        """Replace the measured samples and return to the image's own number of channels.

        Args:
            image: float (B, C, H, W), C = 1 (real) or 2 (real and imaginary part).

        Returns:
            float32 (B, C, H, W).

        Raises:
            RuntimeError: the image has another size than the k-space.
        """
        if image.shape[1] != 1:
            return to_channels(self.consistent_image(image), image.shape[1])
        with torch.autocast(image.device.type, enabled=False):
            return self._real_image(image.float())

    def consistent_image(self, image: Tensor) -> Tensor:
        """Return the complex image, (B, 1, H, W), that agrees with every measured sample."""
        return ifft2(self._measured + (1 - self.mask) * fft2(to_complex(image)))

    def _real_image(self, image: Tensor) -> Tensor:
        own, measured = image[:, 0], self._measured_image
        match self._line_axis:
            case 0:
                return torch.baddbmm(measured, self._circulant.expand(len(own), -1, -1), own)[
                    :, None
                ]
            case 1:
                return torch.baddbmm(measured, own, self._circulant.expand(len(own), -1, -1))[
                    :, None
                ]
        kspace = self._unmeasured_half * torch.fft.rfft2(own)
        return (measured + torch.fft.irfft2(kspace, s=own.shape[-2:]))[:, None]

    @cached_property
    def _measured(self) -> Tensor:
        return self.mask * self.kspace

    @cached_property
    def _measured_image(self) -> Tensor:
        """Re F^-1(M y), float32 (B, H, W)."""
        return ifft2(self._measured)[:, 0].real.contiguous()

    @cached_property
    def _line_axis(self) -> int | None:
        """The undersampled axis of a mask of whole lines; None for any other mask.

        Not asked on a GPU, which would have to wait for the answer, nor while a graph is captured.
        """
        if not eager_on_cpu(self.mask):
            return None
        if torch.equal(self.mask, self.mask[..., :1].expand_as(self.mask)):
            return 0
        if torch.equal(self.mask, self.mask[..., :1, :].expand_as(self.mask)):
            return 1
        return None

    @cached_property
    def _circulant(self) -> Tensor:
        """K along the undersampled axis, symmetric, float32 (1 or B, N, N)."""
        lines = 1 - (self.mask[:, 0, :, 0] if self._line_axis == 0 else self.mask[:, 0, 0])
        kernel = torch.fft.ifft(lines).real
        index = torch.arange(lines.shape[-1])
        return kernel[:, (index[:, None] - index) % len(index)]

    @cached_property
    def _unmeasured_half(self) -> Tensor:
        """K on the half of k-space that a real image has, float32 (1 or B, H, W // 2 + 1)."""
        mask = self.mask[:, 0]
        mirrored = mask.flip(-2, -1).roll((1, 1), (-2, -1))
        return 1 - ((mask + mirrored) / 2)[..., : mask.shape[-1] // 2 + 1]


class DataConsistency(nn.Module):
    """Hard data consistency of a single-coil image (Schlemper et al. 2017, eq. 4, noiseless)."""

    def forward(self, image: Tensor, measurement: Measurement) -> Tensor:
        """Replace the measured samples; see `Measurement.impose`.

        With one channel the real part is kept (the published variant): the result then agrees with
        the measured samples only as far as the underlying image is real and the mask symmetric.
        """
        return measurement.impose(image)

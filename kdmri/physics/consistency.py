"""Data consistency: measured k-space samples replace the network's own."""

from functools import cached_property
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from kdmri.hardware import eager_on_cpu
from kdmri.physics.coils import combine
from kdmri.physics.fourier import fft2, ifft2, to_channels, to_complex


class Measurement:
    """What was measured of a batch; made once for all cascades that it corrects.

    With coil sensitivities S, what is imposed on a complex image x is S^H F^-1(M y + (1 - M) F S x)
    with the k-space y of all coils. Where S has unit norm, that is a step of size 1 along the
    gradient of ||M F S x - y||^2 / 2. Under a mask of whole lines the transform along them cancels.

    A real image of one coil needs no complex transform. With F the Fourier transform and M the
    mask, Re F^-1(M y + (1 - M) F x) = Re F^-1(M y) + K x with a real K: where the mask consists of
    whole lines a circulant matrix along one axis, and under any mask the one that the mask's
    symmetric part (M(k) + M(-k)) / 2 gives to the transform of real images.
    """

    def __init__(self, kspace: Tensor, mask: Tensor, sensitivities: Tensor | None = None) -> None:
        """Take the samples; nothing is computed before it is needed.

        Args:
            kspace: complex64 (B, coils, H, W), orthonormal, zero frequency at the corner.
            mask: 1 where measured, else 0; float32 (1 or B, 1, H, W).
            sensitivities: of the coils, complex64 (B, coils, H, W), of unit norm over the coils
                where there is signal, else 0; None for k-space (B, 1, H, W) of one coil.
        """
        self.kspace, self.mask, self.sensitivities = kspace, mask, sensitivities

    @property
    def axes(self) -> tuple[int, ...]:
        """Axes that are undersampled, of (..., H, W).

        Along the other one the mask is constant: what it cuts out may be transformed there, or not.
        """
        return (-2, -1) if self._line_axis is None else ((-2, -1)[self._line_axis],)

    def impose(self, image: Tensor, weight: Tensor | None = None) -> Tensor:
        """Replace the measured samples and return to the image's own number of channels.

        Args:
            image: float (B, C, H, W), C = 1 (real) or 2 (real and imaginary part).
            weight: step size along the gradient, a scalar; None replaces them (hard consistency).

        Returns:
            float32 (B, C, H, W).

        Raises:
            RuntimeError: the image has another size than the k-space.
        """
        if image.shape[1] == 1 and self.sensitivities is None:
            with torch.autocast(image.device.type, enabled=False):
                found = self._real_image(image.float())
        else:
            found = to_channels(self.consistent_image(image), image.shape[1])
        if weight is None:
            return found
        with torch.autocast(image.device.type, enabled=False):
            own = image.float()
            seen = own if self.sensitivities is None else self._sensitive * own
            return own + weight * (found - seen)

    def consistent_image(self, image: Tensor) -> Tensor:
        """Return the complex image, (B, 1, H, W), that agrees with every measured sample.

        Of several coils it is the combination of theirs.
        """
        own = to_complex(image)
        if self.sensitivities is None:
            return ifft2(self._measured + (1 - self.mask) * fft2(own))
        if self.kspace.shape[1] == 1:  # in the order of the line above, so bit for bit where S = 1
            kspace = self._measured + (1 - self.mask) * fft2(self.sensitivities * own)
            return self._combined(ifft2(kspace))
        fixed = not (self.sensitivities.requires_grad or self.mask.requires_grad)
        if fixed and eager_on_cpu(own):
            return self._measured_combined + _Unmeasured.apply(own, self)
        return self._measured_combined + self.unmeasured(own)

    def unmeasured(self, image: Tensor) -> Tensor:
        """Return what of an image (B, 1, H, W) the samples do not tell: S^H F^-1 (1 - M) F S x."""
        assert self.sensitivities is not None
        kspace = torch.fft.fftn(self.sensitivities * image, dim=self.axes)
        return self._combined(torch.fft.ifftn(self._rest * kspace, dim=self.axes))

    def unmeasured_by_coil(self, image: Tensor) -> Tensor:
        """Return the same, one coil after the other: what a CPU's cache holds, nothing more."""
        return self._by_coil(image, self._scaled_rest)

    def measured_by_coil(self, image: Tensor) -> Tensor:
        """Return what of an image (B, 1, H, W) the samples tell, S^H F^-1 M F S x, likewise."""
        return self._by_coil(image, self._scaled_mask)

    def _by_coil(self, image: Tensor, scaled: Tensor) -> Tensor:
        """Return S^H F^-1 K F S x, where K keeps some samples, see `_scaled`, coil by coil.

        Along an axis without a transform, only that part is computed where any coil sees anything.
        """
        assert self.sensitivities is not None
        found = torch.zeros_like(image)
        axis, first, count = self._inside
        if not count:
            return found
        part, total = (images.narrow(axis, first, count) for images in (image, found))
        for sensitivity in self.sensitivities.narrow(axis, first, count).split(1, dim=1):
            kspace = torch.fft.fftn(sensitivity * part, dim=self.axes)
            torch.view_as_real(kspace).mul_(scaled)
            # F conj(k) is the conjugate of F^-1 k: so sensitivities are read as they are.
            total.addcmul_(sensitivity, torch.fft.fftn(kspace, dim=self.axes))
        return found.conj_physical_()

    @cached_property
    def _inside(self) -> tuple[int, int, int]:
        """The axis without a transform, where sensitivities begin along it, and over how much."""
        assert self.sensitivities is not None
        if len(self.axes) == 2:
            return -2, 0, self.mask.shape[-2]
        (other,) = self.axes
        (axis,) = {-2, -1} - {other}
        places = (self.sensitivities != 0).any(dim=other).any(dim=1).any(dim=0).nonzero()[:, 0]
        if not len(places):
            return axis, 0, 0
        return axis, int(places[0]), int(places[-1] - places[0]) + 1

    def _combined(self, images: Tensor) -> Tensor:
        assert self.sensitivities is not None
        return combine(images, self.sensitivities)

    @cached_property
    def _rest(self) -> Tensor:
        """1 where nothing was measured, float32 (1 or B, 1, H, W)."""
        return 1 - self.mask

    @cached_property
    def _scaled_rest(self) -> Tensor:
        return self._scaled(self._rest)

    @cached_property
    def _scaled_mask(self) -> Tensor:
        return self._scaled(self.mask)

    def _scaled(self, kept: Tensor) -> Tensor:
        """Return what keeps samples, for the parts of numbers that become conjugated ones.

        float32 (1 or B, 1, H or 1, W or 1, 2), with the scale of a transform along `axes` there and
        back.
        """
        kept = kept / prod(self.mask.shape[axis] for axis in self.axes)
        for axis in {-2, -1} - {*self.axes}:
            kept = kept.narrow(axis, 0, 1)
        return torch.stack((kept, -kept), dim=-1)

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
    def _measured_combined(self) -> Tensor:
        """S^H F^-1(M y), complex64 (B, 1, H, W)."""
        return self._combined(ifft2(self._measured))

    @cached_property
    def _sensitive(self) -> Tensor:
        """Squared norm of the sensitivities, float32 (B, 1, H, W)."""
        assert self.sensitivities is not None
        return self.sensitivities.abs().square().sum(dim=1, keepdim=True)

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


class _Unmeasured(torch.autograd.Function):
    """`Measurement.unmeasured`: linear and its own adjoint, so that its gradient keeps no images.

    It is that of S^H F^-1 (1 - M) F S with respect to the image alone.
    """

    @staticmethod
    def forward(ctx: Any, image: Tensor, measurement: Measurement) -> Tensor:
        ctx.measurement = measurement
        return measurement.unmeasured_by_coil(image)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Unmeasured.apply(gradient, ctx.measurement), None


class DataConsistency(nn.Module):
    """Data consistency of an image, of one coil or combined from several.

    Hard (Schlemper et al. 2017, eq. 4, noiseless) or soft, a step of learnt size along the gradient
    as `dc_weight` of the VarNet (Sriram et al. 2020, eq. 8), which begins with 1.
    """

    def __init__(self, soft: bool = False) -> None:
        """Build it; soft consistency has one parameter."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(())) if soft else None

    def forward(self, image: Tensor, measurement: Measurement) -> Tensor:
        """Replace the measured samples; see `Measurement.impose`.

        With one channel the real part is kept (the published variant): the result then agrees with
        the measured samples only as far as the underlying image is real and the mask symmetric.
        """
        return measurement.impose(image, self.weight)

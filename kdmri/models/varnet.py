"""End-to-end variational network (Sriram et al. 2020, arXiv:2004.06688)."""

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn

from kdmri.hardware import eager_on_cpu
from kdmri.models.cascaded import Cascade, CascadedNetwork
from kdmri.models.normalised import NormalisedUNet
from kdmri.physics import Measurement, fft2, ifft2, to_channels
from kdmri.physics.coils import combine, expand, root_sum_of_squares
from kdmri.physics.sense import START_PENALTY, conjugate_gradient_sense

CACHE, SHARE = 2**21, 2**28
"""Bytes of the widest activation of coils that are computed at once, on a CPU and elsewhere."""

STEADY = 0.1
"""Share of the magnitude that the combined image needs for its phase to be learnt from."""


def calibration(mask: Tensor) -> Tensor:
    """Find the fully sampled centre that sensitivities are told from.

    Along each axis, through the zero frequency, twice the smaller one of the runs of measured
    samples on both sides of N // 2 (the upper one begins there), at least 1, all where all are
    measured. For whole lines that is fastMRI's rule, but for the last case, in which it takes one.

    Args:
        mask: above 0 where measured, (1 or B, 1, H, W), zero frequency at the corner.

    Returns:
        The rectangle, bool (1 or B, 1, H, W).
    """
    measured = mask > 0
    rows, columns = _centre(measured[..., 0]), _centre(measured[..., 0, :])
    return rows[..., :, None] & columns[..., None, :]


def _centre(measured: Tensor) -> Tensor:
    count = measured.shape[-1]
    below, above = torch.fft.fftshift(measured.int(), dim=-1).tensor_split([count // 2], dim=-1)
    runs = (side.cumprod(dim=-1).sum(dim=-1, keepdim=True) for side in (below.flip(-1), above))
    width = (2 * torch.minimum(*runs)).clamp_min(1)
    width = torch.where(measured.all(dim=-1, keepdim=True), count, width)
    first = (count - width + 1) // 2
    place = torch.arange(count, device=measured.device)
    return torch.fft.ifftshift((place >= first) & (place < first + width), dim=-1)


class SensitivityNetwork(nn.Module):
    """Learns coil sensitivities from the fully sampled centre, each coil by itself."""

    def __init__(self, width: int, levels: int) -> None:
        """See `VarNet` for the arguments."""
        super().__init__()
        self.unet = NormalisedUNet(width, levels)

    def forward(self, kspace: Tensor, mask: Tensor, near: Tensor | None = None) -> Tensor:
        """Return sensitivities, complex64 (B, coils, H, W), of unit norm, or 0 in all coils.

        Args:
            kspace: measured samples, complex64 (B, coils, H, W), zero frequency at the corner.
            mask: above 0 where measured, (1 or B, 1, H, W).
            near: sensitivities to which those that are learnt are added, of the same kind.
        """
        images = ifft2(torch.where(calibration(mask), kspace, 0))
        single = images.flatten(0, 1)[:, None]
        at_once = len(single) if torch.is_grad_enabled() else self._at_once(single)
        found = torch.cat([self.unet(some) for some in single.split(at_once)]).view_as(images)
        found = found if near is None else found + near
        norm = root_sum_of_squares(found)
        return found / torch.where(norm > 0, norm, 1)

    def _at_once(self, images: Tensor) -> int:
        """Return how many coils go through the U-Net together where no gradient is wanted.

        Those whose activations a CPU's cache, or a share of a GPU's memory, has room for.
        """
        room = CACHE if eager_on_cpu(images) else SHARE
        bytes_of_one = 4 * self.unet.output.in_channels * images[0].numel()
        return max(1, room // bytes_of_one)


class VarNetCascade(Cascade):
    """A step on the k-space of all coils: towards the samples, and away by what a U-Net finds.

    k - w M (k - y) - F S U(S^H F^-1 k). Places to tap are the blocks of the U-Net, by name. F acts
    along the undersampled axes alone; along another one, k-space is an image from the beginning.
    """

    def __init__(self, width: int, levels: int) -> None:
        """See `VarNet` for the arguments."""
        super().__init__()
        self.unet = NormalisedUNet(width, levels)
        self.dc_weight = nn.Parameter(torch.ones(1))
        self.names = self.unet.names
        self.convolutions = len(self.names) + 1
        self.smallest_size = self.unet.smallest_size

    def steps(self, image: Tensor, measurement: Measurement) -> Iterator[Tensor]:
        """Yield what `NormalisedUNet.steps` does, cropped to the image, then the next k-space.

        Args:
            image: k-space of all coils along `measurement.axes`, complex64 (B, coils, H, W).
            measurement: with sensitivities, and k-space that is 0 where not measured.
        """
        kspace, sensitivities = image, measurement.sensitivities
        assert sensitivities is not None
        images = torch.fft.ifftn(kspace, dim=measurement.axes, norm="ortho")
        steps = self.unet.steps(combine(images, sensitivities))
        for _ in range(self.convolutions):
            yield next(steps)
        seen = expand(next(steps), sensitivities)
        found = torch.fft.fftn(seen, dim=measurement.axes, norm="ortho")
        step = (self.dc_weight * (measurement.mask > 0)).to(kspace.dtype)
        yield torch.lerp(kspace, measurement.kspace, step) - found


class VarNet(CascadedNetwork):
    """E2E-VarNet: cascades hand on the k-space of all coils; sensitivities are learnt.

    Its image has the magnitude that the VarNet of fastMRI gives, the root sum of squares over the
    coils. The phase is that of the coils' combination by the sensitivities that came with the
    k-space, so that it compares with complex targets and with the images of other networks;
    nothing else depends on those. Of one coil without sensitivities it is the complex image itself,
    of several the image is real.
    """

    state: ClassVar[str] = "k-space of all coils"
    loses_in_halves: ClassVar[str] = "some 2 % of its image"

    def __init__(
        self,
        cascades: int = 12,
        width: int = 18,
        levels: int = 4,
        sensitivity_width: int = 8,
        sensitivity_levels: int = 4,
        channels: int = 2,
        start: int = 0,
    ) -> None:
        """Build the network with PyTorch's default initialisation.

        Args:
            cascades: at least 1.
            width: channels of the first level of their U-Nets.
            levels: how often these halve an image, 1 to 4.
            sensitivity_width: channels of the first level of the U-Net for sensitivities.
            sensitivity_levels: how often it halves an image, 1 to 4.
            channels: of the image, 2 (real and imaginary part).
            start: iterations of CG-SENSE (`kdmri.physics.sense`) that the first cascade goes on
                from, by the sensitivities that came with the k-space; learnt ones begin close to
                those, and U-Nets with little to add. It learns in far fewer steps then. 0 goes on
                from the measured samples, as published, and so does k-space without any.

        Raises:
            ValueError: a size is out of range, or `channels` is not 2.
        """
        if cascades < 1 or channels != 2 or start < 0:
            raise ValueError(
                f"VarNet(cascades={cascades}, channels={channels}, start={start}): needs cascades "
                ">= 1, complex images, dataset.channels=2, and start >= 0"
            )
        steps = [VarNetCascade(width, levels) for _ in range(cascades)]
        super().__init__(steps, channels)
        self.sensitivity = SensitivityNetwork(sensitivity_width, sensitivity_levels)
        self.start = start
        if start:
            for unet in (*(step.unet for step in steps), self.sensitivity.unet):
                unet.begin_small()

    @property
    def smallest_size(self) -> int:
        """Pixels along each axis of an image that every U-Net can do with."""
        return max(super().smallest_size, self.sensitivity.unet.smallest_size)

    def begin(self, image: Tensor, measurement: Measurement) -> tuple[Tensor, Measurement]:
        """Return what the first cascade goes on from, and measurements with learnt sensitivities.

        Both are k-space along the undersampled axes alone, see `VarNetCascade`.

        Raises:
            RuntimeError: the image, which is not used, has another size than the k-space.
        """
        kspace, mask = measurement.kspace, measurement.mask
        if image.shape[-2:] != kspace.shape[-2:]:
            sizes = tuple(image.shape[-2:]), tuple(kspace.shape[-2:])
            raise RuntimeError("the image has size {}, its k-space {}".format(*sizes))
        measured = torch.where(mask > 0, kspace, 0)
        begun, given = measured, measurement.sensitivities if self.start else None
        if given is not None:
            found = conjugate_gradient_sense(kspace, mask, given, self.start, START_PENALTY)
            begun = torch.where(mask > 0, measured, fft2(expand(found, given)))
        sensitivities = self.sensitivity(measured, mask, given)
        sampled = tuple({-2, -1} - {*measurement.axes})
        if sampled:
            measured = torch.fft.ifftn(measured, dim=sampled, norm="ortho")
            begun = torch.fft.ifftn(begun, dim=sampled, norm="ortho") if self.start else measured
        return begun, Measurement(measured, mask, sensitivities)

    def finish(self, state: Tensor, measurement: Measurement) -> Tensor:
        """Return the root sum of squares with the combined image's phase, float32 (B, 2, H, W)."""
        images = torch.fft.ifftn(state, dim=measurement.axes, norm="ortho")
        size = root_sum_of_squares(images)
        if measurement.sensitivities is not None:
            return to_channels(with_phase(size, combine(images, measurement.sensitivities)), 2)
        return to_channels(images if images.shape[1] == 1 else size + 0j, 2)


def with_phase(size: Tensor, image: Tensor) -> Tensor:
    """Give a magnitude the phase of an image, and 0 where the image has none.

    Where the image is a small share of the magnitude, as outside the object, its phase is noise
    whose gradient grows without bound; nothing is learnt from it there.

    Args:
        size: the magnitude, float32 (B, 1, H, W).
        image: complex64 (B, 1, H, W).

    Returns:
        complex64 (B, 1, H, W).
    """
    known = torch.where(image.abs() > STEADY * size, image, image.detach())
    own = known.abs()
    return size * torch.where(own > 0, known / torch.where(own > 0, own, 1), 1)

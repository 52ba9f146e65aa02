"""Random changes of training slices, before anything is made of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from kdmri.data.batch import Coils, Slice
from kdmri.data.coil_augmentation import measured_by_coils
from kdmri.errors import ConfigurationError

AXES = (-2, -1)
"""H and W."""


def flipped(slices: Slice, axes: Sequence[int] = AXES) -> Slice:
    """Mirror each slice with even odds along each axis, by PyTorch's generator of the CPU.

    Args:
        slices: collated; stored k-space becomes that of the mirrored image.
        axes: -2 (H), -1 (W) or both. Along an undersampled axis, the lines that stored k-space has
            would be mirrored, too, and its mask would not be theirs.

    Returns:
        The same with new targets, k-space and variants.
    """
    drawn = torch.rand(len(slices.target), 2) < 0.5
    drawn &= torch.tensor([axis in axes for axis in AXES])
    wanted = [[axis for axis, yes in zip(AXES, row, strict=True) if yes] for row in drawn.tolist()]
    targets = [t.flip(along) for t, along in zip(slices.target, wanted, strict=True)]
    kspace = slices.kspace
    if kspace is not None:
        kspace = torch.stack([_mirrored(k, along) for k, along in zip(kspace, wanted, strict=True)])
    variant = (drawn * torch.tensor([1, 2])).sum(dim=1).to(slices.volume)
    coils = None if slices.coils is None else _flipped_coils(slices.coils, wanted)
    return slices._replace(target=torch.stack(targets), kspace=kspace, variant=variant, coils=coils)


def _flipped_coils(coils: Coils, axes: Sequence[list[int]]) -> Coils:
    """Mirror the coils of each slice along its axes, and the places of what was acquired."""
    sensitivities = [s.flip(along) for s, along in zip(coils.sensitivities, axes, strict=True)]
    acquired = [
        a.flip(along).roll([1] * len(along), along) if along else a
        for a, along in zip(coils.acquired, axes, strict=True)
    ]
    return coils._replace(
        sensitivities=torch.stack(sensitivities), acquired=torch.stack(acquired), image=None
    )


@dataclass(frozen=True)
class Affine:
    """Turns, scales and shears training slices at random, as MRAugment (Fabian et al., ICML 2021).

    Attributes:
        share: of the slices that are changed at all, in (0, 1].
        degrees: they turn by up to so much either way.
        scale: factor of size is exp(u), u up to so much either way.
        shear: one axis leans by an angle whose tangent is up to so much either way.
    """

    share: float
    degrees: float
    scale: float
    shear: float

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not 0 < self.share <= 1 or min(self.degrees, self.scale, self.shear) < 0:
            raise ConfigurationError(f"{self}: share must be in (0, 1], the others at least 0")

    def __call__(self, slices: Slice) -> Slice:
        """Change collated slices, by PyTorch's generator of the CPU and bicubic interpolation.

        Args:
            slices: without stored k-space; it is simulated from the changed targets.

        Returns:
            The same with new targets, zero outside what was seen, and without variants: what was
            drawn never comes again. Several coils stay where they are, and measure what moved.
        """
        target = slices.target
        changed = torch.rand(len(target)) < self.share
        grid = F.affine_grid(self._drawn(*target.shape), list(target.shape), align_corners=False)
        images = F.grid_sample(target, grid.to(target), mode="bicubic", align_corners=False)
        if target.shape[1] == 1:
            images = images.clamp(min=0)  # magnitudes, which interpolation overshoots
        images = torch.where(changed.to(target.device)[:, None, None, None], images, target)
        moved = slices._replace(target=images, variant=None)
        return moved if slices.coils is None else measured_by_coils(moved)

    def _drawn(self, count: int, _: int, height: int, width: int) -> Tensor:
        """Draw matrices (B, 2, 3) between normalised coordinates (x, y) of output and input."""
        angle, size, shear = (
            limit * (2 * torch.rand(count) - 1)
            for limit in (math.radians(self.degrees), self.scale, self.shear)
        )
        cosine, sine = angle.cos() / size.exp(), angle.sin() / size.exp()
        x = torch.stack((cosine, (shear * cosine - sine) * height / width), dim=-1)
        y = torch.stack((sine * width / height, shear * sine + cosine), dim=-1)
        return F.pad(torch.stack((x, y), dim=-2), (0, 1))


def free_axes(mask: Tensor) -> tuple[int, ...]:
    """Return the axes along which a mask (..., H, W) is the same everywhere."""
    return tuple(axis for axis in AXES if torch.equal(mask, mask.roll(1, axis)))


def _mirrored(kspace: Tensor, axes: list[int]) -> Tensor:
    """Return the k-space (coils, H, W) of an image that is mirrored along some axes."""
    for axis in axes:
        kspace = torch.fft.fft(torch.fft.ifft(kspace, dim=axis).flip(axis), dim=axis)
    return kspace

"""Sensitivities of simulated receive coils and a smooth phase, drawn anew for each item.

Loops of wire stand around the object. What a loop receives is its B1- field, Bx - i By of a
current of 1 in it (principle of reciprocity: Hoult 2000), by the law of Biot and Savart in free
space: no interaction of the coils with each other or with tissue. Lengths are in units of the
longer side of the image; the static field points out of it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kdmri.data.interpolation import cubic_matrix

WIRE = 0.05
"""Thickness of the wire, which limits the field beside it."""

SEGMENTS = 24
"""Straight pieces that a loop is made of."""

COARSE = 24
"""Points along each axis at which the field is computed; it is interpolated between them."""


@dataclass(frozen=True)
class Loops:
    """Loops of a batch, all float32 (B, coils) on the CPU.

    Attributes:
        azimuth: direction from the middle of the image, in radians.
        distance: from there, 1 at an ellipse that touches the edges of the image.
        radius: of the loop.
        height: of the loop's middle above the slice.
        tilt: of the loop's axis against the way to the middle of the image, in radians.
        gain: factor of the signal.
        phase: of the receiver, in radians.
    """

    azimuth: Tensor
    distance: Tensor
    radius: Tensor
    height: Tensor
    tilt: Tensor
    gain: Tensor
    phase: Tensor

    @classmethod
    def draw(cls, coils: int, seeds: Sequence[int]) -> "Loops":
        """Draw loops that overlap their neighbours; the same for a seed."""
        values = [torch.rand(7, coils, generator=_generator(seed, coils)) for seed in seeds]
        azimuth, distance, radius, height, tilt, gain, phase = torch.stack(values, dim=1)
        spacing = 2 * math.pi / coils
        first = 2 * math.pi * azimuth[:, :1]  # turns the whole ring
        around = spacing * (torch.arange(coils) + 0.4 * (azimuth - 0.5))
        # Neighbours on a ring of radius 0.65 overlap; few coils are not larger than the object.
        size = min(0.4, 0.65 * 0.6 * spacing)
        return cls(
            azimuth=first + around,
            distance=1.25 + 0.25 * distance,
            radius=size * (0.9 + 0.3 * radius),
            height=0.5 * (height - 0.5),
            tilt=0.4 * (tilt - 0.5),
            gain=0.7 + 0.6 * gain,
            phase=2 * math.pi * phase,
        )

    def wires(self, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Return the middle and the length vector of each piece, (B, coils, pieces, 3) as x, y, z.

        Args:
            size: (H, W) of the image, which x runs along the columns of.
        """
        longer = max(size)
        cosine, sine = self.azimuth.cos(), self.azimuth.sin()
        zero = torch.zeros_like(cosine)
        place = self.distance / 2
        middle = torch.stack(
            (place * cosine * size[1] / longer, place * sine * size[0] / longer, self.height), -1
        )
        turned = self.azimuth + self.tilt
        along = torch.stack((-turned.sin(), turned.cos(), zero), dim=-1)
        up = torch.stack((zero, zero, torch.ones_like(zero)), dim=-1)
        angle = torch.arange(SEGMENTS) * (2 * math.pi / SEGMENTS)
        radius = self.radius[..., None, None]
        circle = angle.cos()[:, None] * along[:, :, None] + angle.sin()[:, None] * up[:, :, None]
        ahead = angle.cos()[:, None] * up[:, :, None] - angle.sin()[:, None] * along[:, :, None]
        return middle[:, :, None] + radius * circle, radius * ahead * (2 * math.pi / SEGMENTS)


def draw_sensitivities(
    size: tuple[int, int],
    coils: int,
    seeds: Sequence[int],
    device: torch.device | str = "cpu",
) -> Tensor:
    """Draw sensitivities of a ring of coils around an image, one ring a seed.

    Args:
        size: (H, W) of the image.
        coils: number of loops, at least 1.
        seeds: one for each item.
        device: that computes them; the same ring on any, to single precision.

    Returns:
        complex64 (B, coils, H, W), smooth, each with a phase of its own; sum_c |S_c|^2 = 1.

    Raises:
        ValueError: fewer coils than one, or an image of fewer than 4 pixels along an axis.
    """
    return draw_coils(size, coils, seeds, device)[0]


def draw_coils(
    size: tuple[int, int],
    coils: int,
    seeds: Sequence[int],
    device: torch.device | str = "cpu",
) -> tuple[Tensor, Tensor]:
    """Draw sensitivities as `draw_sensitivities` does, and how much the coils receive together.

    Returns:
        complex64 (B, coils, H, W) as `draw_sensitivities` gives them, and float32 (B, 1, H, W):
        the root sum of squares of the coils' fields, 1 at its least, larger near the coils.

    Raises:
        ValueError: as there.
    """
    if coils < 1 or min(size) < 4:
        raise ValueError(f"{coils} coils, {size[0]}x{size[1]} pixels: 1 and 4x4 are the least")
    loops = Loops.draw(coils, seeds)
    points = min(COARSE, size[0]), min(COARSE, size[1])
    middle, length = loops.wires(size)
    field = _field(middle.to(device), length.to(device), size, points)
    field = field * torch.polar(loops.gain, loops.phase).to(device)[..., None, None]
    rows, columns = (
        cubic_matrix(torch.linspace(0, n - 1, count, device=device), n, periodic=False)
        for n, count in zip(points, size, strict=True)
    )
    parts = rows @ torch.stack((field.real, field.imag)) @ columns.T
    weakness = parts.square().sum(dim=(0, 2), keepdim=True).rsqrt()
    real, imaginary = parts * weakness
    return torch.complex(real, imaginary), weakness[0].amax(dim=(2, 3), keepdim=True) / weakness[0]


def draw_phase(
    size: tuple[int, int], seeds: Sequence[int], device: torch.device | str = "cpu"
) -> Tensor:
    """Draw a smooth phase of an object, as inhomogeneity of the static field and flow give it.

    It is a sum of cosines of up to 1.5 periods along each axis, whose amplitudes fall with their
    frequency, and a constant; it varies by about 2 pi over the image.

    Args:
        size: (H, W) of the image.
        seeds: one for each item.
        device: that computes it.

    Returns:
        Radians, float32 (B, 1, H, W).
    """
    order = torch.arange(4)
    fall = 1 / (1 + order[:, None] ** 2 + order**2)
    amplitudes = torch.stack([torch.randn(4, 4, generator=_generator(seed, 0)) for seed in seeds])
    amplitudes = 2.5 * fall * amplitudes
    amplitudes[:, 0, 0] *= math.pi
    rows, columns = (
        torch.cos(math.pi * (torch.arange(n)[:, None] + 0.5) / n * order).to(device) for n in size
    )
    return (rows @ amplitudes.to(device) @ columns.T)[:, None]


def _generator(seed: int, stream: int) -> torch.Generator:
    # Loops and phase of one seed must not be made of the same numbers.
    return torch.Generator().manual_seed((seed * 1_000_003 + stream) % 2**63)


def _field(
    middle: Tensor, length: Tensor, size: tuple[int, int], points: tuple[int, int]
) -> Tensor:
    """Compute Bx - i By in the plane z = 0, complex64 (B, coils, *points), by Biot and Savart."""
    longer = max(size)
    y, x = (
        torch.linspace(-(n - 1) / 2, (n - 1) / 2, count, device=middle.device) / longer
        for n, count in zip(size, points, strict=True)
    )
    mx, my, mz = middle.unbind(dim=-1)
    lx, ly, lz = length.unbind(dim=-1)
    # Of all points to all pieces, (B, coils, pieces, rows, columns).
    squared = (x - mx[..., None]).square()[..., None, :] + (
        (y - my[..., None]).square() + (mz.square() + WIRE**2)[..., None]
    )[..., None]
    inverse = squared.rsqrt_()
    inverse = inverse.square().mul_(inverse).flatten(3)
    # length x distance, without its terms being made for each point and piece
    weights = torch.stack((lz * my - ly * mz, lz * mx - lx * mz, lz), dim=2)
    constant, other, slope = (weights @ inverse).unflatten(3, points).unbind(dim=2)
    real, imaginary = constant - y[:, None] * slope, x * slope - other
    return torch.complex(real, -imaginary)

"""Iterative SENSE: images of least squares from the k-space of several coils."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from kdmri.hardware import eager_on_cpu
from kdmri.physics.coils import combine, expand
from kdmri.physics.consistency import Measurement
from kdmri.physics.fourier import ifft2

START_PENALTY = 0.002
"""Weight of the squared image in the CG-SENSE that networks may go on from."""

CORNER = 0.3
"""Frequency along both axes, in cycles a pixel, beyond which k-space is taken to be noise alone."""

STRIP = 24
"""Lowest frequencies of an axis whose patches tell the noise."""

LARGEST_KERNEL, LARGEST_COVARIANCE, ENOUGH = 6, 160, 4
"""Samples along each axis of a patch and entries of a patch of all coils at most; and patches that
there must be for each entry."""


@torch.no_grad()
def conjugate_gradient_sense(
    kspace: Tensor,
    mask: Tensor,
    sensitivities: Tensor,
    iterations: int = 30,
    regularisation: float = 0.0,
) -> Tensor:
    """Solve (A^H A + r I) x = A^H y by conjugate gradients, A = M F S (Pruessmann et al. 2001).

    It starts from 0. Each item of the batch has step sizes of its own; nothing waits for the
    device.

    Args:
        kspace: complex64 (B, coils, H, W), orthonormal, zero frequency at the corner; what the
            mask does not measure is not read, also where it is NaN.
        mask: 1 where measured, else 0; float32 (1 or B, 1, H, W).
        sensitivities: complex64 (B, coils, H, W), of unit norm over the coils or 0.
        iterations: at most; an item whose residual is 0 stays as it is.
        regularisation: r, at least 0. With unit sensitivities A^H A has eigenvalues up to 1.

    Returns:
        complex64 (B, 1, H, W).
    """
    measured = torch.where(mask > 0, kspace, torch.zeros((), dtype=kspace.dtype).to(kspace.device))
    residual = combine(ifft2(measured), sensitivities)
    normal = _normal(mask, sensitivities)

    def seen(image: Tensor) -> Tensor:
        return normal(image) + regularisation * image

    return conjugate_gradients(torch.zeros_like(residual), residual, seen, iterations)


def weighted_consistency(
    image: Tensor,
    kspace: Tensor,
    mask: Tensor,
    sensitivities: Tensor,
    iterations: int,
    weight: Tensor,
) -> Tensor:
    """Minimise ||A x - y||^2 + w |x - z|^2 by conjugate gradients that start from an image z.

    It is the data consistency of MoDL (Aggarwal et al. 2019), through which gradients pass to z.
    With w = (s / t)^2 it is the best guess from samples with noise of standard deviation s and an
    image with errors of standard deviation t, which may differ from pixel to pixel.

    Args:
        image: z, complex64 (B, 1, H, W).
        kspace: as for `conjugate_gradient_sense`.
        mask: as there.
        sensitivities: as there.
        iterations: at most.
        weight: w, at least 0, float32 (B, 1, 1, 1) or (B, 1, H, W).

    Returns:
        complex64 (B, 1, H, W); outside of the sensitivities z itself.
    """
    measured = torch.where(mask > 0, kspace, torch.zeros((), dtype=kspace.dtype).to(kspace.device))
    combined = combine(ifft2(measured), sensitivities)
    found: Tensor = _Weighted.apply(image, combined, mask, sensitivities, iterations, weight)
    return found


class _Weighted(torch.autograd.Function):
    """Solve (A^H A + w) x = b + w z, whose gradient for z is w times the solution for x's own.

    So nothing of the iterations is kept, and a solution that is exact has no gradient of 0 / 0.
    """

    @staticmethod
    def forward(
        ctx: Any,
        image: Tensor,
        combined: Tensor,
        mask: Tensor,
        sensitivities: Tensor,
        iterations: int,
        weight: Tensor,
    ) -> Tensor:
        normal = _normal(mask, sensitivities)

        def seen(direction: Tensor) -> Tensor:
            return normal(direction) + weight * direction

        ctx.seen, ctx.weight, ctx.iterations = seen, weight, iterations
        residual = combined - normal(image)
        return conjugate_gradients(image, residual, seen, iterations)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        start = torch.zeros_like(gradient)
        found = conjugate_gradients(start, gradient, ctx.seen, ctx.iterations)
        return ctx.weight * found, None, None, None, None, None


def noise_variance(kspace: Tensor, mask: Tensor) -> Tensor:
    """Estimate the variance of the noise of k-space, from what its coils do not have in common.

    Patches of neighbouring samples of all coils lie in a subspace (see `kdmri.physics.espirit`), so
    that the small eigenvalues of their covariance are noise alone, also where each sample holds
    signal. Few coils leave no room for that, and few measured patches make eigenvalues too small;
    so it is what the corners of k-space hold, where that is less or there are few patches.

    Args:
        kspace: complex64 (B, coils, H, W), zero frequency at the corner.
        mask: 1 where measured, else 0; float32 (1 or B, 1, H, W).

    Returns:
        Of the real part of a sample, float32 (B, 1, 1, 1); 0 where nothing was measured there.
    """
    corner = _corner_variance(kspace, mask)
    kernel = max(2, min(LARGEST_KERNEL, math.isqrt(LARGEST_COVARIANCE // kspace.shape[1])))
    if min(kspace.shape[-2:]) < 2 * kernel:
        return corner
    total, count = _patch_covariance(kspace, mask.expand(len(kspace), -1, -1, -1), kernel)
    values = torch.linalg.eigvalsh(total / count.clamp(min=1)[:, None, None])
    size = values.shape[1]
    found = values[:, size // 4].clamp(min=0) / 2
    enough = count >= ENOUGH * size
    return torch.where(enough.view(-1, 1, 1, 1), corner.minimum(found.view(-1, 1, 1, 1)), corner)


def _patch_covariance(kspace: Tensor, mask: Tensor, kernel: int) -> tuple[Tensor, Tensor]:
    """Add up y y^H of the wholly measured patches y of low frequency along one axis or the other.

    Returns:
        complex64 (B, n, n) with n = coils * kernel * kernel, and the number of patches, (B,).
    """
    count = kspace.shape[1] * kernel * kernel
    total = torch.zeros(len(kspace), count, count, dtype=kspace.dtype, device=kspace.device)
    number = torch.zeros(len(kspace), device=kspace.device)
    for axis, other in ((-2, -1), (-1, -2)):
        samples, inside = (
            torch.fft.fftshift(_lowest(values, axis), dim=other) for values in (kspace, mask)
        )
        patches = samples.unfold(2, kernel, 1).unfold(3, kernel, 1)
        whole = inside.unfold(2, kernel, 1).unfold(3, kernel, 1).amin(dim=(-1, -2)) > 0
        patches = torch.where(whole[..., None, None], patches, torch.zeros((), dtype=kspace.dtype))
        columns = patches.permute(0, 1, 4, 5, 2, 3).flatten(1, 3).flatten(2)
        total = total + columns @ columns.mH
        number = number + whole.sum(dim=(1, 2, 3))
    return total, number


def _lowest(values: Tensor, axis: int) -> Tensor:
    """Keep the `STRIP` lowest frequencies of an axis, zero frequency in their middle."""
    half = min(STRIP, values.shape[axis]) // 2
    below = values.narrow(axis, values.shape[axis] - half, half)
    return torch.cat((below, values.narrow(axis, 0, half)), dim=axis)


def _corner_variance(kspace: Tensor, mask: Tensor) -> Tensor:
    """Return the mean power of the corners of k-space, as `noise_variance` does."""
    measured = mask * corners((kspace.shape[-2], kspace.shape[-1]), kspace.device)
    power = torch.where(measured > 0, kspace.real.square() + kspace.imag.square(), 0)
    count = kspace.shape[1] * measured.sum(dim=(1, 2, 3), keepdim=True)
    return power.sum(dim=(1, 2, 3), keepdim=True) / (2 * count.clamp(min=1))


def corners(size: tuple[int, int], device: torch.device | str = "cpu") -> Tensor:
    """Return 1 where both frequencies are above `CORNER`, else 0, float32 (H, W)."""
    rows, columns = (_frequencies(count, device) > CORNER for count in size)
    return (rows[:, None] & columns).float()


def _frequencies(count: int, device: torch.device | str) -> Tensor:
    number = torch.arange(count, device=device)
    return torch.minimum(number, count - number) / count


def _normal(mask: Tensor, sensitivities: Tensor) -> Callable[[Tensor], Tensor]:
    """Return what makes A^H A x of an image x, complex64 (B, 1, H, W).

    Along an axis on which the mask is constant nothing is transformed.
    """
    measurement = Measurement(sensitivities, mask, sensitivities)
    if eager_on_cpu(sensitivities):
        return measurement.measured_by_coil
    conjugate = sensitivities.conj().resolve_conj()  # a view would be copied by each use

    def seen(image: Tensor) -> Tensor:
        kspace = mask * torch.fft.fftn(expand(image, sensitivities), dim=measurement.axes)
        images = torch.fft.ifftn(kspace, dim=measurement.axes)
        return (conjugate * images).sum(dim=1, keepdim=True)

    return seen


def conjugate_gradients(
    image: Tensor, residual: Tensor, seen: Callable[[Tensor], Tensor], iterations: int
) -> Tensor:
    """Solve a hermitian system for each item of a batch, from an image and its residual.

    Args:
        image: to go on from, complex64 (B, 1, H, W), or float32 (B, 2, H, W) with both parts.
        residual: of the equations at it, of the same kind.
        seen: the operator; of parts it must do as a complex one does.
        iterations: number of them.

    Returns:
        The image after them; it stays where its residual has vanished.
    """
    direction, power = residual, _power(residual)
    for _ in range(iterations):
        onto = seen(direction)
        step = _ratio(power, _product(direction, onto))
        image = image + step * direction
        residual = residual - step * onto
        before, power = power, _power(residual)
        direction = residual + _ratio(power, before) * direction
    return image


def _power(image: Tensor) -> Tensor:
    return _product(image, image)


def _product(left: Tensor, right: Tensor) -> Tensor:
    """Return the real part of the inner product of each item, float32 (B, 1, 1, 1)."""
    if not left.is_complex():
        return (left * right).sum(dim=(1, 2, 3), keepdim=True)
    product = left.real * right.real + left.imag * right.imag
    return product.sum(dim=(1, 2, 3), keepdim=True)


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    """Divide, with 0 where both have vanished."""
    return torch.where(below > 0, above / below, torch.zeros_like(above))

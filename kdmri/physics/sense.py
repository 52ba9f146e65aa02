"""CG-SENSE: the image of several coils by least squares (Pruessmann et al. 2001)."""

import torch
from torch import Tensor

from kdmri.physics.coils import combine, expand
from kdmri.physics.fourier import fft2, ifft2


def conjugate_gradient_sense(
    kspace: Tensor,
    mask: Tensor,
    sensitivities: Tensor,
    iterations: int = 30,
    regularisation: float = 0.0,
) -> Tensor:
    """Minimise ||M F S x - y||^2 + regularisation ||x||^2 by conjugate gradients from zero.

    Each item of the batch has steps of its own, and the CPU never waits for a GPU. With more
    iterations noise grows where the regularisation is small.

    Args:
        kspace: measured samples, complex64 (B, coils, H, W), orthonormal, zero frequency at the
            corner.
        mask: 1 where measured, float32 (1 or B, 1, H, W).
        sensitivities: complex64 (B, coils, H, W).
        iterations: at least 1.
        regularisation: weight, at least 0.

    Returns:
        complex64 (B, 1, H, W).
    """

    def normal(image: Tensor) -> Tensor:
        measured = mask * fft2(expand(image, sensitivities))
        return combine(ifft2(measured), sensitivities) + regularisation * image

    residual = combine(ifft2(mask * kspace), sensitivities)
    image, direction = torch.zeros_like(residual), residual
    energy = _energy(residual, residual)
    tiny = torch.finfo(energy.dtype).tiny
    for _ in range(iterations):
        image_of_it = normal(direction)
        step = energy / _energy(direction, image_of_it).clamp_min(tiny)
        image = image + step * direction
        residual = residual - step * image_of_it
        before, energy = energy, _energy(residual, residual)
        direction = residual + energy / before.clamp_min(tiny) * direction
    return image


def _energy(one: Tensor, other: Tensor) -> Tensor:
    """Real part of the scalar product of each item, (B, 1, 1, 1)."""
    return (one.conj() * other).real.sum(dim=(1, 2, 3), keepdim=True)

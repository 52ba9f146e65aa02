"""Iterative SENSE: the image of least squares from the k-space of several coils."""

import torch
from torch import Tensor

from kdmri.physics.coils import combine, expand
from kdmri.physics.fourier import fft2, ifft2


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
    image, direction, power = torch.zeros_like(residual), residual, _power(residual)
    for _ in range(iterations):
        seen = combine(ifft2(mask * fft2(expand(direction, sensitivities))), sensitivities)
        seen = seen + regularisation * direction
        step = _ratio(power, _product(direction, seen))
        image = image + step * direction
        residual = residual - step * seen
        before, power = power, _power(residual)
        direction = residual + _ratio(power, before) * direction
    return image


def _power(image: Tensor) -> Tensor:
    return _product(image, image)


def _product(left: Tensor, right: Tensor) -> Tensor:
    """Return the real part of the inner product of each item, float32 (B, 1, 1, 1)."""
    product = left.real * right.real + left.imag * right.imag
    return product.sum(dim=(1, 2, 3), keepdim=True)


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    """Divide, with 0 where both have vanished."""
    return torch.where(below > 0, above / below, 0)

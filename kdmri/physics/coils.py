"""Several coils: combine them, put their noise on one scale, and compress them to fewer.

Conventions of all functions: complex64, coils along dimension 1, whatever comes behind it.
"""

import torch
from torch import Tensor

NOISE_SAMPLES = 10
"""Noise samples a coil below which a covariance is refused: its entries are off by a third."""


def expand(image: Tensor, sensitivities: Tensor) -> Tensor:
    """Return what each coil sees of an image, S_c x; the adjoint of `combine`.

    Args:
        image: complex64 (B, 1, H, W).
        sensitivities: complex64 (B, coils, H, W).

    Returns:
        complex64 (B, coils, H, W).
    """
    return sensitivities * image


def combine(images: Tensor, sensitivities: Tensor) -> Tensor:
    """Combine coil images to one, sum_c conj(S_c) x_c.

    Where the sensitivities have unit norm over the coils, that is the image with the least noise
    (Roemer et al. 1990, equation 17, for white noise).

    Args:
        images: of the coils, complex64 (B, coils, H, W).
        sensitivities: complex64 (B, coils, H, W).

    Returns:
        complex64 (B, 1, H, W).

    >>> image = torch.ones(1, 1, 2, 2, dtype=torch.complex64)
    >>> sensitivities = torch.tensor([0.6, 0.8j]).view(1, 2, 1, 1).expand(1, 2, 2, 2)
    >>> torch.allclose(combine(expand(image, sensitivities), sensitivities), image)
    True
    """
    return (sensitivities.conj() * images).sum(dim=1, keepdim=True)


def root_sum_of_squares(images: Tensor) -> Tensor:
    """Combine coil images by magnitude alone, sqrt(sum_c |x_c|^2).

    Args:
        images: complex64 (B, coils, H, W).

    Returns:
        float32 (B, 1, H, W).
    """
    # torch.linalg.vector_norm takes ten times as long over such an axis of complex numbers.
    total = (images.real.square() + images.imag.square()).sum(dim=1, keepdim=True)
    # The root has no derivative at 0, which a NaN of the gradient would be made of.
    root = total.clamp_min(torch.finfo(total.dtype).tiny).sqrt()
    return torch.where(total > 0, root, total)


def mix(kspace: Tensor, matrix: Tensor) -> Tensor:
    """Make linear combinations of coils, the same for all samples.

    Sensitivities and k-space that belong together are mixed by the same matrix.

    Args:
        kspace: k-space, images or sensitivities, complex64 (B, coils, ...).
        matrix: complex64 (coils out, coils), such as of `whitening_matrix`.

    Returns:
        complex64 (B, coils out, ...).

    Raises:
        ValueError: the matrix is for another number of coils.
    """
    if matrix.shape[-1] != kspace.shape[1]:
        raise ValueError(
            f"the matrix mixes {matrix.shape[-1]} coils, but there are {kspace.shape[1]}"
        )
    mixed = matrix.to(kspace.device, kspace.dtype) @ kspace.flatten(2)
    return mixed.unflatten(2, kspace.shape[2:])


def covariance(samples: Tensor) -> Tensor:
    """Return the mean of y y^H over all samples; no mean of y is subtracted.

    Args:
        samples: complex64 (B, coils, ...).

    Returns:
        complex128 (coils, coils).

    Raises:
        ValueError: a sample is NaN or infinite.
    """
    rows = samples.flatten(2).transpose(0, 1).flatten(1)
    # One product of all samples would add up millions of them in single precision.
    parts = [part.to(torch.complex128) for part in rows.split(2**16, dim=1)]
    total = torch.stack([part @ part.mH for part in parts]).sum(dim=0)
    if not torch.isfinite(torch.view_as_real(total)).all():
        raise ValueError("the samples hold NaN or infinite values")
    return total / rows.shape[1]


def whitening_matrix(noise: Tensor) -> Tensor:
    """Return the matrix after which the noise of all coils has unit power and no correlation.

    It is the inverse of the Cholesky factor of the noise covariance (Pruessmann et al. 2001,
    appendix B). Power is E|n|^2, of the real and the imaginary part together.

    Args:
        noise: samples without signal, complex64 (coils, samples), in the scale of the k-space, so
            that a noise scan of another dwell time is scaled before.

    Returns:
        complex64 (coils, coils), lower triangular; apply it with `mix`.

    Raises:
        ValueError: too few samples, a coil without noise, coils that are multiples of each other,
            or NaN.
    """
    coils, samples = noise.shape
    if samples < NOISE_SAMPLES * coils:
        raise ValueError(
            f"the noise scan has {samples} samples of {coils} coils; at least "
            f"{NOISE_SAMPLES * coils} are needed to know how their noise is correlated"
        )
    found = covariance(noise[None])
    power = found.diagonal().real
    dead = (power == 0).nonzero().flatten().tolist()
    if dead:
        raise ValueError(
            f"the noise scan is zero in coil {', '.join(map(str, dead))} of {coils} (counted from "
            "0): such a coil was not connected"
        )
    # With unit diagonal, what is left of a coil's variance does not depend on its gain.
    gain = power.sqrt()
    factor, failed = torch.linalg.cholesky_ex(found / torch.outer(gain, gain))
    if failed.any() or (factor.diagonal().real < 1e-5).any():
        raise ValueError(
            f"the noise of the {coils} coils is not independent: one of them is a combination of "
            "others"
        )
    unit = torch.eye(coils, dtype=found.dtype, device=found.device)
    inverse = torch.linalg.solve_triangular(factor, unit, upper=False)
    return (inverse / gain).to(torch.complex64)


def whiten(kspace: Tensor, matrix: Tensor) -> Tensor:
    """Bring k-space to noise of unit power without correlation, complex64 (B, coils, ...).

    Args:
        kspace: complex64 (B, coils, ...).
        matrix: what `whitening_matrix` gave.

    Raises:
        ValueError: the noise scan has another number of coils.
    """
    if matrix.shape[-1] != kspace.shape[1]:
        raise ValueError(
            f"the noise scan has {matrix.shape[-1]} coils, but k-space has {kspace.shape[1]}"
        )
    return mix(kspace, matrix)


def compression_matrix(moments: Tensor, coils: int) -> tuple[Tensor, float]:
    """Return the matrix that keeps most of the energy in fewer, virtual coils.

    Its rows are the conjugated principal components, u_v^H, of the coils (Buehrer et al. 2007), so
    that a virtual coil is u_v^H y; with u_v^T the projection would be onto the conjugate of the
    coils' subspace. The largest entry of each row is real, so that it is the same everywhere.

    Args:
        moments: `covariance` of all samples of the volume, complex128 (coils, coils).
        coils: number of virtual coils.

    Returns:
        complex64 (virtual coils, coils) with orthonormal rows, and the share of energy kept, in
        [0, 1].

    Raises:
        ValueError: there are fewer coils, or no signal at all.
    """
    if not 1 <= coils <= len(moments):
        raise ValueError(
            f"{len(moments)} coils cannot be compressed to {coils}; give 1 to {len(moments)}"
        )
    energies, components = torch.linalg.eigh(moments)  # ascending
    if not energies[-1] > 0:
        raise ValueError("k-space is zero, so there is nothing to compress")
    rows = components.flip(1)[:, :coils].mH
    largest = rows.gather(1, rows.abs().argmax(dim=1, keepdim=True))
    kept = float(energies[-coils:].sum() / energies.sum())
    return (rows * (largest.conj() / largest.abs())).to(torch.complex64), min(kept, 1.0)


def compress(kspace: Tensor, coils: int) -> tuple[Tensor, Tensor, float]:
    """Compress the coils of a volume to virtual ones, by its principal components.

    Args:
        kspace: all slices of one volume, complex64 (S, coils, H, W).
        coils: number of virtual coils.

    Returns:
        k-space, complex64 (S, virtual coils, H, W), strongest first; the matrix, complex64
        (virtual coils, coils), which sensitivities are mixed by, too; the share of energy kept.

    Raises:
        ValueError: see `compression_matrix`.
    """
    matrix, kept = compression_matrix(covariance(kspace), coils)
    return mix(kspace, matrix), matrix, kept

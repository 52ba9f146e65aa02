"""Sensitivities from the fully sampled centre of k-space: ESPIRiT (Uecker et al., MRM 2014).

Neighbouring samples of all coils, a patch of k-space, lie in a subspace that the calibration region
tells. Sensitivities S(x) are what the projection onto it leaves as it is: eigenvectors, with
eigenvalue 1, of a coils x coils matrix W(x) for each pixel (equations 8 to 12 there).

W is a trigonometric polynomial of few terms: 2k - 1 along each axis with kernels of k samples. So
it is computed at that many points, its eigenvectors on a grid of `GRID` points, and they are
interpolated to the pixels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from kdmri.data.interpolation import cubic_matrix
from kdmri.errors import ConfigurationError

Size = tuple[int, int]

GRID = 64
"""Points along each axis at which eigenvectors are computed at most."""

SMALLEST = 3
"""Samples along each axis of a patch: of 2, sensitivities of two coils are left undetermined."""

SQUARINGS, ITERATIONS = 3, 12
"""Of the power iteration: W to the power of 8, applied 12 times, so powers of up to 104."""

NOTHING = 1e-4
"""Trace of W, the sum of eigenvalues up to 1, below which a point has no signal."""


def calibration_size(mask: Tensor) -> Size:
    """Find the fully sampled centre of a mask.

    Of all centred rectangles without a gap it is the one whose shorter side is longest, and of
    those the largest: with whole lines it is as long as the lines.

    Args:
        mask: 1 where measured, else 0; (H, W), zero frequency at index (0, 0).

    Returns:
        (h, w): frequencies -(h // 2) to h - h // 2 - 1 along the first axis, and so on; (0, 0)
        where the zero frequency itself is not measured.

    >>> mask = torch.zeros(8, 6)
    >>> mask[:, [0, 1, 3, 5]] = 1          # columns of frequency 0, 1, -3 and -1
    >>> calibration_size(mask)
    (8, 3)
    """
    height, width = mask.shape
    full = (mask > 0)[_outwards(height)][:, _outwards(width)].cpu()
    widths = full.cumprod(dim=1).sum(dim=1).cummin(dim=0).values.tolist()
    sizes = [(n, int(wide)) for n, wide in enumerate(widths, start=1) if wide]
    return max(sizes, key=lambda size: (min(size), size[0] * size[1]), default=(0, 0))


def _outwards(count: int) -> Tensor:
    """Index of the frequencies 0, -1, 1, -2, 2, ... of an axis."""
    number = torch.arange(count)
    return torch.where(number % 2 == 0, number // 2, count - (number + 1) // 2)


@dataclass(frozen=True)
class Espirit:
    """Estimates one set of sensitivities of each slice from the centre of its k-space.

    Attributes:
        calibration: samples along each axis of the fully sampled centre that are used at most.
        kernel: samples along each axis of a patch, fewer where the centre is narrow.
        threshold: singular values of the calibration matrix below this share of the largest are
            taken for noise.
        crop: eigenvalue, 0 to 1, below which a pixel is taken to be without signal, and gets 0.
    """

    calibration: int = 24
    kernel: int = 6
    threshold: float = 0.02
    crop: float = 0.8

    def __post_init__(self) -> None:
        """Check the numbers, of which a text or NaN is none."""
        if not 1 <= self.kernel <= self.calibration:
            raise ConfigurationError(
                f"dataset.sensitivities.kernel={self.kernel}: must be at least 1 and at most "
                f"calibration, {self.calibration}"
            )
        for name in ("threshold", "crop"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigurationError(
                    f"dataset.sensitivities.{name}={getattr(self, name)}: must be at least 0 and "
                    "below 1"
                )

    def used(self, centre: Size) -> Size:
        """Return how much (h, w) of a fully sampled centre is used."""
        return min(centre[0], self.calibration), min(centre[1], self.calibration)

    def __str__(self) -> str:
        return f"espirit_k{self.kernel}_t{self.threshold:g}_c{self.crop:g}"

    def __call__(self, kspace: Tensor, centre: Size) -> Tensor:
        """Estimate sensitivities; see `estimate_sensitivities`."""
        return estimate_sensitivities(
            kspace, self.used(centre), self.kernel, self.threshold, self.crop
        )


@torch.no_grad()
def estimate_sensitivities(
    kspace: Tensor,
    centre: Size = (24, 24),
    kernel: int = 6,
    threshold: float = 0.02,
    crop: float = 0.8,
) -> Tensor:
    """Estimate sensitivities by ESPIRiT, one set of maps.

    Their phase, which is arbitrary in each pixel, is that of the strongest linear combination of
    coils in the calibration region, as BART has it: where that sees signal, it is smooth.

    Args:
        kspace: complex64 (B, coils, H, W), zero frequency at the corner; only its centre is read.
        centre: (h, w) of what is fully sampled and used; see `calibration_size`.
        kernel: samples along each axis of a patch; no more than half of the centre's shorter side,
            but `SMALLEST` at least: fewer patches than a patch has samples give zeros alone. From 8
            lines of 96, patches of 6 left 11 to 13 % of the centre unexplained, those of 4 1 %.
        threshold: of singular values, a share of the largest.
        crop: of eigenvalues, 0 to 1.

    Returns:
        complex64 (B, coils, H, W), of unit norm over the coils where there is signal, else 0; 0 in
        all pixels of a slice without any, and of a coil without any.

    Raises:
        ValueError: the centre is hardly larger than the smallest patch, or larger than k-space.
    """
    size = kspace.shape[-2], kspace.shape[-1]
    kernel = min(kernel, max(SMALLEST, min(centre) // 2))
    least = kernel + (kernel > 1)  # a single patch along an axis tells nothing
    if min(centre) < least or centre[0] > size[0] or centre[1] > size[1]:
        raise ValueError(
            f"sensitivities cannot be estimated: the fully sampled centre of k-space is "
            f"{centre[0]}x{centre[1]} of {size[0]}x{size[1]} samples, and {least}x{least} are "
            "the least"
        )
    region = _normalised(centre_of(kspace, centre))
    space = _signal_space(_patches(region, kernel), threshold)
    samples = _operator(space, kspace.shape[1], kernel)
    grid = min(size[0], GRID), min(size[1], GRID)
    vectors, values = _eigenvectors(_on_grid(samples, grid), _principal(region))
    return _interpolated(vectors, values, grid, size, crop)


def centre_of(kspace: Tensor, centre: Size) -> Tensor:
    """Cut the centre (h, w) out of k-space (..., H, W), zero frequency at the corner.

    Returns:
        (..., h, w), lowest frequency first.
    """
    for axis, kept in zip((-2, -1), centre, strict=True):
        count = kspace.shape[axis]
        index = torch.arange(-(kept // 2), kept - kept // 2, device=kspace.device) % count
        kspace = kspace.index_select(axis, index)
    return kspace


def _normalised(region: Tensor) -> Tensor:
    """Bring the largest magnitude of each item to 1."""
    largest = region.abs().amax(dim=(1, 2, 3), keepdim=True)
    return region / largest.clamp_min(torch.finfo(largest.dtype).tiny)


def _patches(region: Tensor, kernel: int) -> Tensor:
    """List all patches as columns, complex64 (B, coils * kernel * kernel, patches)."""
    found = region.unfold(2, kernel, 1).unfold(3, kernel, 1)
    return found.permute(0, 1, 4, 5, 2, 3).flatten(1, 3).flatten(2)


def _signal_space(patches: Tensor, threshold: float) -> Tensor:
    """Return the left singular vectors of signal as columns, complex64 (B, n, kept at most).

    They are found from the smaller of the two products of the matrix with itself: single precision
    tells singular values down to 3e-4 of the largest then, far below what noise leaves.
    """
    wide = patches.shape[1] <= patches.shape[2]
    values, vectors = torch.linalg.eigh(patches @ patches.mH if wide else patches.mH @ patches)
    largest = values[:, -1:]  # they are ascending
    kept = (values > threshold**2 * largest) & (largest > 0)
    most = max(1, int(kept.sum(dim=1).max()))  # one of zeros where no slice has signal
    start = values.shape[1] - most
    values, vectors, kept = values[:, start:], vectors[:, :, start:], kept[:, start:]
    if wide:
        return vectors * kept[:, None]
    return (patches @ vectors) * torch.where(kept, values, torch.inf).rsqrt()[:, None]


def _operator(space: Tensor, coils: int, kernel: int) -> Tensor:
    """Compute W at 2k x 2k points, enough for 2k - 1 terms; complex64 (B, 2k, 2k, coils, coils)."""
    kernels = space.transpose(1, 2).unflatten(2, (coils, kernel, kernel))
    count = 2 * kernel
    # sum over a of v(a) exp(+2 pi i a x): the inverse transform without its factor
    seen = torch.fft.ifft2(kernels, s=(count, count), norm="forward").permute(0, 3, 4, 2, 1)
    return seen @ seen.mH / kernel**2


def _on_grid(samples: Tensor, grid: Size) -> Tensor:
    """Evaluate W on a grid (h, w), complex64 (B, h, w, coils, coils)."""
    count = samples.shape[1]
    terms = torch.fft.fft2(samples, dim=(1, 2), norm="forward")
    frequency = torch.fft.fftfreq(count, 1 / count, device=samples.device)
    rows, columns = (
        torch.exp(
            2j * torch.pi * torch.arange(n, device=samples.device)[:, None] / n * frequency
        ).to(samples.dtype)
        for n in grid
    )
    return torch.einsum("xf,bfgcd,yg->bxycd", rows, terms, columns)


def _principal(region: Tensor) -> Tensor:
    """Return the strongest linear combination of coils, complex64 (B, coils).

    Its largest entry is real, so that slices of a volume have nearly the same.
    """
    samples = region.flatten(2)
    strongest = torch.linalg.eigh(samples @ samples.mH).eigenvectors[..., -1]
    largest = strongest.gather(1, strongest.abs().argmax(dim=1, keepdim=True))
    return strongest * (largest.conj() / largest.abs())


def _eigenvectors(operator: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Find the strongest eigenvector of each point, and its eigenvalue.

    Args:
        operator: Hermitian, complex64 (B, h, w, coils, coils).
        reference: that tells the phase, complex64 (B, coils).

    Returns:
        v (v^H r) with the reference r, complex64 (B, h, w, coils), which is smooth wherever the
        eigenvalue is simple, also where v^H r is 0; eigenvalues, float32 (B, h, w).
    """
    tiny = torch.finfo(torch.float32).tiny
    trace = operator.diagonal(dim1=-2, dim2=-1).real.sum(dim=-1)
    # Where there is no signal, rounding alone makes the trace, which may be below 0.
    power = operator * torch.where(trace > NOTHING, trace.reciprocal(), 0)[..., None, None]
    for _ in range(SQUARINGS):  # of unit trace its entries neither vanish nor grow
        power = power @ power
        trace = power.diagonal(dim1=-2, dim2=-1).real.sum(dim=-1)
        power = power * trace.clamp_min(tiny).reciprocal()[..., None, None]
    strongest = power.diagonal(dim1=-2, dim2=-1).real.argmax(dim=-1)
    vector = power.gather(-1, strongest[..., None, None].expand(*power.shape[:-1], 1))
    for _ in range(ITERATIONS):
        vector = power @ vector
    vector = vector / torch.linalg.vector_norm(vector, dim=-2, keepdim=True).clamp_min(tiny)
    values = (vector.mH @ operator @ vector).real[..., 0, 0]
    along = vector.mH @ reference[:, None, None, :, None]
    return (vector * along)[..., 0], values


def _interpolated(vectors: Tensor, values: Tensor, grid: Size, size: Size, crop: float) -> Tensor:
    """Interpolate to pixels, and bring to unit norm where the eigenvalue is not below `crop`."""
    parts = torch.cat((torch.view_as_real(vectors).flatten(3), values[..., None]), dim=-1)
    parts = parts.permute(3, 0, 1, 2)
    for axis in range(2):
        if grid[axis] == size[axis]:
            continue
        positions = torch.arange(size[axis], device=parts.device) * (grid[axis] / size[axis])
        matrix = cubic_matrix(positions, grid[axis], periodic=True)
        parts = matrix @ parts if axis == 0 else parts @ matrix.T
    real, imaginary, value = parts[:-1:2], parts[1:-1:2], parts[-1]
    norm = (real.square() + imaginary.square()).sum(dim=0)
    scale = norm.clamp_min(torch.finfo(norm.dtype).tiny).rsqrt() * ((value >= crop) & (norm > 0))
    return torch.complex(real * scale, imaginary * scale).transpose(0, 1)

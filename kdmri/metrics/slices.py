"""Quality of single slices, as scikit-image computes it, on the device of the images.

All functions take `prediction` and `target` (B, H, W) in float64 and, where they need it,
`data_range` (B,), the largest value of each item's target volume; all return (B,).
"""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

SSIM_WINDOW = 7
VIF_INTENSITY = 255.0
VIF_NOISE = 2.0
VIF_WINDOWS = (17, 9, 5, 3)
"""Pixels of the Gaussian at each scale, from fine to coarse; it has a fifth of them as sigma."""
VIF_FLAT = 1e-10
"""A variance below this is none."""

BLOCK = 32
"""Windows that one product of matrices averages over."""


def windowed(image: Tensor, weights: tuple[float, ...], step: int = 1) -> Tensor:
    """Average over a square window that lies inside the image.

    By products with band matrices, which any device is fast at, cut to blocks along the band; in
    the image's own precision also where a trainer would have products in half of it.

    Args:
        image: (..., H, W).
        weights: of the N pixels of the window along each axis.
        step: pixels between one window and the next.

    Returns:
        (..., (H - N) // step + 1, (W - N) // step + 1).
    """
    height, width = (_blocks(size, weights, step) for size in image.shape[-2:])
    with torch.autocast(image.device.type, enabled=False):
        rows = [band.to(image) @ image[..., span, :] for span, band in height]
        image = torch.cat(rows, dim=-2)
        return torch.cat([image[..., span] @ band.to(image).T for span, band in width], dim=-1)


@lru_cache(maxsize=32)
def _blocks(size: int, weights: tuple[float, ...], step: int) -> list[tuple[slice, Tensor]]:
    """Return the matrices that average along an axis, float64, each with the pixels it takes."""
    window = torch.tensor(weights, dtype=torch.float64)
    count = (size - len(window)) // step + 1
    blocks = []
    for first in range(0, count, BLOCK):
        span = slice(first * step, (min(first + BLOCK, count) - 1) * step + len(window))
        band = torch.zeros(min(BLOCK, count - first), span.stop - span.start, dtype=torch.float64)
        for row, averaged in enumerate(band):
            averaged[row * step : row * step + len(window)] = window
        blocks.append((span, band))
    return blocks


@lru_cache(maxsize=8)
def _gaussian(pixels: int, sigma: float) -> tuple[float, ...]:
    offset = torch.arange(pixels, dtype=torch.float64) - pixels // 2
    return tuple(torch.softmax(-(offset**2) / (2 * sigma**2), dim=0).tolist())


def structural_similarity(prediction: Tensor, target: Tensor, data_range: Tensor) -> Tensor:
    """SSIM with a uniform 7x7 window, sample covariance, K1 = 0.01 and K2 = 0.03.

    Equal to `skimage.metrics.structural_similarity(target, prediction, data_range=data_range)`: the
    mean over all pixels whose window lies inside the image. It is computed in the precision of the
    images: in single precision, good enough for a loss, it is off by up to 3e-6.
    """
    p, t = prediction, target
    products = torch.stack((p, t, torch.addcmul(p * p, t, t), p * t))
    mean_p, mean_t, squares, product = windowed(products, (1 / SSIM_WINDOW,) * SSIM_WINDOW)
    sample = SSIM_WINDOW**2 / (SSIM_WINDOW**2 - 1)
    c1, c2 = ((k * data_range.to(t).view(-1, 1, 1)) ** 2 for k in (0.01, 0.03))
    means, squared_means = mean_p * mean_t, torch.addcmul(mean_p * mean_p, mean_t, mean_t)
    variances, covariance = sample * (squares - squared_means), sample * (product - means)
    similarity = (2 * means + c1) * (2 * covariance + c2) / (squared_means + c1) / (variances + c2)
    return similarity.mean(dim=(1, 2))


def laplacian(image: Tensor) -> Tensor:
    """Equal to `skimage.filters.laplace`: 4 x - neighbours, edges mirrored."""
    wide = F.pad(image[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    beside = wide[:, 1:-1, :-2] + wide[:, 1:-1, 2:]
    return 4 * image - (wide[:, :-2, 1:-1] + wide[:, 2:, 1:-1] + beside)


def high_frequency_norm(prediction: Tensor, target: Tensor) -> Tensor:
    """HFN of KD-MRI: squared error of the Laplacians over the target's, prediction cut to [0, 1].

    Not HFEN, which filters with a Laplacian of Gaussian. NaN where the target is constant.
    """
    detail = laplacian(target)
    error = laplacian(prediction.clamp(0, 1)) - detail
    whole = detail.square().sum(dim=(1, 2))
    return torch.where(whole > 0, error.square().sum(dim=(1, 2)) / whole, torch.nan)


def visual_fidelity(prediction: Tensor, target: Tensor, data_range: Tensor) -> Tensor:
    """VIF in the pixel domain (Sheikh and Bovik 2006).

    Intensities are brought to [0, 255] by the data range; the noise variance is 2. NaN where the
    image is smaller than the 41 pixels that four scales need.
    """
    if min(target.shape[1:]) < 41:
        return torch.full_like(data_range, torch.nan)
    pair = torch.stack((prediction, target)) * (VIF_INTENSITY / data_range).view(-1, 1, 1)
    kept, whole = torch.zeros_like(data_range), torch.zeros_like(data_range)
    for pixels in VIF_WINDOWS:
        gaussian = _gaussian(pixels, sigma=pixels / 5)
        if pixels < VIF_WINDOWS[0]:
            pair = windowed(pair, gaussian, step=2)
        at_this_scale = _information(pair[0], pair[1], gaussian)
        kept, whole = kept + at_this_scale[0], whole + at_this_scale[1]
    return kept / whole


def _information(
    prediction: Tensor, target: Tensor, gaussian: tuple[float, ...]
) -> tuple[Tensor, Tensor]:
    """Return what of the target's information the prediction keeps, and all of it, each (B,)."""
    products = torch.stack((prediction, target, prediction**2, target**2, prediction * target))
    mean_p, mean_t, square_p, square_t, product = windowed(products, gaussian)
    variance_p = square_p.addcmul_(mean_p, mean_p, value=-1).clamp_(min=0)
    variance_t = square_t.addcmul_(mean_t, mean_t, value=-1).clamp_(min=0)
    covariance = product.addcmul_(mean_p, mean_t, value=-1).clamp_(min=0)
    gain = covariance / (variance_t + VIF_FLAT)
    gain *= (variance_t >= VIF_FLAT) & (variance_p >= VIF_FLAT)
    lost = variance_p.addcmul_(gain, covariance, value=-1).clamp_(min=VIF_FLAT)
    kept = (gain.square_() * variance_t).div_(lost + VIF_NOISE).log1p_().sum(dim=(1, 2))
    return kept, variance_t.div_(VIF_NOISE).log1p_().sum(dim=(1, 2))

"""Complex arrays as pairs of real ones: Fourier transforms and coils, as ONNX can hold them."""

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Pair(NamedTuple):
    """A complex array as its real and imaginary part, of one shape."""

    real: Tensor
    imag: Tensor


class SharedSamples:
    """What the consistency of every cascade shares during one call of the network.

    Attributes:
        image: of the measured samples, F^-1 M y, each part (B, 1, H, W); of several coils combined.
        mask: float32 (1, 1, H, W), where the mask is not of whole lines.
        projection: P along the undersampled axis, each part (N, N), where it is.
        sensitivities: of several coils, each part (B, coils, H, W).
    """

    image: Pair
    mask: Tensor
    projection: Pair
    sensitivities: Pair

    def combined(self, images: Pair) -> Pair:
        """Combine coil images, each part (B, coils, H, W) to (B, 1, H, W)."""
        real, imag = self.sensitivities
        re = real * images.real + imag * images.imag
        im = real * images.imag - imag * images.real
        return Pair(re.sum(dim=1, keepdim=True), im.sum(dim=1, keepdim=True))

    def expanded(self, image: Pair) -> Pair:
        """Return what each coil sees of an image, each part (B, 1, H, W) to (B, coils, H, W)."""
        real, imag = self.sensitivities
        return Pair(real * image.real - imag * image.imag, real * image.imag + imag * image.real)


def along(axis: int, matrix: Tensor, image: Tensor) -> Tensor:
    """Multiply images (..., H, W) by a matrix along an axis, 0 (rows) or 1 (columns)."""
    return matrix @ image if axis == 0 else image @ matrix.T


def projected(axis: int, matrix: Pair, image: Pair) -> Pair:
    """Keep the measured lines of images alone."""
    re, im = image
    return Pair(
        along(axis, matrix.real, re) - along(axis, matrix.imag, im),
        along(axis, matrix.real, im) + along(axis, matrix.imag, re),
    )


def unmeasured(image: Pair, mask: Tensor) -> Pair:
    """Take the measured samples out of images."""
    kspace, unknown = transform(image, inverse=False), 1 - mask
    return transform(Pair(unknown * kspace.real, unknown * kspace.imag), inverse=True)


def transform(image: Pair, inverse: bool) -> Pair:
    """Transform the last two axes, orthonormal, zero frequency at index (0, 0)."""
    sign = 1 if inverse else -1
    (rc, rs), (cc, cs) = (_matrix(image.real.shape[axis], image.real.device) for axis in (-2, -1))
    rs, cs = sign * rs, sign * cs
    re = rc @ image.real - rs @ image.imag
    im = rc @ image.imag + rs @ image.real
    return Pair(re @ cc - im @ cs, re @ cs + im @ cc)


def projection(lines: Tensor) -> Pair:
    """Return F^-1 diag(lines) F as a circulant matrix, each part float32 (N, N)."""
    count = lines.shape[0]
    cosine, sine = _matrix(count, lines.device)
    places = torch.arange(count, device=lines.device)
    shift = (places[:, None] - places) % (places[-1] + 1)  # ONNX wants a tensor there
    kernel = Pair(cosine @ lines, sine @ lines)
    return Pair(*(_looked_up(part / count**0.5, shift) for part in kernel))


def _matrix(count: int, device: torch.device) -> Pair:
    """Return cosine and sine of 2 pi j k / N over sqrt(N): exact products, a table of N values."""
    places = torch.arange(count, device=device)
    angle = places.float() * (2 * math.pi / count)
    index = (places[:, None] * places) % (places[-1] + 1)
    return Pair(*(_looked_up(table / count**0.5, index) for table in (angle.cos(), angle.sin())))


def _looked_up(table: Tensor, index: Tensor) -> Tensor:
    """Return `table[index]`, of which ONNX makes an operator that is ten times as fast."""
    return table.index_select(0, index.flatten()).view(index.shape)

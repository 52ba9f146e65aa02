"""Orthonormal 2D Fourier transform, DC at index (0, 0); complex images as channels."""

import torch
from torch import Tensor


def fft2(image: Tensor) -> Tensor:
    """Transform images to k-space.

    Args:
        image: complex64 or float32 (..., H, W).

    Returns:
        k-space, complex64 (..., H, W), orthonormal, DC at index (0, 0), not shifted.

    >>> kspace = fft2(torch.ones(1, 1, 4, 4))
    >>> kspace[0, 0, 0, 0]                              # DC: the mean times sqrt(H W)
    tensor(4.+0.j)
    >>> int(kspace.abs().count_nonzero())
    1
    """
    return torch.fft.fft2(image, norm="ortho")


def ifft2(kspace: Tensor) -> Tensor:
    """Transform k-space to images; the inverse and the adjoint of `fft2`.

    Args:
        kspace: complex64 (..., H, W), DC at index (0, 0), not shifted.

    Returns:
        Images, complex64 (..., H, W).

    >>> image = torch.rand(2, 1, 6, 5, dtype=torch.complex64)
    >>> torch.allclose(ifft2(fft2(image)), image, atol=1e-6)
    True
    """
    return torch.fft.ifft2(kspace, norm="ortho")


def to_complex(image: Tensor) -> Tensor:
    """Join image channels to one complex image.

    Args:
        image: real (B, 1, H, W), or (B, 2, H, W) with real and imaginary part; any float dtype.

    Returns:
        complex64 (B, 1, H, W).

    Raises:
        ValueError: the image has neither one nor two channels.
    """
    image = image.float()  # transforms need single precision, also under autocast
    match image.shape[1]:
        case 1:
            return torch.complex(image, torch.zeros_like(image))
        case 2:
            return torch.complex(image[:, :1], image[:, 1:])
    raise ValueError(f"an image has 1 (real) or 2 (complex) channels, this one {image.shape[1]}")


def to_channels(image: Tensor, channels: int) -> Tensor:
    """Split one complex image into channels.

    Args:
        image: complex64 (B, 1, H, W).
        channels: 1 keeps the real part alone, 2 the real and the imaginary part.

    Returns:
        float32 (B, channels, H, W).
    """
    return image.real if channels == 1 else torch.cat((image.real, image.imag), dim=1)


def magnitude(image: Tensor) -> Tensor:
    """Return the magnitude image, which is shown and measured.

    Args:
        image: real (B, 1, H, W), returned as it is, or (B, 2, H, W) with real and imaginary part.

    Returns:
        float32 (B, 1, H, W).
    """
    return image if image.shape[1] == 1 else to_complex(image).abs()

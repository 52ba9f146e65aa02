"""Between k-space and images, for sources that ship raw data."""

import numpy as np

from kdmri.data.cropping import fit_centre

IN_PLANE = (-2, -1)


def centred_ifft(kspace: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Transform k-space with its zero frequency in the middle to images, orthonormal.

    Args:
        kspace: any shape, complex.
        axes: transformed axes; index N//2 is frequency zero, and becomes position zero.

    Returns:
        complex64, same shape, as displayed.
    """
    shifted = np.fft.ifftshift(kspace, axes)
    images = np.fft.fftshift(np.fft.ifftn(shifted, axes=axes, norm="ortho"), axes)
    return images.astype(np.complex64, copy=False)


def centred_ifft2(kspace: np.ndarray) -> np.ndarray:
    """Apply `centred_ifft` to the last two axes, (..., H, W)."""
    return centred_ifft(kspace, IN_PLANE)


def root_sum_of_squares(coil_images: np.ndarray) -> np.ndarray:
    """Combine coil images (coils, H, W) to one magnitude image, float32 (H, W)."""
    with np.errstate(over="ignore"):  # infinite values are refused where slices are checked
        squares = coil_images.real**2 + coil_images.imag**2
        return np.sqrt(squares.sum(axis=0)).astype(np.float32, copy=False)


def crop_images(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Crop or zero-pad the last two axes (..., H, W) around their centre to (H', W')."""
    in_front = np.moveaxis(images, IN_PLANE, (0, 1))
    return np.moveaxis(fit_centre(in_front, size), (0, 1), IN_PLANE)

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


def uncentred_kspace(images: np.ndarray) -> np.ndarray:
    """Transform images (..., H, W) to k-space as this project keeps it.

    Returns:
        complex64 (..., H, W), orthonormal, zero frequency at index (0, 0); its plain inverse
        transform is the image as displayed.
    """
    return np.fft.fft2(images, norm="ortho").astype(np.complex64, copy=False)


def root_sum_of_squares(coil_images: np.ndarray) -> np.ndarray:
    """Combine coil images (coils, H, W) to one magnitude image, float32 (H, W)."""
    with np.errstate(over="ignore"):  # infinite values are refused where slices are checked
        squares = coil_images.real**2 + coil_images.imag**2
        return np.sqrt(squares.sum(axis=0)).astype(np.float32, copy=False)


def crop_images(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Crop or zero-pad the last two axes (..., H, W) around their centre to (H', W')."""
    in_front = np.moveaxis(images, IN_PLANE, (0, 1))
    return np.moveaxis(fit_centre(in_front, size), (0, 1), IN_PLANE)


def is_centred(kspace: np.ndarray) -> bool | None:
    """Tell whether a slice of k-space (H, W) has its zero frequency in the middle, by its energy.

    Returns:
        Whether it is strong around N//2, or around index 0; None where it is around neither, or is
        not finite.
    """
    energy = np.abs(kspace).astype(np.float64) ** 2
    if not np.isfinite(energy).all():
        return None  # what is wrong is said when slices are checked
    reach = [max(1, n // 8) for n in energy.shape]
    around = []
    for centre in ((0, 0), (energy.shape[0] // 2, energy.shape[1] // 2)):
        moves = [r - c for r, c in zip(reach, centre, strict=True)]
        turned = np.roll(energy, moves, axis=(0, 1))
        around.append(float(turned[: 2 * reach[0] + 1, : 2 * reach[1] + 1].sum()))
    corner, middle = around
    if max(around) <= max(energy.sum() / 2, 5 * min(around)):
        return None
    return middle > corner

"""Images as bytes that a page can hold: one lossless WebP a slice, all panes side by side.

With a target, the strip holds the target, then the error of every other pane, from which the page
adds the images up again. An error r is stored as 128 + sign(r) * 127 * |r|^(2/3), so that steps
are fine where errors are small (0.0025 at 0.01, 0.0055 at 0.1); without a target, panes are
stored as they are. Units are those of the volume's largest target value.
"""

import io
from collections.abc import Mapping

import numpy as np
from PIL import Image

MIDDLE, STEPS, POWER = 128, 127, 2 / 3


def encode(target: np.ndarray | None, panes: Mapping[str, np.ndarray]) -> bytes:
    """Write a strip.

    Args:
        target: magnitude (H, W) in [0, 1], or None.
        panes: magnitudes (H, W) by label.

    Returns:
        WebP of (H, W * number of panes), the target first.
    """
    if target is None:
        codes = [_grey(image) for image in panes.values()]
    else:
        codes = [_grey(target), *(error_code(image - target) for image in panes.values())]
    file = io.BytesIO()
    strip = Image.fromarray(np.concatenate(codes, axis=1))
    strip.save(file, "WEBP", lossless=True, quality=50, method=4)
    return file.getvalue()


def error_code(error: np.ndarray) -> np.ndarray:
    """Code a signed error as uint8; beyond 1 it is cut."""
    size = np.minimum(np.abs(error), 1) ** POWER
    return (MIDDLE + np.sign(error) * np.rint(STEPS * size)).astype(np.uint8)


def decode_error(code: np.ndarray) -> np.ndarray:
    """Invert `error_code`, as the page does."""
    steps = code.astype(float) - MIDDLE
    return np.sign(steps) * (np.abs(steps) / STEPS) ** (1 / POWER)


def reduce(image: np.ndarray, factor: int) -> np.ndarray:
    """Average blocks of factor x factor pixels of (H, W); what is left over at the end is cut."""
    height, width = (n // factor for n in image.shape)
    blocks = image[: height * factor, : width * factor].reshape(height, factor, width, factor)
    return blocks.mean(axis=(1, 3))


def _grey(image: np.ndarray) -> np.ndarray:
    return np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)

import io

import numpy as np
from PIL import Image

from kdmri.viewer.coding import decode_error, encode, error_code, reduce


def test_strip_gives_target_and_errors_back_within_the_stated_steps(anatomy: np.ndarray) -> None:
    target = anatomy[:, :, 20]
    error = 0.3 * np.random.default_rng(0).standard_normal(target.shape) ** 3 * target
    pixels = np.asarray(Image.open(io.BytesIO(encode(target, {"a": target + error}))).convert("L"))
    height, width = target.shape
    assert pixels.shape == (height, 2 * width)
    np.testing.assert_allclose(pixels[:, :width] / 255, target, atol=0.5 / 255 + 1e-9)
    found, cut = decode_error(pixels[:, width:]), np.clip(error, -1, 1)
    steps = 1.5 / 127 * (np.abs(cut) + 0.002) ** (1 / 3)
    assert (np.abs(found - cut) <= 0.6 * steps).all()


def test_codes_of_errors_keep_their_sign_and_order() -> None:
    values = np.linspace(-1, 1, 2001)
    codes = error_code(values)
    assert (np.diff(codes.astype(int)) >= 0).all()
    assert (codes[0], codes[1000], codes[-1]) == (1, 128, 255)
    np.testing.assert_array_equal(error_code(decode_error(codes)), codes)


def test_smaller_picture_keeps_the_mean(anatomy: np.ndarray) -> None:
    small = reduce(anatomy[:, :, 3], 4)
    assert small.shape == (12, 10)
    np.testing.assert_allclose(small.mean(), anatomy[:, :, 3].mean())

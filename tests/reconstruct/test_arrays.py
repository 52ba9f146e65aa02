"""`kdmri.reconstruct_kspace`: arrays in memory, as files are reconstructed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kdmri import GaussianLines, open_checkpoint, reconstruct_kspace
from kdmri.errors import DataError
from tests.data.readers.coils import sensitivities
from tests.reconstruct.coils import TRAINED, columns, kspace
from tests.reconstruct.expected import Run
from tests.reconstruct.test_several_coils import read

AXES = (-2, -1)


def centred(corner: np.ndarray) -> np.ndarray:
    """Bring k-space whose image begins at index 0 to the middle, image and all; zeros stay."""
    images = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(np.fft.ifft2(corner), AXES)), AXES)
    return np.where(np.fft.fftshift(corner, AXES) == 0, 0, images).astype(np.complex64)


def test_several_coils_are_reconstructed_as_the_command_does(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    values = centred(kspace(anatomy) * columns())
    np.save(tmp_path / "scan.npy", values)
    path = checkpoint(**TRAINED)
    result = reconstruct(
        "format=numpy", "format.kspace=true", checkpoint=path, input="scan.npy", output="out.h5"
    )
    assert result.code == 0, result.err
    expected = read(tmp_path / "out.h5")
    trained = open_checkpoint(path)
    found = reconstruct_kspace(trained, values)
    assert found.dtype == np.complex64
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())

    corner = (kspace(anatomy) * columns()).astype(np.complex64)
    same = reconstruct_kspace(trained, corner, centred=False, batch_size=2)
    np.testing.assert_allclose(same, found, atol=1e-4 * np.abs(found).max())
    brighter = reconstruct_kspace(trained, 1000 * values)
    np.testing.assert_allclose(brighter, 1000 * found, atol=0.1 * np.abs(found).max())


def test_sensitivities_may_be_given_and_those_of_another_scan_are_told(
    checkpoint: Callable[..., Path], anatomy: np.ndarray
) -> None:
    values = centred(kspace(anatomy) * columns())
    maps = sensitivities(5, (48, 40))[None]
    trained = open_checkpoint(checkpoint(**TRAINED))
    found = reconstruct_kspace(trained, values, maps)
    each = np.broadcast_to(3 * maps, values.shape)
    np.testing.assert_allclose(reconstruct_kspace(trained, values, each), found, atol=1e-3)
    with pytest.warns(UserWarning, match="sensitivities explain only"):
        reconstruct_kspace(trained, values, np.roll(maps, 15, -1))


def test_one_coil_gives_magnitudes_of_a_network_for_them(
    checkpoint: Callable[..., Path], anatomy: np.ndarray
) -> None:
    images = np.moveaxis(anatomy[:, :, 3:6], -1, 0) * 7.0
    corner = np.fft.fft2(images, norm="ortho") * GaussianLines(3, seed=7)((48, 40))
    trained = open_checkpoint(checkpoint())
    found = reconstruct_kspace(trained, corner, centred=False)
    assert found.dtype == np.float32
    assert found.shape == images.shape
    zero_filled = np.abs(np.fft.ifft2(corner, norm="ortho"))
    assert np.corrcoef(found.ravel(), zero_filled.ravel())[0, 1] > 0.9
    assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(zero_filled), rel=0.3)
    one = reconstruct_kspace(trained, corner[1], centred=False)
    assert one.shape == (1, 48, 40)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda k: k[0], r"kspace: has shape \(5, 48, 40\).*takes \(S, coils, H, W\)"),
        (np.abs, "kspace: has type float32; k-space is complex"),
        (lambda k: np.fft.ifftshift(k, AXES), "strongest around index"),
        (lambda k: 0 * k, "holds no signal"),
        (lambda k: k * np.where(k == k[:, :, 24:25, 20:21], np.nan, 1), "NaN or infinite"),
        (lambda k: k + 1e-3, "is fully sampled, so that there is nothing to reconstruct"),
    ],
)
def test_what_is_no_undersampled_kspace_is_refused(
    checkpoint: Callable[..., Path],
    anatomy: np.ndarray,
    change: Callable[[np.ndarray], np.ndarray],
    message: str,
) -> None:
    values = centred(kspace(anatomy) * columns())
    trained = open_checkpoint(checkpoint(**TRAINED))
    with pytest.raises(DataError, match=message):
        reconstruct_kspace(trained, change(values))


def test_coils_and_sensitivities_need_a_network_for_them(
    checkpoint: Callable[..., Path], anatomy: np.ndarray
) -> None:
    values = centred(kspace(anatomy) * columns())
    one = open_checkpoint(checkpoint(channels=2))
    with pytest.raises(DataError, match="was trained on one coil and takes"):
        reconstruct_kspace(one, values)
    with pytest.raises(DataError, match="trained on one coil and takes none"):
        reconstruct_kspace(one, values[:, 0], values[:, 0])
    several = open_checkpoint(checkpoint(**TRAINED))
    with pytest.raises(DataError, match=r"sensitivities: have shape \(3, 4, 48, 40\)"):
        reconstruct_kspace(several, values, values[:, :4])

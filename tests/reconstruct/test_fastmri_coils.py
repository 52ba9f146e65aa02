"""`kdmri reconstruct` of fastMRI's multi-coil files, to what its leaderboards take."""

import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from kdmri.data.masks import EquispacedLines
from tests.data.readers.coils import centred_fft2, sensitivities
from tests.data.readers.test_fastmri import GOOD, HEADER, oversampled
from tests.reconstruct.coils import TRAINED, by_hand, scale_of
from tests.reconstruct.expected import Run
from tests.reconstruct.test_several_coils import maps_of

FILE = "file1000050.h5"
LINES = np.isin(np.arange(40), [1, 4, 7, 10, 13, *range(15, 26), 28, 31, 34, 37])
"""Measured columns, zero frequency in the middle, index 20: 15 to 25 are its centre."""


def coil_images(anatomy: np.ndarray) -> np.ndarray:
    """Complex images of 4 coils as displayed, (S, 4, 96, 40), in the units of a scanner."""
    return 3e-5 * oversampled(anatomy)[:, None] * sensitivities(4, (96, 40))


def write(path: Path, images: np.ndarray, columns: np.ndarray | None = None) -> None:
    """Write a file as fastMRI's test sets have it, or a fully sampled one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kspace = centred_fft2(images)
    with h5py.File(path, "w") as file:
        file["kspace"] = kspace if columns is None else np.where(columns, kspace, 0)
        file["ismrmrd_header"] = GOOD.encode()
        if columns is not None:
            file["mask"] = columns.astype(np.float32)
        file.attrs["acquisition"] = "CORPD_FBK"


def expected(path: Path, images: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Reconstruct what was measured by hand, and crop it from (n - m) // 2 on as fastMRI does."""
    mask = np.fft.ifftshift(columns)
    values = np.where(mask, np.fft.fft2(images, norm="ortho"), 0).astype(np.complex64)
    scale = scale_of(values, (24, 11))
    found = by_hand(path, values, mask, maps_of(values, (24, 11)), scale)
    return np.abs(found)[:, 24:72, 4:36] * scale


def test_undersampled_file_becomes_a_submission(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    images = coil_images(anatomy)
    write(tmp_path / "multicoil_test" / FILE, images, LINES)
    path = checkpoint(**TRAINED)
    result = reconstruct(checkpoint=path, input="multicoil_test", output="out")
    assert result.code == 0, result.err
    assert f"mask detected: {96 * int(LINES.sum()):,} of 3,840 samples" in result.out
    with h5py.File(tmp_path / "out" / FILE) as file:
        found = file["reconstruction"]
        assert found.dtype == np.float32
        assert found.shape == (len(images), 48, 32)
        wanted = expected(path, images, LINES)
        np.testing.assert_allclose(found[...], wanted, atol=1e-4 * wanted.max())

    usual = reconstruct(checkpoint=path, input="multicoil_test", output="h5", write="h5")
    assert usual.code == 0, usual.err
    with h5py.File(tmp_path / "h5" / FILE) as file:
        assert np.iscomplexobj(file["reconstruction"])
        scaled = np.abs(file["reconstruction"][...]) * file.attrs["scale"]
        np.testing.assert_allclose(scaled, wanted, atol=1e-4 * wanted.max())
    nifti = reconstruct(checkpoint=path, input="multicoil_test", output="n", write="nifti")
    assert nifti.code == 0, nifti.err


def test_submission_is_scored_by_the_fastmri_package(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    evaluate = pytest.importorskip("fastmri.evaluate")
    images = coil_images(anatomy)
    write(tmp_path / "test" / FILE, images, LINES)
    path = checkpoint(**TRAINED)
    assert reconstruct(checkpoint=path, input="test", output="out").code == 0
    with h5py.File(tmp_path / "out" / FILE) as file:
        found = file["reconstruction"][...]
    target = np.sqrt((np.abs(images) ** 2).sum(axis=1))[:, 24:72, 4:36]
    assert evaluate.psnr(target, found) > 20


def test_one_coil_network_refuses_several_undersampled_coils_with_a_way_out(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    write(tmp_path / FILE, coil_images(anatomy), LINES)
    result = reconstruct(checkpoint=checkpoint(channels=2), input=FILE, output="out.h5")
    assert result.code == 2
    assert "undersampled and of 4 coils" in result.err
    assert "trained on several coils (dataset=multicoil)" in result.err


def test_padded_columns_of_a_full_scan_count_nowhere(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    """4 columns were never acquired; acceleration is told over the other 36."""
    acquired = (np.arange(40) >= 2) & (np.arange(40) < 38)
    write(tmp_path / FILE, coil_images(anatomy))
    with h5py.File(tmp_path / FILE, "a") as file:
        file["kspace"][...] = np.where(acquired, file["kspace"][...], 0)
    path = checkpoint(**TRAINED)
    result = reconstruct(checkpoint=path, input=FILE, output="out.h5")
    assert result.code == 0, result.err
    mask = np.fft.fftshift(EquispacedLines(3, centre_fraction=0.25)((96, 40))[0])
    told = re.search(r"effective acceleration ([\d.]+)x", result.out)
    assert told
    assert float(told[1]) == pytest.approx(36 / mask[acquired].sum(), abs=0.01)


def test_scan_narrower_than_its_header_becomes_a_square_submission(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    """FLAIR scans of 203 columns: fastMRI crops outputs to as many rows."""
    images = coil_images(anatomy)
    write(tmp_path / FILE, images, LINES)
    with h5py.File(tmp_path / FILE, "a") as file:
        del file["ismrmrd_header"]
        file["ismrmrd_header"] = HEADER.format(x=48, y=48).encode()
    result = reconstruct(
        checkpoint=checkpoint(**TRAINED), input=FILE, output="out.h5", write="fastmri"
    )
    assert result.code == 0, result.err
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["reconstruction"].shape == (len(images), 40, 40)
        assert file["reconstruction"].dtype == np.float32

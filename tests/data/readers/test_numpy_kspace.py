"""k-space and complex images in NumPy files: what was measured, and what is no target."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kdmri.data.masks import GaussianLines
from kdmri.data.readers.numpy_files import NumpyFiles
from kdmri.data.simulation import Simulation
from kdmri.errors import DataError
from kdmri.prepare.writing import Form, write_prepared
from tests.data.readers.coils import centred_fft2, phased, sensitivities
from tests.data.readers.test_numpy_files import save


def scattered(size: tuple[int, int]) -> np.ndarray:
    measured = np.random.default_rng(0).random(size) < 0.4
    measured[size[0] // 2, size[1] // 2] = True
    return measured


def ellipse(size: tuple[int, int]) -> np.ndarray:
    rows, columns = (np.arange(n) / (n / 2) - 1 for n in size)
    return rows[:, None] ** 2 + columns**2 < 1


def partial_fourier(size: tuple[int, int]) -> np.ndarray:
    return np.broadcast_to(np.arange(size[1]) < 0.7 * size[1], size)


@pytest.mark.parametrize("centred", [True, "kspace", False])
@pytest.mark.parametrize(
    ("kind", "undersampled"),
    [
        (lambda size: np.fft.fftshift(GaussianLines(4)(size)) > 0, True),
        (scattered, True),
        (ellipse, False),
        (partial_fourier, False),
        (lambda size: np.ones(size, bool), False),
    ],
)
def test_undersampled_kspace_is_no_target(
    tmp_path: Path, anatomy: np.ndarray, kind: Any, undersampled: bool, centred: bool | str
) -> None:
    """What lies between measured samples counts; edges may be missing."""
    images = np.moveaxis(anatomy[:, :, 10:12], -1, 0)
    measured = kind(images.shape[1:])
    if centred is not True:
        kspace = np.fft.fft2(images, norm="ortho")
        kspace = kspace * np.fft.ifftshift(measured)
        kspace = np.fft.fftshift(kspace, (1, 2)) if centred else kspace
    else:
        kspace = centred_fft2(images) * measured
    save(tmp_path / "in" / "scan.npy", kspace)
    (volume,) = NumpyFiles(0, kspace=True, centred=centred).volumes(tmp_path / "in")
    form = Form(image_size=None, simulation=Simulation(phase=False, snr=None, seed=0))
    if not undersampled:
        assert write_prepared(volume, "train", tmp_path / "in", tmp_path / "out", form).file
        return
    for item in volume.slices():
        assert item.mask is not None
        np.testing.assert_array_equal(item.mask, np.fft.ifftshift(measured))
    with pytest.raises(DataError, match=r"scan.npy: its k-space is undersampled: no target can be"):
        write_prepared(volume, "train", tmp_path / "in", tmp_path / "out", form)


def prepared(folder: Path, **options: Any) -> tuple[str, list[str]]:
    """Prepare the one file of a folder; gives what was written, or the error, and the notes."""
    (volume,) = NumpyFiles(**({"axis": 0, "kspace": True, "centred": True} | options)).volumes(
        folder / "in"
    )
    form = Form(image_size=None, simulation=Simulation(phase=False, snr=None, seed=0))
    try:
        entry = write_prepared(volume, "train", folder / "in", folder / "out", form)
    except DataError as error:
        return str(error), []
    return entry.file, entry.notes


def to_images(kspace: np.ndarray) -> np.ndarray:
    return np.fft.ifft2(np.fft.ifftshift(kspace, (1, 2))).astype(np.complex64)


def missing_rows(*rows: int) -> np.ndarray:
    measured = np.ones((48, 40), bool)
    measured[list(rows)] = False
    return measured


def cut_short() -> np.ndarray:
    measured = np.ones((48, 40), bool)
    measured[30, 25:] = False
    return measured


def acs_in_every_second_row() -> np.ndarray:
    centre = ellipse((48, 40)) & (abs(np.arange(48) - 24) < 6)[:, None]
    return missing_rows(*range(1, 48, 2)) | centre


UNDERSAMPLED, NO_CENTRE = "its k-space is undersampled", "the zero frequency was never measured"
PATTERNS: dict[str, tuple[np.ndarray, str]] = {
    "one row": (missing_rows(30), UNDERSAMPLED),
    "one row at the edge": (missing_rows(0), ""),
    "part of a row": (cut_short(), UNDERSAMPLED),
    "stopped": (missing_rows(*range(24, 48)), NO_CENTRE),
    "stopped after": (missing_rows(*range(25, 48)), ""),
    "asymmetric echo": (np.broadcast_to(np.arange(40) >= 12, (48, 40)), ""),
    "ACS in every second row": (acs_in_every_second_row(), UNDERSAMPLED),
    "ragged": (ellipse((48, 40)) & (np.indices((48, 40)).sum(axis=0) != 17), ""),
}


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("centred", [True, False])
def test_what_is_missing_decides(
    tmp_path: Path, anatomy: np.ndarray, pattern: str, centred: bool
) -> None:
    measured, message = PATTERNS[pattern]
    kspace = centred_fft2(phased(anatomy, slice(10, 13))) * measured.astype(np.float32)
    assert np.signbit(kspace.real[:, ~measured]).any(), "some zeros are negative"
    kspace = kspace if centred else np.fft.ifftshift(kspace, (1, 2))
    save(tmp_path / "in" / "scan.npy", kspace)
    description, notes = prepared(tmp_path, centred=centred)
    assert (f"scan.npy: {message}" in description) if message else description == "train/scan.h5"
    assert notes == []


@pytest.mark.parametrize("image", [False, True])
def test_one_undersampled_slice_of_many_is_named(
    tmp_path: Path, anatomy: np.ndarray, image: bool
) -> None:
    """Empty slices are no fault; complex images are judged by their Fourier transform."""
    kspace = centred_fft2(phased(anatomy, slice(10, 16)))
    kspace[0] = 0
    kspace[4, ::3] = 0
    save(tmp_path / "in" / "scan.npy", to_images(kspace) if image else kspace)
    description, _ = prepared(tmp_path, kspace=not image)
    assert f"scan.npy: {UNDERSAMPLED}" in description
    assert description.endswith("(slice 4)")
    kspace[4] = 0
    save(tmp_path / "in" / "scan.npy", to_images(kspace) if image else kspace)
    assert prepared(tmp_path, kspace=not image)[0] == "train/scan.h5"


@pytest.mark.parametrize("kind", [scattered, lambda size: np.fft.fftshift(GaussianLines(4)(size))])
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_zero_filled_complex_images_are_no_targets(
    tmp_path: Path, anatomy: np.ndarray, kind: Any, dtype: type
) -> None:
    images = phased(anatomy, slice(10, 13))
    kspace = centred_fft2(images) * kind(images.shape[1:])
    aliased = np.fft.ifft2(np.fft.ifftshift(kspace, (1, 2))).astype(dtype)
    save(tmp_path / "in" / "scan.npy", aliased)
    assert f"scan.npy: {UNDERSAMPLED}" in prepared(tmp_path, kspace=False)[0]


@pytest.mark.parametrize("image", [False, True])
def test_strong_zero_filling_is_told(tmp_path: Path, anatomy: np.ndarray, image: bool) -> None:
    kspace = np.pad(centred_fft2(phased(anatomy, slice(10, 13))), ((0, 0), (48, 48), (4, 4)))
    save(tmp_path / "in" / "scan.npy", to_images(kspace) if image else kspace)
    description, notes = prepared(tmp_path, kspace=not image)
    assert description == "train/scan.h5"
    (note,) = notes
    assert "zero outside the central 48x40 of 144x48 samples: images were interpolated" in note


@pytest.mark.parametrize("centred", [True, "kspace", False])
def test_zero_frequency_elsewhere_than_told_is_seen(
    tmp_path: Path, anatomy: np.ndarray, centred: bool | str
) -> None:
    kspace = centred_fft2(phased(anatomy, slice(10, 13)))
    kspace = np.fft.ifftshift(kspace, (1, 2)) if centred else kspace
    save(tmp_path / "in" / "scan.npy", kspace)
    description, _ = prepared(tmp_path, centred=centred)
    right = "give false" if centred else "give true or kspace"
    assert f"format.centred={str(centred).lower()} has the zero frequency; {right}" in description


@pytest.mark.parametrize("centred", [True, "kspace", False])
def test_kspace_of_several_coils_has_four_axes(
    tmp_path: Path, anatomy: np.ndarray, centred: bool | str
) -> None:
    images = phased(anatomy, slice(10, 13))
    coils = (images[:, None] * sensitivities(3, (48, 40))).astype(np.complex64)
    plain = np.fft.fft2(coils, norm="ortho").astype(np.complex64)
    shifted = np.fft.fftshift(plain, (-2, -1))
    stored = {True: centred_fft2(coils), "kspace": shifted, False: plain}[centred]
    np.save(tmp_path / "a.npy", stored)
    for options in ({}, {"keep_coils": True}, {"undersampled": True}):
        (volume,) = NumpyFiles(0, True, centred, **options).volumes(tmp_path)
        for item, image, kspace in zip(volume.slices(), images, plain, strict=True):
            np.testing.assert_allclose(item.image, np.abs(image), atol=1e-5)
            assert item.note == ""
            assert (item.kspace_coils is None) == (not options)
            assert (item.mask is None) == ("undersampled" not in options)
            if item.kspace_coils is not None:
                np.testing.assert_allclose(item.kspace_coils, kspace, atol=1e-4)
    chosen = [0, 1, 2, 5, 9, 46, 47]
    rows = np.isin((np.arange(48) - (24 if centred else 0)) % 48, chosen)[:, None]
    np.save(tmp_path / "a.npy", stored * rows)
    (volume,) = NumpyFiles(0, True, centred, keep_coils=True).volumes(tmp_path)
    with pytest.raises(DataError, match=r"a\.npy: its k-space is undersampled"):
        next(volume.slices())
    (volume,) = NumpyFiles(0, True, centred, undersampled=True).volumes(tmp_path)
    item = next(volume.slices())
    expected = rows if centred is False else np.fft.ifftshift(rows, 0)
    np.testing.assert_array_equal(item.mask, np.tile(expected, (1, 40)))
    assert item.kspace_coils is not None
    np.testing.assert_allclose(item.kspace_coils, plain[0] * expected, atol=1e-4)


def test_four_axes_are_of_kspace_alone_with_slices_first(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((2, 3, 8, 8), np.complex64))
    for options, message in (
        ((0, False, True), r"format\.kspace=true"),
        ((1, True, True), r"leave format\.axis at 0"),
    ):
        (volume,) = NumpyFiles(*options).volumes(tmp_path)  # type: ignore[arg-type]
        with pytest.raises(DataError, match=message):
            next(volume.slices())
    np.save(tmp_path / "a.npy", np.ones((2, 0, 8, 8), np.complex64))
    (volume,) = NumpyFiles(0, True, True).volumes(tmp_path)
    with pytest.raises(DataError, match=r"has shape \(2, 0, 8, 8\)"):
        next(volume.slices())

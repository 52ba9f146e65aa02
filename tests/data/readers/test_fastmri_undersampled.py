"""fastMRI files that lack samples, and what of that is no undersampling."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from kdmri.data.readers.fastmri import FastMRI
from kdmri.data.simulation import Simulation
from kdmri.errors import DataError
from kdmri.prepare.checking import check
from kdmri.prepare.writing import Form, write_prepared
from tests.data.readers.coils import centred_fft2, sensitivities
from tests.data.readers.test_fastmri import centre, oversampled, write

RANDOM = np.isin(np.arange(40), [1, 6, 9, 15, 18, 19, 20, 21, 22, 30, 33])
CENTRE = abs(np.arange(40) - 20) < 5


def with_columns(path: Path, columns: np.ndarray, mask: np.ndarray | None = None) -> Path:
    """Set all other columns of the k-space to zeros, some of them negative."""
    with h5py.File(path, "a") as file:
        file["kspace"][...] = file["kspace"][()] * columns.astype(np.float32)
        if mask is not None:
            file["mask"] = mask
    return path


@pytest.mark.parametrize("coils", [0, 3])
@pytest.mark.parametrize("key", [True, False])
def test_undersampled_file_is_no_target_with_or_without_its_mask(
    tmp_path: Path, anatomy: np.ndarray, key: bool, coils: int
) -> None:
    path = write(tmp_path / "singlecoil_test" / "file3.h5", oversampled(anatomy), coils)
    with_columns(path, RANDOM, RANDOM if key else None)
    (volume,) = FastMRI(False).volumes(tmp_path)
    message = r"file3\.h5: its k-space is undersampled: no target can be"
    with pytest.raises(DataError, match=message):
        next(volume.slices())


def test_mask_beside_all_samples_is_for_later_use(tmp_path: Path, anatomy: np.ndarray) -> None:
    images = oversampled(anatomy)
    path = write(tmp_path / "file.h5", images)
    with h5py.File(path, "a") as file:
        file["mask"] = RANDOM
    (volume,) = FastMRI(False).volumes(tmp_path)
    found = np.stack([item.image for item in volume.slices()])
    np.testing.assert_allclose(found, centre(images), atol=1e-6)


def test_one_undersampled_slice_is_found_and_named(tmp_path: Path, anatomy: np.ndarray) -> None:
    path = write(tmp_path / "file.h5", oversampled(anatomy))
    with h5py.File(path, "a") as file:
        file["kspace"][0] = 0  # beyond the anatomy
        file["kspace"][2] *= RANDOM
    (volume,) = FastMRI(False).volumes(tmp_path)
    slices = volume.slices()
    assert not next(slices).image.any()
    assert next(slices).image.any()
    with pytest.raises(DataError, match=r"file\.h5: its k-space is undersampled.* \(slice 2\)"):
        next(slices)


def test_centre_alone_is_told_and_with_its_mask_no_target(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    """Nothing lies between other samples: a mask says whether that was all that was wanted."""
    images = oversampled(anatomy)
    with_columns(write(tmp_path / "a.h5", images), CENTRE)
    with_columns(write(tmp_path / "b.h5", images), CENTRE, CENTRE)
    description, refused = FastMRI(False).volumes(tmp_path)
    assert "zero outside the central 96x10 of 96x40 samples" in str(next(description.slices()).note)
    with pytest.raises(DataError, match=r"b\.h5: its k-space is undersampled"):
        next(refused.slices())


@pytest.mark.parametrize("key", [True, False])
def test_padding_of_the_phase_encoding_is_no_undersampling(
    tmp_path: Path, anatomy: np.ndarray, key: bool
) -> None:
    padded = (np.arange(40) >= 4) & (np.arange(40) < 35)
    written = write(tmp_path / "file.h5", oversampled(anatomy), 2, reconstruction=False)
    path = with_columns(written, padded, padded if key else None)
    (volume,) = FastMRI(False).volumes(tmp_path)
    with h5py.File(path) as file:
        whole = np.fft.ifft2(np.fft.ifftshift(file["kspace"], (-2, -1)), norm="ortho")
    expected = np.sqrt((np.abs(np.fft.fftshift(whole, (-2, -1))) ** 2).sum(axis=1))
    items = list(volume.slices())
    np.testing.assert_allclose([item.image for item in items], centre(expected), atol=1e-5)
    assert {item.note for item in items} == {""}


def test_zeros_of_a_phantoms_own_spectrum_are_no_fault_of_the_cropped_image(
    tmp_path: Path,
) -> None:
    """The image of a square has lines of zeros in its k-space; what was measured has noise."""
    square = np.zeros((1, 96, 40), np.complex64)
    square[:, 36:60, 12:28] = 1
    noise = np.random.default_rng(0).normal(size=(1, 96, 40)).astype(np.float32) * 1e-3
    noise[:, 24:72, 4:36] = 0  # beyond what is shown
    write(tmp_path / "in" / "train" / "file.h5", square + noise)
    (volume,) = FastMRI(False).volumes(tmp_path / "in")
    form = Form(image_size=None, simulation=Simulation(phase=False, snr=None, seed=0))
    assert write_prepared(volume, "train", tmp_path / "in", tmp_path / "out", form).notes == []
    assert [found for _, found in check(tmp_path / "out")] == [(48, 32, 1)]


def test_zero_frequency_has_to_be_measured(tmp_path: Path, anatomy: np.ndarray) -> None:
    with_columns(write(tmp_path / "file.h5", oversampled(anatomy)), np.arange(40) < 20)
    (volume,) = FastMRI(False).volumes(tmp_path)
    with pytest.raises(DataError, match=r"file\.h5: the zero frequency was never measured"):
        next(volume.slices())


@pytest.mark.parametrize("key", [True, False])
def test_undersampled_file_of_several_coils_as_it_was_measured(
    tmp_path: Path, anatomy: np.ndarray, key: bool
) -> None:
    images = oversampled(anatomy)
    columns = RANDOM & (np.arange(40) < 38)  # the header's limits: two are padding
    path = with_columns(
        write(tmp_path / "multicoil_test" / "a.h5", images, 3), columns, RANDOM if key else None
    )
    (volume,) = FastMRI(False, undersampled=True).volumes(path)
    assert (volume.shown, volume.in_place) == ((48, 32), None)
    maps = sensitivities(3, (96, 40))
    for item, image in zip(volume.slices(), images, strict=True):
        assert item.kspace_coils is not None
        assert item.mask is not None
        assert item.kspace_coils.dtype == np.complex64
        assert item.note is None
        np.testing.assert_array_equal(np.fft.fftshift(item.mask), np.tile(columns, (96, 1)))
        whole = np.fft.fft2(maps * image, norm="ortho")
        np.testing.assert_allclose(item.kspace_coils, whole * item.mask, atol=1e-5)
        assert not item.kspace_coils[:, item.mask == 0].any(), "exactly zero"


@pytest.mark.parametrize("header", ["<ismrmrdHeader><a>1</a></ismrmrdHeader>", "no XML at all"])
def test_files_of_m4raw_tell_their_size_by_their_kspace(
    tmp_path: Path, anatomy: np.ndarray, header: str
) -> None:
    images = oversampled(anatomy)
    path = write(tmp_path / "a.h5", images, 2, header=header, reconstruction=False)
    columns = (np.arange(40) >= 5) & (np.arange(40) < 35)
    with_columns(path, columns)
    (volume,) = FastMRI(keep_coils=True).volumes(tmp_path)
    assert volume.in_place == path
    (note,) = volume.notes
    assert "a.h5: its XML header" in note
    assert "as large as its k-space, 96x40" in note
    item = next(volume.slices())
    assert item.image.shape == (96, 40)
    maps = sensitivities(2, (96, 40))
    masked = centred_fft2(maps * images[0]) * columns
    expected = np.linalg.norm(np.fft.ifft2(masked, norm="ortho"), axis=0)
    np.testing.assert_allclose(item.image, np.fft.fftshift(expected), atol=1e-6)

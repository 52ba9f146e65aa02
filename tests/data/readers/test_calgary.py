"""Layouts of the Calgary-Campinas releases (Souza et al. 2018; the owners' example notebooks)."""

from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest

from kdmri.data.readers.calgary import Calgary
from kdmri.errors import ConfigurationError, DataError
from tests.data.readers.coils import sensitivities


@pytest.fixture
def images(anatomy: np.ndarray) -> np.ndarray:
    """Complex slices (S, H, W)."""
    phase = np.exp(1j * np.linspace(0, 2, 48))[:, None]
    return np.moveaxis(anatomy[:, :, 10:15], -1, 0) * phase


def save_single(path: Path, images: np.ndarray) -> None:
    kspace = np.fft.fft2(images)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.stack((kspace.real, kspace.imag), axis=-1).astype(np.float32))


def test_single_channel(tmp_path: Path, images: np.ndarray) -> None:
    for place in ("Train/e10298s3_P01536.7.npy", "Val/e14583s3_P07680.7.npy", "Test/e17.npy"):
        save_single(tmp_path / place, images)
    volumes = list(Calgary(False).volumes(tmp_path))
    assert {v.split for v in volumes} == {"train", "validation", "test"}
    found = np.stack([item.image for item in volumes[0].slices()])
    assert found.dtype == np.complex64
    np.testing.assert_allclose(found, images, atol=1e-6)


def save_channels(path: Path, kspace: np.ndarray) -> np.ndarray:
    """Write k-space (S, coils, H, W) as the owner does; returns the owner's reference images.

    The reference is Modules/zero_filled_rec.py of github.com/rmsouza01/MC-MRI-Rec.
    """
    stored = np.empty((*kspace.shape[:1], *kspace.shape[2:], 2 * kspace.shape[1]), np.float32)
    stored[..., 0::2] = np.moveaxis(kspace.real, 1, -1)
    stored[..., 1::2] = np.moveaxis(kspace.imag, 1, -1)
    with h5py.File(path, "w") as file:
        file["kspace"] = stored
    values = stored[..., ::2] + 1j * stored[..., 1::2]
    return np.sqrt((np.abs(np.fft.ifft2(values, axes=(1, 2))) ** 2).sum(axis=-1))


@pytest.mark.parametrize("keep_coils", [False, True])
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("coils", [12, 32])
def test_several_channels(
    tmp_path: Path, images: np.ndarray, keep_coils: bool, centred: bool, coils: int
) -> None:
    """The owner's k-space is centred: its data generator cuts wide ones around their middle."""
    coil_images = images[:, None] * sensitivities(coils, (48, 40))
    kspace = np.fft.fft2(coil_images)
    stored = np.fft.fftshift(kspace, (-2, -1)) if centred else kspace
    reference = save_channels(tmp_path / "e13991s3_P01536.7.h5", stored)
    (volume,) = Calgary(keep_coils).volumes(tmp_path)
    slices = list(volume.slices())
    found = np.stack([item.image for item in slices])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.abs(images), atol=1e-5)
    np.testing.assert_allclose(found, reference, atol=1e-5)
    for index, item in enumerate(slices):
        if keep_coils:
            assert item.kspace_coils is not None
            assert item.kspace_coils.dtype == np.complex64
            expected = kspace[index] / np.sqrt(48 * 40)
            np.testing.assert_allclose(item.kspace_coils, expected, atol=1e-5)
        else:
            assert item.kspace_coils is None


def test_partial_fourier_stays_as_it_is(tmp_path: Path, images: np.ndarray) -> None:
    coil_images = images[:, None] * sensitivities(12, (48, 40))
    kspace = np.fft.fftshift(np.fft.fft2(coil_images), (-2, -1))
    kspace[..., 34:] = 0
    reference = save_channels(tmp_path / "e1.h5", kspace)
    (volume,) = Calgary(keep_coils=True).volumes(tmp_path)
    slices = list(volume.slices())
    np.testing.assert_allclose([item.image for item in slices], reference, atol=1e-5)
    empty = [np.flatnonzero(~np.any(item.kspace_coils, axis=(0, 1))) for item in slices]
    assert all(list(columns) == [14, 15, 16, 17, 18, 19] for columns in empty), "+14 to +19"


def test_undersampled_test_file_is_no_target(tmp_path: Path, images: np.ndarray) -> None:
    kspace = np.fft.fftshift(np.fft.fft2(images), (-2, -1))[:, None]
    mask = np.random.default_rng(0).random((48, 40)) < 0.2
    mask[20:28, 16:24] = True
    save_channels(tmp_path / "e2.h5", kspace * mask)
    (volume,) = Calgary(False).volumes(tmp_path)
    with pytest.raises(DataError, match=r"e2\.h5: its k-space is undersampled"):
        next(volume.slices())


LINES = np.isin(np.arange(48), [3, 9, 14, 20, 22, 23, 24, 25, 26, 31, 40])[:, None]


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize(
    ("measured", "message"),
    [
        (LINES, "its k-space is undersampled"),
        ((np.arange(48) != 30)[:, None], "its k-space is undersampled"),
        ((np.arange(48) < 24)[:, None], "the zero frequency was never measured"),
    ],
)
def test_lines_that_are_missing_make_no_target(
    tmp_path: Path, images: np.ndarray, several: bool, measured: np.ndarray, message: str
) -> None:
    """A share of samples does not tell: half of the lines may be measured, and one may lack."""
    centred = np.fft.fftshift(np.fft.fft2(images), (1, 2)) * measured
    centred[:2] = 0
    if several:
        save_channels(tmp_path / "e2.h5", centred[:, None] * np.ones((1, 2, 1, 1)))
    else:
        save_single(tmp_path / "e2.npy", np.fft.ifft2(np.fft.ifftshift(centred, (1, 2))))
    if not several:  # rounding of the transforms
        stored = np.load(tmp_path / "e2.npy")
        stored *= np.fft.ifftshift(measured, 0)[..., None]
        stored[:2] = 0
        np.save(tmp_path / "e2.npy", stored)
    (volume,) = Calgary(False).volumes(tmp_path)
    with pytest.raises(DataError, match=rf"e2\..*: {message}.* \(slice 2\)"):
        list(volume.slices())


def test_undersampled_single_channel_keeps_its_mask(tmp_path: Path, images: np.ndarray) -> None:
    save_single(tmp_path / "e2.npy", images)
    stored = np.load(tmp_path / "e2.npy") * np.fft.ifftshift(LINES, 0)[..., None]
    np.save(tmp_path / "e2.npy", stored)
    (volume,) = Calgary(False, undersampled=True).volumes(tmp_path)
    for item in volume.slices():
        np.testing.assert_array_equal(item.mask, np.fft.ifftshift(LINES, 0) * np.ones((1, 40)))


def test_images_are_axial_and_named_without_age_and_sex(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    values = anatomy.astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "CC0001_philips_15_55_M.nii.gz")
    masks = tmp_path / "masks"
    masks.mkdir()
    for name in ("staple", "hippocampus_mask"):
        mask = nibabel.Nifti1Image(np.ones_like(values), np.eye(4))
        nibabel.save(mask, masks / f"CC0001_philips_15_55_M_{name}.nii.gz")
    (volume,) = Calgary(False).volumes(tmp_path)
    assert (volume.name, volume.subject) == ("CC0001", "CC0001")
    found = next(volume.slices()).image
    np.testing.assert_array_equal(found, values[:, ::-1, 0].T)


def test_files_that_cannot_be_used_are_named(tmp_path: Path, images: np.ndarray) -> None:
    save_single(tmp_path / "good.npy", images)
    np.save(tmp_path / "pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "flat.npy", np.ones((5, 48, 40)))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["image"] = 1
    with h5py.File(tmp_path / "group.h5", "w") as file:
        file.create_group("kspace")
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        file["kspace"] = np.ones((2, 4, 4, 3), np.float32)
    with (tmp_path / "archive.npy").open("wb") as stream:
        np.savez(stream, a=np.ones(3))
    np.save(tmp_path / "text.npy", np.full((2, 4, 4, 2), "a"))
    (tmp_path / "folder.npy").mkdir()
    volumes = {v.name: v for v in Calgary(False).volumes(tmp_path)}
    assert len(list(volumes["good"].slices())) == 5
    for name, message in (
        ("pickled", "Python objects"),
        ("flat", "shape"),
        ("other", "kspace is missing"),
        ("group", "kspace is missing"),
        ("odd", r"shape \(2, 4, 4, 3\)"),
        ("archive", "npz archive"),
        ("text", "it must be float"),
    ):
        with pytest.raises(DataError, match=rf"{name}\..*{message}"):
            list(volumes[name].slices())
    with pytest.raises(DataError, match="found no Calgary-Campinas files"):
        list(Calgary(False).volumes(tmp_path / "nowhere"))


def test_option_is_checked() -> None:
    with pytest.raises(ConfigurationError, match=r"format\.keep_coils=2: must be true or false"):
        Calgary(keep_coils=2)  # type: ignore[arg-type]


def test_undersampled_channels_come_with_their_mask(tmp_path: Path, images: np.ndarray) -> None:
    """Test files of the challenge: a Poisson disc within the acquired 85 % of the columns."""
    plain = np.fft.fft2(images[:, None] * sensitivities(12, (48, 40)))
    mask = np.random.default_rng(0).random((48, 40)) < 0.3
    mask[20:28, 16:24] = True
    mask[:, 34:] = False
    save_channels(tmp_path / "e1.h5", np.fft.fftshift(plain, (-2, -1)) * mask)
    for keep_coils in (False, True):
        (volume,) = Calgary(keep_coils).volumes(tmp_path)
        with pytest.raises(DataError, match=r"e1\.h5: its k-space is undersampled"):
            next(volume.slices())
    (volume,) = Calgary(False, undersampled=True).volumes(tmp_path)
    for item, kspace in zip(volume.slices(), plain, strict=True):
        assert item.note is None
        assert item.kspace_coils is not None
        np.testing.assert_array_equal(np.fft.fftshift(item.mask), mask)
        expected = kspace / np.sqrt(48 * 40) * np.fft.ifftshift(mask)
        np.testing.assert_allclose(item.kspace_coils, expected, atol=1e-5)
        zero_filled = np.linalg.norm(np.fft.ifft2(expected, norm="ortho"), axis=0)
        np.testing.assert_allclose(item.image, zero_filled, atol=1e-5)

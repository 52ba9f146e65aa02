"""Layout: github.com/CmrxRecon/CMRxRecon and Wang et al. 2024 (doi:10.1038/s41597-024-03525-4).

`kspace_full` or `kspace_sub04` in MATLAB's order (kx, ky, coils, slices, frames), version 7.3; HDF5
has them the other way round, as compounds of `real` and `imag`.
"""

from pathlib import Path

import h5py
import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from kdmri.data.readers.cmrxrecon import CMRxRecon
from kdmri.data.readers.detect import detect
from kdmri.errors import ConfigurationError, DataError
from tests.conftest import ROOT
from tests.data.readers.coils import centred_fft2, phased, sensitivities, truncate

COILS = 3


def write(path: Path, key: str, kspace: np.ndarray) -> Path:
    """Write an array (kx, ky, ...) as MATLAB does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    turned = kspace.T
    stored = np.empty(turned.shape, [("real", "<f4"), ("imag", "<f4")])
    stored["real"], stored["imag"] = turned.real, turned.imag
    with h5py.File(path, "w", userblock_size=512) as file:
        file[key] = stored
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(116))
    return path


@pytest.fixture
def images(anatomy: np.ndarray) -> np.ndarray:
    """Coil images (frames 2, slices 2, coils 3, 48, 40), complex64."""
    whole = phased(anatomy, slice(10, 14)).reshape(2, 2, 1, 48, 40)
    return (whole * sensitivities(COILS, (48, 40))).astype(np.complex64)


def matlab_order(values: np.ndarray) -> np.ndarray:
    """Turn (frames, slices, coils, kx, ky) to (kx, ky, coils, slices, frames)."""
    return np.transpose(values, (3, 4, 2, 1, 0))


def test_frames_are_volumes_and_their_readout_the_rows(tmp_path: Path, images: np.ndarray) -> None:
    folder = tmp_path / "MultiCoil" / "Cine" / "TrainingSet" / "FullSample" / "P001"
    write(folder / "cine_sax.mat", "kspace_full", matlab_order(centred_fft2(images)))
    with h5py.File(folder / "cine_sax_mask.mat", "w") as file:
        file["mask04"] = np.ones((40, 48))
    volumes = list(CMRxRecon(keep_coils=True).volumes(tmp_path / "MultiCoil"))
    assert [volume.name.rpartition("_")[2] for volume in volumes] == ["frame0", "frame1"]
    assert {volume.subject for volume in volumes} == {"TrainingSet/P001"}
    assert {volume.split for volume in volumes} == {"train"}
    assert detect(tmp_path) == "cmrxrecon"
    for volume, frame in zip(volumes, images, strict=True):
        for item, expected in zip(volume.slices(), frame, strict=True):
            np.testing.assert_allclose(item.image, np.linalg.norm(expected, axis=0), atol=1e-5)
            plain = np.fft.fft2(expected, norm="ortho")
            np.testing.assert_allclose(item.kspace_coils, plain, atol=1e-4)
            assert item.note == ""
    (first, _) = CMRxRecon(keep_coils=False).volumes(folder / "cine_sax.mat")
    assert next(first.slices()).kspace_coils is None


def test_the_same_number_in_another_set_or_centre_is_another_person(
    tmp_path: Path, images: np.ndarray
) -> None:
    kspace = matlab_order(centred_fft2(images[:1]))
    for place in (
        "TrainingSet/FullSample/Center005/Siemens_30T_Vida/P001",
        "TrainingSet/FullSample/Center006/Siemens_30T_Vida/P001",
        "ValidationSet/FullSample/Center005/Siemens_30T_Vida/P001",
        "ValidationSet/AccFactor04/Center005/Siemens_30T_Vida/P001",
    ):
        write(tmp_path / place / "cine_lax.mat", "kspace", kspace)
    volumes = list(CMRxRecon(False).volumes(tmp_path))
    assert len({volume.subject for volume in volumes}) == 3
    assert len({volume.name for volume in volumes}) == 4


def test_undersampled_files_come_with_their_mask(tmp_path: Path, images: np.ndarray) -> None:
    """Every fourth line and 24 around the middle."""
    lines = np.arange(40) % 4 == 0
    lines[8:32] = True
    kspace = matlab_order(centred_fft2(images) * lines)
    path = write(tmp_path / "P007" / "cine_sax.mat", "kspace_sub04", kspace)
    (volume, _) = CMRxRecon(keep_coils=True).volumes(tmp_path)
    with pytest.raises(DataError, match=r"cine_sax\.mat: its k-space is undersampled"):
        next(volume.slices())
    (volume, _) = CMRxRecon(keep_coils=False, undersampled=True).volumes(path)
    item = next(volume.slices())
    assert item.mask is not None
    np.testing.assert_array_equal(np.fft.fftshift(item.mask), np.tile(lines, (48, 1)))
    plain = np.fft.fft2(images[0, 0], norm="ortho") * item.mask
    np.testing.assert_allclose(item.kspace_coils, plain, atol=1e-4)


def test_files_of_one_coil_and_of_one_frame(tmp_path: Path, images: np.ndarray) -> None:
    single, one = images[:, :, 0], images[0]
    write(tmp_path / "a.mat", "kspace_single_full", centred_fft2(single).transpose(2, 3, 1, 0))
    write(tmp_path / "b.mat", "kspace_full", centred_fft2(one).transpose(2, 3, 1, 0))
    first, _, last = CMRxRecon(True).volumes(tmp_path)
    for item, expected in zip(first.slices(), single[0], strict=True):
        np.testing.assert_allclose(item.image, expected, atol=1e-5)
    for item, expected in zip(last.slices(), one, strict=True):
        np.testing.assert_allclose(item.image, np.linalg.norm(expected, axis=0), atol=1e-5)


def test_damaged_files_are_told(tmp_path: Path, images: np.ndarray) -> None:
    kspace = matlab_order(centred_fft2(images))
    write(tmp_path / "a_flat.mat", "kspace_full", kspace[:, :, 0, 0, 0])
    with h5py.File(tmp_path / "b_real.mat", "w") as file:
        file["kspace_full"] = kspace.real
    with h5py.File(write(tmp_path / "c_two.mat", "kspace_full", kspace), "a") as file:
        file["kspace_sub04"] = file["kspace_full"]
    bad = kspace.copy()
    bad[0, 0, 1, 0, 0] = np.nan
    write(tmp_path / "d_nan.mat", "kspace_full", bad)
    volumes = {v.files[0].stem: v for v in reversed(list(CMRxRecon(True).volumes(tmp_path)))}
    for name, message in {
        "a_flat": r"MATLAB's shape \(48, 40\); it must be \(kx, ky, coils, slices, frames\)",
        "b_real": "must be complex",
        "c_two": "several kinds: kspace_full, kspace_sub04",
    }.items():
        with pytest.raises(DataError, match=rf"{name}\.mat: .*{message}"):
            next(volumes[name].slices())
    truncate(tmp_path / "d_nan.mat")
    with pytest.raises(DataError, match=r"d_nan\.mat"):
        next(volumes["d_nan"].slices())
    (cut,) = CMRxRecon(True).volumes(tmp_path / "d_nan.mat")
    with pytest.raises(DataError, match=r"d_nan\.mat: .*truncated"):
        next(cut.slices())
    (tmp_path / "e.mat").write_bytes(b"MATLAB 5.0 MAT-file".ljust(200))
    (old,) = CMRxRecon(True).volumes(tmp_path / "e.mat")
    with pytest.raises(DataError, match=r"e\.mat: is no MATLAB file of version 7\.3"):
        next(old.slices())
    with h5py.File(tmp_path / "f_mask.mat", "w") as file:
        file["mask04"] = np.ones((40, 48))
    with pytest.raises(DataError, match="found no CMRxRecon files"):
        list(CMRxRecon(True).volumes(tmp_path / "f_mask.mat"))


def test_option_is_checked_and_configuration_gives_this_reader() -> None:
    with pytest.raises(ConfigurationError, match=r"format\.keep_coils=no: must be true or false"):
        CMRxRecon(keep_coils="no")  # type: ignore[arg-type]
    settings = OmegaConf.load(ROOT / "configs" / "format" / "cmrxrecon.yaml")
    assert instantiate(settings) == CMRxRecon(keep_coils=False)

"""The layout is that of Zbontar et al. 2018 (arXiv:1811.08839, section 4) and fastmri.med.nyu.edu.

`kspace` complex64 (slices, [coils,] readout, phase encoding), centred; `reconstruction_esc` or
`reconstruction_rss` float32 (slices, H, W), its central part; `ismrmrd_header`, XML as bytes; the
attributes acquisition, max, norm and patient_id. Files of the test sets carry `mask` instead.
"""

from pathlib import Path

import h5py
import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from kdmri.data.prepare.fastmri import FastMRI
from kdmri.errors import ConfigurationError, DataError
from tests.conftest import ROOT
from tests.data.prepare.coils import centred_fft2, phased, sensitivities, truncate

HEADER = """<?xml version="1.0" encoding="utf-8"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD" xmlns:xs="http://www.w3.org/2001/XMLSchema">
  <studyInformation><studyTime>12:00:00</studyTime></studyInformation>
  <encoding>
    <trajectory>cartesian</trajectory>
    <encodedSpace>
      <matrixSize><x>96</x><y>40</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>280</x><y>161.0</y><z>4.5</z></fieldOfView_mm>
    </encodedSpace>
    <reconSpace>
      <matrixSize><x>{x}</x><y>{y}</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>140</x><y>140</y><z>4.5</z></fieldOfView_mm>
    </reconSpace>
    <encodingLimits>
      <kspace_encoding_step_1>
        <minimum>0</minimum><maximum>37</maximum><center>19</center>
      </kspace_encoding_step_1>
    </encodingLimits>
  </encoding>
</ismrmrdHeader>"""
GOOD = HEADER.format(x=48, y=32)


def oversampled(anatomy: np.ndarray) -> np.ndarray:
    """Slices (3, 96, 40), complex: anatomy fills the readout's double field of view too."""
    halves = phased(anatomy, slice(10, 16))
    return np.concatenate([halves[3:, 24:], halves[:3], halves[3:, :24]], axis=1)


def centre(images: np.ndarray) -> np.ndarray:
    """Cut the reconSpace out of (..., 96, 40): 48 of 96 rows and 32 of 40 columns."""
    return images[..., 24:72, 4:36]


def write(
    path: Path,
    images: np.ndarray,
    coils: int = 0,
    header: str | None = GOOD,
    reconstruction: bool = True,
    patient: str = "0beb8905d9b7fad304389b9d4263c57d",
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        if coils:
            coil_images = images[:, None] * sensitivities(coils, images.shape[-2:])
            file["kspace"] = centred_fft2(coil_images)
        else:
            file["kspace"] = centred_fft2(images)
        if reconstruction:
            key = "reconstruction_rss" if coils else "reconstruction_esc"
            file[key] = np.abs(centre(images)).astype(np.float32)
        if header is not None:
            file["ismrmrd_header"] = header.encode()
        file.attrs["acquisition"] = "CORPD_FBK"
        file.attrs["max"] = 1.0
        file.attrs["norm"] = 2.0
        if patient:
            file.attrs["patient_id"] = patient
    return path


@pytest.mark.parametrize("known_by", ["header", "reconstruction", "both"])
def test_single_coil_gives_the_complex_image(
    tmp_path: Path, anatomy: np.ndarray, known_by: str
) -> None:
    images = oversampled(anatomy)
    path = write(
        tmp_path / "singlecoil_train" / "file1000001.h5",
        images,
        header=None if known_by == "reconstruction" else GOOD,
        reconstruction=known_by != "header",
    )
    (volume,) = FastMRI(keep_coils=True).volumes(tmp_path)
    assert (volume.name, volume.split, volume.files) == ("file1000001", "train", (path,))
    assert volume.subject == "0beb8905d9b7fad304389b9d4263c57d"
    slices = list(volume.slices())
    found = np.stack([item.image for item in slices])
    assert found.dtype == np.complex64
    np.testing.assert_allclose(found, centre(images), atol=1e-6)
    assert all(item[1:3] == (None, None) for item in slices), "no coils to keep"
    if known_by != "header":
        with h5py.File(path) as file:
            np.testing.assert_allclose(np.abs(found), file["reconstruction_esc"], atol=1e-6)


def test_several_coils_give_their_root_sum_of_squares(tmp_path: Path, anatomy: np.ndarray) -> None:
    images = oversampled(anatomy)
    path = write(tmp_path / "multicoil_val" / "file1000002.h5", images, coils=4)
    (volume,) = FastMRI(keep_coils=True).volumes(tmp_path)
    assert volume.split == "validation"
    slices = list(volume.slices())
    found = np.stack([item.image for item in slices])
    assert found.dtype == np.float32
    with h5py.File(path) as file:
        np.testing.assert_allclose(found, file["reconstruction_rss"], atol=1e-6)
    expected = centre(images[:, None] * sensitivities(4, images.shape[-2:]))
    for item, coil_images in zip(slices, expected, strict=True):
        assert item.kspace_coils is not None
        assert item.kspace_coils.dtype == np.complex64
        plain = np.fft.fft2(coil_images, norm="ortho")
        np.testing.assert_allclose(item.kspace_coils, plain, atol=1e-5)
    (without,) = FastMRI(keep_coils=False).volumes(tmp_path)
    assert next(without.slices()).kspace_coils is None


def test_reconstruction_tells_the_size_where_the_header_differs(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    images = oversampled(anatomy)
    write(tmp_path / "a.h5", images, header=HEADER.format(x=48, y=48))
    write(tmp_path / "b.h5", images, header=HEADER.format(x=48, y=48), reconstruction=False)
    reconstructed, header_only = FastMRI(False).volumes(tmp_path)
    np.testing.assert_allclose(next(reconstructed.slices()).image, centre(images[0]), atol=1e-6)
    wide = next(header_only.slices()).image
    assert wide.shape == (48, 40), "never padded"
    np.testing.assert_allclose(wide, images[0, 24:72], atol=1e-6)


def test_files_in_natural_order_by_folder(tmp_path: Path, anatomy: np.ndarray) -> None:
    images = oversampled(anatomy)
    for place in ("multicoil_train/file10", "multicoil_train/file9", "multicoil_val/file1"):
        write(tmp_path / f"{place}.h5", images, patient="" if "file9" in place else place)
    volumes = list(FastMRI(False).volumes(tmp_path))
    assert [volume.name for volume in volumes] == ["file9", "file10", "file1"]
    assert [volume.split for volume in volumes] == ["train", "train", "validation"]
    subjects = ["file9", "multicoil_train/file10", "multicoil_val/file1"]
    assert [volume.subject for volume in volumes] == subjects
    (one,) = FastMRI(False).volumes(tmp_path / "multicoil_val" / "file1.h5")
    assert (one.name, one.split) == ("file1", "validation")


def test_undersampled_test_file_is_no_target(tmp_path: Path, anatomy: np.ndarray) -> None:
    path = write(tmp_path / "singlecoil_test" / "file3.h5", oversampled(anatomy))
    with h5py.File(path, "a") as file:
        del file["reconstruction_esc"]
        file["mask"] = np.arange(40) % 4 == 0
    (volume,) = FastMRI(False).volumes(tmp_path)
    with pytest.raises(DataError, match=r"file3\.h5: its k-space is undersampled \(key mask\)"):
        next(volume.slices())


BOMB = '<!DOCTYPE bomb [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'
HEADERS = {
    "entities": (GOOD.replace("<ismrmrdHeader", BOMB + "<ismrmrdHeader", 1), "document type"),
    "cut off": (GOOD[:300], "XML header is damaged"),
    "nothing": ("<ismrmrdHeader/>", "has no `encoding`"),
    "no matrix": (GOOD.replace("matrixSize", "matrix"), "has no encoding/encodedSpace/matrixSiz"),
    "zero matrix": (GOOD.replace(">96<", ">0<"), r"has encodedSpace/matrixSize \(0\.0"),
    "no number": (GOOD.replace(">96<", ">many<"), "many"),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_header_that_cannot_be_read_is_told_when_its_slices_are(
    tmp_path: Path, anatomy: np.ndarray, kind: str
) -> None:
    header, message = HEADERS[kind]
    write(tmp_path / "bad.h5", oversampled(anatomy), header=header)
    (volume,) = FastMRI(False).volumes(tmp_path)
    with pytest.raises(DataError, match=rf"bad\.h5: .*{message}"):
        next(volume.slices())


def test_header_in_an_encoding_that_hides_its_entities_is_refused(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    path = write(tmp_path / "bad.h5", oversampled(anatomy), header=None)
    hidden = HEADERS["entities"][0].replace("utf-8", "utf-16").encode("utf-16")
    with h5py.File(path, "a") as file:
        file["ismrmrd_header"] = np.void(hidden)
    (volume,) = FastMRI(False).volumes(tmp_path)
    with pytest.raises(DataError, match=r"bad\.h5"):
        next(volume.slices())


def test_damaged_files_do_not_stop_good_ones(tmp_path: Path, anatomy: np.ndarray) -> None:
    images = oversampled(anatomy)
    for name in ("a_good", "b_truncated", "c_keyless", "d_sizeless", "e_flat", "f_good"):
        write(tmp_path / f"{name}.h5", images)
    truncate(tmp_path / "b_truncated.h5")
    with h5py.File(tmp_path / "c_keyless.h5", "a") as file:
        del file["kspace"]
    with h5py.File(tmp_path / "d_sizeless.h5", "a") as file:
        del file["ismrmrd_header"], file["reconstruction_esc"]
    with h5py.File(tmp_path / "e_flat.h5", "a") as file:
        flat = file["kspace"][0]
        del file["kspace"]
        file["kspace"] = flat
    first, *broken, last = FastMRI(False).volumes(tmp_path)
    for good in (first, last):
        np.testing.assert_allclose(next(good.slices()).image, centre(images[0]), atol=1e-6)
    reasons = {
        "b_truncated": "truncated",
        "c_keyless": r"key kspace is missing \(found: ismrmrd_header, reconstruction_esc\)",
        "d_sizeless": "neither ismrmrd_header nor reconstruction_esc",
        "e_flat": r"kspace is complex64 of shape \(96, 40\)",
    }
    assert [volume.name for volume in broken] == list(reasons)
    for volume in broken:
        with pytest.raises(DataError, match=rf"{volume.name}\.h5: .*{reasons[volume.name]}"):
            next(volume.slices())


def test_empty_directory_is_named_with_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"{tmp_path}: found no fastMRI files \(\.h5\)"):
        list(FastMRI(False).volumes(tmp_path))


def test_option_is_checked() -> None:
    with pytest.raises(ConfigurationError, match=r"format\.keep_coils=2: must be true or false"):
        FastMRI(keep_coils=2)  # type: ignore[arg-type]


def test_configuration_gives_this_reader() -> None:
    settings = OmegaConf.load(ROOT / "configs" / "format" / "fastmri.yaml")
    assert instantiate(settings) == FastMRI(keep_coils=False)

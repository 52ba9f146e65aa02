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

from kdmri.data.dataset import SliceDataset
from kdmri.data.layout import inspect
from kdmri.data.readers.fastmri import FastMRI
from kdmri.data.simulation import Simulation
from kdmri.errors import ConfigurationError
from kdmri.prepare.writing import Form, write_prepared
from tests.conftest import ROOT
from tests.data.readers.coils import centred_fft2, phased, sensitivities

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


@pytest.mark.parametrize("undersampled", [False, True])
def test_one_coil_with_an_axis_of_its_own_is_a_single_coil(
    tmp_path: Path, anatomy: np.ndarray, undersampled: bool
) -> None:
    """Files of other projects in this layout: prepare and reconstruct take the complex image."""
    images = oversampled(anatomy)
    path = write(tmp_path / "a.h5", images)
    with h5py.File(path, "a") as file:
        kspace = file["kspace"][...]
        del file["kspace"]
        file["kspace"] = kspace[:, None]
    (volume,) = FastMRI(keep_coils=True, undersampled=undersampled).volumes(tmp_path)
    for item, image in zip(volume.slices(), images, strict=True):
        assert item.kspace_coils is None
        shown = item.image[volume.window(item.image.shape)]
        np.testing.assert_allclose(shown, centre(image), atol=1e-6)


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
    assert volume.in_place == path
    assert all(item.kspace_coils is None for item in slices), "read where it lies"
    (without,) = FastMRI(keep_coils=False).volumes(tmp_path)
    assert without.in_place is None


def test_reconstruction_tells_the_size_where_the_header_differs(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    images = oversampled(anatomy)
    write(tmp_path / "a.h5", images, header=HEADER.format(x=48, y=48))
    write(tmp_path / "b.h5", images, header=HEADER.format(x=48, y=48), reconstruction=False)
    reconstructed, header_only = FastMRI(False).volumes(tmp_path)
    np.testing.assert_allclose(next(reconstructed.slices()).image, centre(images[0]), atol=1e-6)
    narrow = next(header_only.slices()).image
    assert narrow.shape == (40, 40), "as fastMRI's own networks crop scans of 203 columns"
    np.testing.assert_allclose(narrow, images[0, 28:68], atol=1e-6)


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


def cropped(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Cut the centre out of (..., H, W) by the rule of fastMRI, in floating point."""
    begin = [int((n - m) / 2) for n, m in zip(images.shape[-2:], size, strict=True)]
    return images[..., begin[0] : begin[0] + size[0], begin[1] : begin[1] + size[1]]


@pytest.mark.parametrize("size", [(48, 32), (47, 32), (48, 31), (47, 31), (96, 40)])
@pytest.mark.parametrize("coils", [0, 2])
def test_crop_is_that_of_the_files_own_reconstruction(
    tmp_path: Path, anatomy: np.ndarray, size: tuple[int, int], coils: int
) -> None:
    images = oversampled(anatomy)
    path = write(tmp_path / "file.h5", images, coils, reconstruction=False)
    expected = cropped(np.abs(images), size)
    with h5py.File(path, "a") as file:
        file["reconstruction_rss" if coils else "reconstruction_esc"] = expected
    (volume,) = FastMRI(False).volumes(tmp_path)
    found = np.stack([np.abs(item.image) for item in volume.slices()])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    (measured,) = FastMRI(False, undersampled=True).volumes(tmp_path)
    if not coils:
        for item, image in zip(measured.slices(), expected, strict=True):
            assert item.image.shape == (size[0], 40)
            shown = item.image[measured.window(item.image.shape)]
            np.testing.assert_allclose(np.abs(shown), image, atol=1e-6)
        return
    for item, image in zip(measured.slices(), expected, strict=True):
        np.testing.assert_allclose(item.image[measured.window((96, 40))], image, atol=1e-6)
        assert item.kspace_coils is not None
        images_of_coils = np.fft.ifft2(item.kspace_coils, norm="ortho")
        found = np.linalg.norm(images_of_coils, axis=0)
        np.testing.assert_allclose(found, item.image, atol=1e-6)
        assert (item.mask == 1).all()  # type: ignore[union-attr]
        assert item.note == ""


def test_crop_is_that_of_the_fastmri_package(tmp_path: Path, anatomy: np.ndarray) -> None:
    transforms = pytest.importorskip("fastmri.data.transforms")
    torch = pytest.importorskip("torch")
    images = oversampled(anatomy)
    for size in ((48, 32), (47, 31), (47, 32)):
        path = write(tmp_path / "file.h5", images, reconstruction=False)
        expected = transforms.center_crop(torch.from_numpy(np.abs(images)), size).numpy()
        with h5py.File(path, "a") as file:
            file["reconstruction_esc"] = expected
        (volume,) = FastMRI(False).volumes(tmp_path)
        found = np.stack([np.abs(item.image) for item in volume.slices()])
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_header_without_an_encoding_is_no_fault_beside_a_reconstruction(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    """M4Raw's headers are none of ISMRMRD; its files have the rest of fastMRI's layout."""
    images = oversampled(anatomy)
    write(tmp_path / "file.h5", images, 2, header="<ismrmrdHeader><a>1</a></ismrmrdHeader>")
    (volume,) = FastMRI(False).volumes(tmp_path)
    np.testing.assert_allclose(next(volume.slices()).image, np.abs(centre(images[0])), atol=1e-6)


def test_option_is_checked() -> None:
    with pytest.raises(ConfigurationError, match=r"format\.keep_coils=2: must be true or false"):
        FastMRI(keep_coils=2)  # type: ignore[arg-type]


def test_configuration_gives_this_reader() -> None:
    settings = OmegaConf.load(ROOT / "configs" / "format" / "fastmri.yaml")
    assert instantiate(settings) == FastMRI(keep_coils=False)


def test_figures_of_a_single_coil_are_against_reconstruction_esc(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    """Crops of odd size begin at (n - m) // 2, so that the target is the file's own image."""
    images = oversampled(anatomy)
    path = write(tmp_path / "file.h5", images, header=HEADER.format(x=47, y=31))
    with h5py.File(path, "a") as file:
        del file["reconstruction_esc"]
        esc = np.abs(images[:, 24:71, 4:35]).astype(np.float32)
        file["reconstruction_esc"] = esc
    (volume,) = FastMRI(False).volumes(path)
    form = Form(image_size=None, simulation=Simulation(phase=False, snr=None, seed=0))
    entry = write_prepared(volume, "train", tmp_path, tmp_path / "out", form)
    (item, *_) = SliceDataset([inspect(tmp_path / "out" / entry.file, channels=2)])
    found = np.hypot(*item.target.numpy()) * entry.scale
    np.testing.assert_allclose(found, esc[0], atol=1e-6)
    assert float(item.data_range) * entry.scale == pytest.approx(float(esc.max()), rel=1e-6)


def test_rows_that_fastmri_does_not_measure_are_told(tmp_path: Path, anatomy: np.ndarray) -> None:
    """`fastmri.evaluate` crops target and reconstruction to the square of the target's width."""

    def notes(rows: int, coils: int, **options: bool) -> tuple[str, ...]:
        images = oversampled(anatomy)
        stacked = images if coils == 1 else np.stack([images] * coils, axis=1)
        path = write(tmp_path / "file.h5", stacked, header=HEADER.format(x=rows, y=32))
        with h5py.File(path, "a") as file:
            for key in [key for key in file if key.startswith("reconstruction")]:
                del file[key]
        (volume,) = FastMRI(**({"keep_coils": False} | options)).volumes(path)
        return volume.notes

    (one,) = notes(48, 1)
    assert one.endswith("whole images, 48x32, those of fastmri.evaluate of their middle 32x32")
    (several,) = notes(48, 4)
    assert several == f"{one}; format.keep_coils=true measures as it does"
    assert notes(32, 1) == notes(30, 1) == notes(48, 4, keep_coils=True) == ()
    assert notes(48, 1, undersampled=True) == ()


def test_reconstruction_of_other_kspace_is_named_and_not_used(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    images = oversampled(anatomy)
    path = write(tmp_path / "file.h5", images, coils=3)
    (volume,) = FastMRI(keep_coils=True).volumes(path)
    assert all(item.is_reconstruction and not item.note for item in volume.slices())
    with h5py.File(path, "a") as file:
        file["reconstruction_rss"][1] *= 100
    first, second, _ = volume.slices()
    assert (first.is_reconstruction, second.is_reconstruction) == (True, False)
    assert "reconstruction_rss is not the root sum of squares of its k-space" in str(second.note)
    np.testing.assert_allclose(second.image, np.abs(centre(images[1])), atol=1e-6)
    form = Form(image_size=None, simulation=Simulation(phase=False, snr=None, seed=0))
    entry = write_prepared(volume, "train", tmp_path, tmp_path / "out", form)
    with h5py.File(tmp_path / "out" / entry.file) as file:
        assert file.attrs["measured_against"] == "rss"
    assert any("reconstruction_rss is not" in note for note in entry.notes)

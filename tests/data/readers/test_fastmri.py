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
from kdmri.errors import ConfigurationError, DataError
from kdmri.prepare.checking import check
from kdmri.prepare.writing import Form, write_prepared
from tests.conftest import ROOT
from tests.data.readers.coils import centred_fft2, phased, sensitivities, truncate

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
    write(tmp_path / "bad.h5", oversampled(anatomy), header=header, reconstruction=False)
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

import sys
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from kdmri.data.readers.base import SourceVolume
from kdmri.data.readers.ismrmrd import Ismrmrd
from kdmri.data.readers.who import find_subjects
from kdmri.errors import ConfigurationError, DataError
from tests.conftest import ROOT
from tests.data.readers.coils import centred_fft2, sensitivities, truncate
from tests.data.readers.ismrmrd_files import ROWS, SAMPLES, Scan, centre, header, oversampled


def stacked(volume: SourceVolume) -> np.ndarray:
    return np.stack([item.image for item in volume.slices()])


def only(folder: Path, **options: bool) -> SourceVolume:
    (volume,) = Ismrmrd(**options).volumes(folder)  # type: ignore[arg-type]
    return volume


@pytest.mark.parametrize("coils", [1, 3])
def test_slices_come_back_without_what_is_no_image(
    tmp_path: Path, anatomy: np.ndarray, coils: int
) -> None:
    images = oversampled(anatomy)
    maps = sensitivities(coils, images.shape[1:]) if coils > 1 else np.ones((1, 1, 1))
    coil_images = images[:, None] * maps
    kspace = centred_fft2(coil_images)
    loud = np.full((coils, SAMPLES), 1e3)
    nothing = (
        ismrmrd.ACQ_IS_PARALLEL_CALIBRATION,
        ismrmrd.ACQ_IS_NAVIGATION_DATA,
        ismrmrd.ACQ_IS_PHASECORR_DATA,
        ismrmrd.ACQ_IS_DUMMYSCAN_DATA,
    )
    both = (
        ismrmrd.ACQ_IS_PARALLEL_CALIBRATION,
        ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING,
    )
    with Scan(tmp_path / "scan.h5", header(coils)) as scan:
        scan.line(np.full((coils, 17), 1e3), (ismrmrd.ACQ_IS_NOISE_MEASUREMENT,))
        for flag in nothing:
            scan.line(loud, (flag,), row=20)
        scan.line(loud, row=20, encoding_space_ref=1)
        for row in range(ROWS):
            for number in (2, 0, 1):
                flags = both if abs(row - ROWS // 2) < 4 else ()
                scan.line(kspace[number, :, row], flags, row=row, slice=number)
    volume = only(tmp_path, keep_coils=True)
    assert (volume.name, volume.subject, volume.split) == ("scan", "", None)
    slices = list(volume.slices())
    found = np.stack([item.image for item in slices])
    if coils == 1:
        assert found.dtype == np.complex64
        np.testing.assert_allclose(found, centre(images), atol=1e-5)
        assert {item[1:3] for item in slices} == {(None, None)}
        return
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.abs(centre(images)), atol=1e-5)
    assert "17 samples, do not tell the noise of its 3 coils apart" in volume.notes[-2]
    assert "lines on other encoding spaces than the first of its header" in volume.notes[-1]
    for item, expected in zip(slices, centre(coil_images), strict=True):
        assert item.kspace_coils is not None
        assert item.kspace_coils.dtype == np.complex64
        plain = np.fft.fft2(expected, norm="ortho")
        np.testing.assert_allclose(item.kspace_coils, plain, atol=1e-4)
    assert next(only(tmp_path, keep_coils=False).slices()).kspace_coils is None


def test_averages_are_averaged(tmp_path: Path, anatomy: np.ndarray) -> None:
    images = oversampled(anatomy, 1)
    kspace = centred_fft2(images)
    noise = np.random.default_rng(0).normal(size=kspace.shape)
    with Scan(tmp_path / "scan.mrd", header()) as scan:
        scan.image(kspace + noise, average=0)
        scan.image(kspace - noise, average=1)
    np.testing.assert_allclose(stacked(only(tmp_path)), centre(images), atol=1e-5)


def test_partitions_are_transformed_and_their_oversampling_cut(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    slab = oversampled(anatomy, 10)
    shifted = np.fft.fft(np.fft.ifftshift(slab, axes=0), axis=0, norm="ortho")
    kspace = centred_fft2(np.fft.fftshift(shifted, axes=0))
    xml = header(
        encoded=(SAMPLES, ROWS, 10),
        recon=(40, 48, 8),
        fields=((400, 240, 50), (200, 240, 40)),
        centres=(ROWS // 2, 5),
    )
    with Scan(tmp_path / "scan.h5", xml) as scan:
        for partition in range(10):
            scan.image(kspace[partition, None], kspace_encode_step_2=partition)
    np.testing.assert_allclose(stacked(only(tmp_path)), centre(slab)[1:9], atol=1e-5)


def test_lines_lie_around_the_centre_of_the_limits(tmp_path: Path, anatomy: np.ndarray) -> None:
    """Lines that partial Fourier leaves out count as zero; steps are numbered from the first."""
    kspace = centred_fft2(oversampled(anatomy, 1))
    kspace[:, :10], kspace[:, 45:] = 0, 0
    kspace[..., :8] = 0
    with Scan(tmp_path / "scan.h5", header(centres=(ROWS // 2 - 10, 0))) as scan:
        for row in range(10, 45):
            echo = kspace[:, row, 8:].copy()
            scan.line(echo, row=row - 10, center_sample=SAMPLES // 2 - 8)
    whole = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace[0]), norm="ortho"))
    np.testing.assert_allclose(stacked(only(tmp_path))[0], centre(whole), atol=1e-5)


def test_discarded_samples_count_as_zero(tmp_path: Path, anatomy: np.ndarray) -> None:
    kspace = centred_fft2(oversampled(anatomy, 1))
    kspace[..., :8], kspace[..., -3:] = 1e3, 1e3
    with Scan(tmp_path / "scan.h5", header()) as scan:
        scan.image(kspace, discard_pre=8, discard_post=3)
    kspace[..., :8], kspace[..., -3:] = 0, 0
    whole = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace[0]), norm="ortho"))
    np.testing.assert_allclose(stacked(only(tmp_path))[0], centre(whole), atol=1e-5)


def test_vendors_interpolation_is_not_repeated(tmp_path: Path, anatomy: np.ndarray) -> None:
    images = oversampled(anatomy, 1)
    with Scan(tmp_path / "scan.h5", header(recon=(64, 64, 1))) as scan:
        scan.image(centred_fft2(images))
    np.testing.assert_allclose(stacked(only(tmp_path)), centre(images), atol=1e-5)


def test_rounded_field_of_view_gives_the_headers_matrix(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    images = oversampled(anatomy, 1)
    xml = header(recon=(40, 44, 1), fields=((400, 240, 5), (200, 217, 5)))
    with Scan(tmp_path / "scan.h5", xml) as scan:
        scan.image(centred_fft2(images))
    expected = centre(images)[:, 2:46]
    np.testing.assert_allclose(stacked(only(tmp_path)), expected, atol=1e-5)


def test_repetitions_are_volumes_of_one_subject(tmp_path: Path, anatomy: np.ndarray) -> None:
    images = oversampled(anatomy, 2)
    with Scan(tmp_path / "p1" / "scan.h5", header(repetitions=2)) as scan:
        for repetition in range(2):
            scan.image(centred_fft2(images[repetition, None]), repetition=repetition)
    volumes = find_subjects(Ismrmrd(), tmp_path, None).volumes
    names = [(volume.name, volume.subject) for volume in volumes]
    assert names == [("p1_scan_repetition0", "p1"), ("p1_scan_repetition1", "p1")]
    for volume, image in zip(volumes, images, strict=True):
        np.testing.assert_allclose(stacked(volume), centre(image)[None], atol=1e-5)


def test_files_in_natural_order_of_their_own_group(tmp_path: Path, anatomy: np.ndarray) -> None:
    images = oversampled(anatomy, 1)
    for name in ("train/10", "train/9", "val/11"):
        with Scan(tmp_path / f"{name}.h5", header(), group="scan") as scan:
            scan.image(centred_fft2(images))
    volumes = find_subjects(Ismrmrd(group="scan"), tmp_path, None).volumes
    assert [volume.name for volume in volumes] == ["train_9", "train_10", "val_11"]
    assert [volume.split for volume in volumes] == ["train", "train", "validation"]
    assert [volume.subject for volume in volumes] == ["9", "10", "11"], "not of the header"
    (one,) = Ismrmrd(group="scan").volumes(tmp_path / "val" / "11.h5")
    np.testing.assert_allclose(stacked(one), centre(images), atol=1e-5)
    for volume in Ismrmrd().volumes(tmp_path):
        with pytest.raises(DataError, match=r"no ISMRMRD header dataset/xml \(groups: scan\)"):
            next(volume.slices())


def test_damaged_files_do_not_stop_good_ones(tmp_path: Path, anatomy: np.ndarray) -> None:
    images = oversampled(anatomy, 1)
    headers = {
        "a_good": header(),
        "b_truncated": header(),
        "c_radial": header(trajectory="radial"),
        "d_bomb": '<!DOCTYPE a [<!ENTITY a "a">]>' + header().partition("?>")[2],
        "e_empty": header(),
        "f_good": header(),
    }
    for name, xml in headers.items():
        with Scan(tmp_path / f"{name}.h5", xml) as scan:
            scan.image(centred_fft2(images))
    truncate(tmp_path / "b_truncated.h5")
    with h5py.File(tmp_path / "e_empty.h5", "a") as file:
        del file["dataset/data"]
    first, *broken, last = Ismrmrd().volumes(tmp_path)
    for good in (first, last):
        np.testing.assert_allclose(stacked(good), centre(images), atol=1e-5)
    reasons = ["truncated", "trajectory is radial; only cartesian", "document type", "data"]
    assert [volume.name for volume in broken] == list(headers)[1:-1]
    for volume, reason in zip(broken, reasons, strict=True):
        with pytest.raises(DataError, match=rf"{volume.name}\.h5: .*{reason}"):
            next(volume.slices())


def test_acquisitions_that_are_not_there_are_no_zeros(tmp_path: Path, anatomy: np.ndarray) -> None:
    path = tmp_path / "scan.h5"
    with Scan(path, header()) as scan:
        scan.image(centred_fft2(oversampled(anatomy, 1)))
    with h5py.File(path, "a") as file:
        count = len(file["dataset/data"])
        file["dataset/data"].resize((100_000,))
    message = rf"scan\.h5: dataset/data declares 100000 acquisitions, of which {count} are there"
    with pytest.raises(DataError, match=message):
        stacked(only(tmp_path))


def test_more_volumes_than_acquisitions_are_one_error(tmp_path: Path, anatomy: np.ndarray) -> None:
    with Scan(tmp_path / "scan.h5", header(repetitions=32768)) as scan:
        scan.image(centred_fft2(oversampled(anatomy, 1)))
    message = (
        r"scan\.h5: its header declares 32768 volumes \(repetition\), and the file has \d+ acq"
    )
    with pytest.raises(DataError, match=message):
        stacked(only(tmp_path))


@pytest.mark.parametrize("number", [0, 30])
def test_a_line_that_is_longer_than_its_file_takes_no_memory(
    tmp_path: Path, anatomy: np.ndarray, number: int
) -> None:
    """HDF5 would take 16 GiB for it, and find then that it is not there."""
    path = tmp_path / "scan.h5"
    with Scan(path, header()) as scan:
        scan.image(centred_fft2(oversampled(anatomy, 1)))
    with h5py.File(path) as file:
        stored = file["dataset/data"].id
        part = stored.get_type().get_member_offset(2)
        place = stored.get_chunk_info(number).byte_offset + part
    data = bytearray(path.read_bytes())
    assert int.from_bytes(data[place : place + 4], "little") == 2 * SAMPLES
    data[place : place + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    message = r"scan\.h5: dataset/data is damaged: it declares more text or data than the file"
    with pytest.raises(DataError, match=message):
        stacked(only(tmp_path))


def test_file_is_opened_for_reading_only(tmp_path: Path, anatomy: np.ndarray) -> None:
    path = tmp_path / "scan.h5"
    images = oversampled(anatomy, 1)
    with Scan(path, header()) as scan:
        scan.image(centred_fft2(images))
    with h5py.File(path, "r"):  # HDF5 refuses to open it for writing now
        np.testing.assert_allclose(stacked(only(tmp_path)), centre(images), atol=1e-5)


def test_missing_package_is_named_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ismrmrd", None)
    with pytest.raises(ConfigurationError, match=r"ismrmrd.*pip install 'kdmri\[prepare\]'"):
        list(Ismrmrd().volumes(tmp_path))


def test_empty_directory_is_named_with_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"{tmp_path}: found no ISMRMRD files \(\.h5, \.mrd\)"):
        list(Ismrmrd().volumes(tmp_path))


@pytest.mark.parametrize("options", [{"group": ""}, {"group": 3}, {"keep_coils": "no"}])
def test_options_are_checked(options: dict[str, object]) -> None:
    (key,) = options
    with pytest.raises(ConfigurationError, match=rf"format\.{key}={options[key]}: must"):
        Ismrmrd(**options)  # type: ignore[arg-type]


def test_configuration_gives_this_reader() -> None:
    settings = OmegaConf.load(ROOT / "configs" / "format" / "ismrmrd.yaml")
    assert instantiate(settings) == Ismrmrd(group="dataset", keep_coils=False)

"""BART's layout (mrirecon.github.io/bart, `src/misc/mri.h`), and its own files if it is there."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from kdmri.data.readers.base import SourceVolume
from kdmri.data.readers.cfl import Cfl
from kdmri.data.readers.detect import detect
from kdmri.errors import ConfigurationError, DataError
from tests.conftest import ROOT
from tests.data.readers.coils import centred_fft2, phased, sensitivities


def write(path: Path, values: np.ndarray, dimensions: dict[int, int]) -> None:
    """Write an array whose axes are the dimensions named, each with its size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = [dimensions.get(number, 1) for number in range(16)]
    path.with_suffix(".hdr").write_text(f"# Dimensions\n{' '.join(map(str, shape))} \n# Creator\n")
    order = sorted(range(values.ndim), key=list(dimensions).__getitem__)
    whole = np.transpose(values, order).astype(np.complex64)
    path.with_suffix(".cfl").write_bytes(whole.tobytes(order="F"))


def only(path: Path, **options: Any) -> SourceVolume:
    (volume,) = Cfl(**options).volumes(path)
    return volume


def coils_of(anatomy: np.ndarray, coils: int = 3) -> np.ndarray:
    """Two slices of coil images, complex64 (2, coils, 48, 40)."""
    images = phased(anatomy, slice(10, 12))
    return (images[:, None] * sensitivities(coils, (48, 40))).astype(np.complex64)


def test_slices_of_several_coils_come_back(tmp_path: Path, anatomy: np.ndarray) -> None:
    images = coils_of(anatomy)
    write(tmp_path / "anna" / "scan", centred_fft2(images), {13: 2, 3: 3, 0: 48, 1: 40})
    volume = only(tmp_path, keep_coils=True)
    assert (volume.name, detect(tmp_path)) == ("anna_scan", "cfl")
    items = list(volume.slices())
    assert len(items) == 2
    for item, expected in zip(items, images, strict=True):
        np.testing.assert_allclose(item.image, np.linalg.norm(expected, axis=0), atol=1e-5)
        kspace = np.fft.fft2(expected, norm="ortho")
        np.testing.assert_allclose(item.kspace_coils, kspace, atol=1e-4)
        assert item.note == ""
    assert next(only(tmp_path).slices()).kspace_coils is None


def test_one_coil_gives_its_complex_image(tmp_path: Path, anatomy: np.ndarray) -> None:
    images = phased(anatomy, slice(10, 11))
    write(tmp_path / "scan", centred_fft2(images)[0], {0: 48, 1: 40})
    for options in ({}, {"keep_coils": True}, {"undersampled": True}):
        item = next(only(tmp_path, **options).slices())
        np.testing.assert_allclose(item.image, images[0], atol=1e-5)
        assert item.kspace_coils is None
        assert (item.mask is None) == ("undersampled" not in options)


def test_sensitivities_are_read_and_of_unit_norm(tmp_path: Path, anatomy: np.ndarray) -> None:
    images, maps = coils_of(anatomy), sensitivities(3, (48, 40)) * 3
    maps[:, :4] = 0
    for name in ("a", "b"):
        write(tmp_path / name, centred_fft2(images[0]), {3: 3, 0: 48, 1: 40})
        write(tmp_path / f"{name}_sens", maps, {3: 3, 0: 48, 1: 40})
    volumes = list(Cfl("*_sens", keep_coils=True).volumes(tmp_path))
    assert [volume.name.rpartition("_")[2] for volume in volumes] == ["a", "b"]
    assert len(volumes[0].files) == 4
    item = next(volumes[1].slices())
    np.testing.assert_allclose(item.sensitivities, np.where(maps, maps / 3, 0), atol=1e-5)
    expected = (maps.conj() / 3 * images[0]).sum(axis=0)
    np.testing.assert_allclose(item.image, expected, atol=1e-5)
    write(tmp_path / "b_sens", maps[:2], {3: 2, 0: 48, 1: 40})
    with pytest.raises(DataError, match=r"b_sens\.cfl: sensitivities have .*\(2, 48, 40\), k-spac"):
        next(volumes[1].slices())
    write(tmp_path / "b_sens", np.stack((maps, maps)), {4: 2, 3: 3, 0: 48, 1: 40})
    with pytest.raises(DataError, match=r"b_sens\.cfl: holds 2 sets .* bart ecalib -m1"):
        next(volumes[1].slices())


def test_second_phase_encoding_makes_the_readout_the_slices(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    """Both phase encodings are sampled by a disc: a mask lies on their plane."""
    images = coils_of(anatomy, 2)
    images = np.stack([images, images[::-1] / 2]).reshape(4, 2, 48, 40)
    shifted = np.fft.fft(np.fft.ifftshift(images, 0), axis=0, norm="ortho")
    kspace = centred_fft2(np.fft.fftshift(shifted, 0))
    mask = np.random.default_rng(0).random((48, 40)) < 0.4
    mask[20:28, 16:24] = True
    write(tmp_path / "scan", kspace, {0: 4, 3: 2, 1: 48, 2: 40})
    for item, expected in zip(only(tmp_path).slices(), images, strict=True):
        np.testing.assert_allclose(item.image, np.linalg.norm(expected, axis=0), atol=1e-5)
    write(tmp_path / "scan", kspace * mask, {0: 4, 3: 2, 1: 48, 2: 40})
    with pytest.raises(DataError, match=r"scan\.cfl: its k-space is undersampled"):
        next(only(tmp_path, keep_coils=True).slices())
    for item, expected in zip(only(tmp_path, undersampled=True).slices(), images, strict=True):
        assert item.mask is not None
        np.testing.assert_array_equal(np.fft.fftshift(item.mask), mask)
        plain = np.fft.fft2(expected, norm="ortho") * item.mask
        np.testing.assert_allclose(item.kspace_coils, plain, atol=1e-4)


def test_other_dimensions_are_volumes(tmp_path: Path, anatomy: np.ndarray) -> None:
    images = coils_of(anatomy)
    write(tmp_path / "scan", centred_fft2(images), {10: 2, 3: 3, 0: 48, 1: 40})
    volumes = list(Cfl().volumes(tmp_path / "scan.cfl"))
    assert [volume.name.partition("scan")[2] for volume in volumes] == ["_time0", "_time1"]
    for volume, expected in zip(volumes, images, strict=True):
        (item,) = volume.slices()
        np.testing.assert_allclose(item.image, np.linalg.norm(expected, axis=0), atol=1e-5)


BAD = {
    "no header": ("rm", r"bad\.hdr is missing beside it"),
    "empty header": ("", r"bad\.hdr has no dimensions"),
    "words": ("# Dimensions\nmany\n", r"bad\.hdr has no dimensions"),
    "negative": ("# Dimensions\n-1 8 1 2\n", r"bad\.hdr has no dimensions"),
    "no coils": ("# Dimensions\n8 8 1 0\n", "none may be 0"),
    "larger": ("# Dimensions\n8 8 1 3\n", "tells of 1,536 bytes, the file has 1,024; is it cut"),
    "huge": (f"# Dimensions\n{'9' * 18} {'9' * 18}\n", "is it cut off"),
}


@pytest.mark.parametrize("kind", BAD)
def test_headers_that_cannot_be_used_are_told(tmp_path: Path, kind: str) -> None:
    text, message = BAD[kind]
    write(tmp_path / "bad", np.ones((2, 8, 8)), {3: 2, 0: 8, 1: 8})
    header = tmp_path / "bad.hdr"
    if text == "rm":
        header.unlink()
    else:
        header.write_text(text)
    with pytest.raises(DataError, match=rf"bad\.cfl: .*{message}"):
        next(only(tmp_path).slices())


def test_kspace_that_is_not_in_the_middle_is_refused(tmp_path: Path, anatomy: np.ndarray) -> None:
    plain = np.fft.fft2(coils_of(anatomy)[0], norm="ortho")
    write(tmp_path / "bad", plain, {3: 3, 0: 48, 1: 40})
    with pytest.raises(DataError, match=r"bad\.cfl: .* bart fftshift"):
        next(only(tmp_path).slices())


def test_only_maps_are_no_kspace(tmp_path: Path) -> None:
    write(tmp_path / "sens", np.ones((2, 8, 8)), {3: 2, 0: 8, 1: 8})
    with pytest.raises(DataError, match="but those of sensitivities"):
        list(Cfl("sens").volumes(tmp_path))


@pytest.mark.parametrize(
    "options", [{"sensitivities": 3}, {"sensitivities": "a/b"}, {"keep_coils": 1}]
)
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"format\.(sensitivities|keep_coils)="):
        Cfl(**options)


def test_configuration_gives_this_reader() -> None:
    assert instantiate(OmegaConf.load(ROOT / "configs" / "format" / "cfl.yaml")) == Cfl()


@pytest.mark.skipif(shutil.which("bart") is None, reason="needs the program bart")
def test_barts_phantom_and_its_own_images(tmp_path: Path) -> None:
    """Its k-space, its inverse transform and combination, and its maps of the same size."""

    def bart(*words: str) -> None:
        subprocess.run(["bart", *words], cwd=tmp_path, check=True, capture_output=True)

    bart("phantom", "-k", "-s8", "-x", "64", "scan")
    bart("fft", "-iu", "3", "scan", "images")
    bart("rss", "8", "images", "combined")
    bart("ecalib", "-m1", "-c0", "-r24", "scan", "scan_sens")
    (volume,) = Cfl("*_sens", keep_coils=True).volumes(tmp_path / "scan.cfl")
    (item,) = volume.slices()
    shape = (64, 64, 8)
    images = np.fromfile(tmp_path / "images.cfl", np.complex64).reshape(shape, order="F")
    combined = np.fromfile(tmp_path / "combined.cfl", np.complex64).reshape(shape[:2], order="F")
    assert item.kspace_coils is not None
    found = np.fft.ifft2(item.kspace_coils, norm="ortho")
    largest = np.abs(images).max()
    np.testing.assert_allclose(found, np.moveaxis(images, -1, 0), atol=1e-5 * largest)
    plain = next(only(tmp_path / "scan.cfl").slices())
    np.testing.assert_allclose(plain.image, combined.real, atol=1e-5 * combined.real.max())
    assert item.sensitivities is not None
    maps = np.fromfile(tmp_path / "scan_sens.cfl", np.complex64).reshape(shape, order="F")
    np.testing.assert_allclose(item.sensitivities, np.moveaxis(maps, -1, 0), atol=1e-5)
    inside = combined.real > 0.2 * combined.real.max()
    ratio = np.abs(item.image)[inside] / combined.real[inside]
    assert np.quantile(ratio, 0.05) > 0.98, "the maps are of these coils"

"""What is no image, damaged, odd or cannot be decoded, in files that pydicom ships among others."""

import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import config
from pydicom.pixels import get_decoder
from pydicom.uid import DeflatedExplicitVRLittleEndian

from kdmri.data.readers.dicom_headers import read_header
from kdmri.errors import DataError
from tests.conftest import ROOT
from tests.data.readers.dicom_files import (
    SHIPPED,
    expected,
    image,
    read,
    read_one,
    save,
    save_series,
    volumes,
)


def test_what_is_no_grey_image_is_passed_over(tmp_path: Path) -> None:
    others = ("rtdose", "rtplan", "rtstruct", "test-SR", "waveform_ecg", "liver_1frame")
    colours = ("SC_rgb_rle", "SC_rgb_jpeg_dcmtk", "examples_palette", "examples_ybr_color")
    for name in (*others, *colours):
        shutil.copy(SHIPPED / f"{name}.dcm", tmp_path)
    shutil.copy(SHIPPED / "dicomdirtests" / "DICOMDIR", tmp_path)
    shutil.copy(SHIPPED / "README.txt", tmp_path)
    (tmp_path / "empty.dcm").touch()
    with pytest.raises(DataError, match=rf"{tmp_path.name}: found no DICOM files of magnitude"):
        volumes(tmp_path)
    shutil.copy(SHIPPED / "MR_small.dcm", tmp_path)
    (volume,) = volumes(tmp_path)
    assert volume.files == (tmp_path / "MR_small.dcm",)


@pytest.mark.parametrize("there", [True, False])
def test_nothing_there(tmp_path: Path, there: bool) -> None:
    source = tmp_path
    if there:
        source = tmp_path / "notes.txt"
        source.write_text("DICM" * 100)
    with pytest.raises(DataError, match=rf"{source.name}: found no DICOM"):
        volumes(source)


SAME_IMAGES = (
    *("MR_small_RLE", "MR_small_jp2klossless", "MR_small_jpeg_ls_lossless", "MR_small_bigendian"),
    *("MR_small_implicit", "MR_small_expb", "MR_small_padded"),
)


@pytest.mark.parametrize("name", SAME_IMAGES)
def test_shipped_variants_hold_the_same_image(name: str) -> None:
    path = SHIPPED / f"{name}.dcm"
    syntax = pydicom.dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID
    if not get_decoder(syntax).is_available:
        pytest.skip(f"nothing installed decodes {syntax.name}")
    plain = read_one(SHIPPED / "MR_small.dcm")
    assert plain.shape == (64, 64, 1)
    first_values = np.frombuffer(pydicom.dcmread(SHIPPED / "MR_small.dcm").PixelData, "<i2")
    np.testing.assert_array_equal(plain.ravel(), first_values)
    np.testing.assert_array_equal(read_one(path), plain)


def deflated(path: Path) -> Path:
    """Write the image that pydicom ships with a deflated data set."""
    made = pydicom.dcmread(SHIPPED / "MR_small.dcm")
    made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    made.save_as(path)
    return path


def test_deflated_file(tmp_path: Path) -> None:
    path = deflated(tmp_path / "deflated")
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
    np.testing.assert_array_equal(read_one(path), read_one(SHIPPED / "MR_small.dcm"))


def test_odd_values_are_read_in_silence(
    tmp_path: Path, stored: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    with config.disable_value_validation():
        made = image(stored[:, :, 20], PatientID="Doe, Jane " * 8, SeriesInstanceUID="1.02.x")
        save(made, tmp_path / "a")
    np.testing.assert_array_equal(read_one(tmp_path)[:, :, 0], expected(stored[:, :, 20]))
    assert caplog.text == "", "pydicom's warnings quote the values"


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


@pytest.mark.parametrize("compress", [False, True])
def test_slices_are_read_as_their_turn_comes(
    tmp_path: Path, stored: np.ndarray, compress: bool
) -> None:
    paths = save_series(tmp_path, stored[:, :, 10:15], compress)
    cut(paths[3], paths[3].stat().st_size - 100)
    (volume,) = volumes(tmp_path)
    slices = volume.slices()
    for n in range(3):
        np.testing.assert_array_equal(next(slices).image, expected(stored[:, :, 10 + n]))
    with pytest.raises(DataError, match=rf"{paths[3].name}: pixel data cut off, damaged"):
        next(slices)


@pytest.mark.parametrize("name", ["MR_small", *SAME_IMAGES[:5], "deflated"])
def test_cut_files_never_give_an_image(tmp_path: Path, name: str) -> None:
    made = deflated(tmp_path / name) if name == "deflated" else SHIPPED / f"{name}.dcm"
    whole = made.read_bytes()
    path = tmp_path / "cut"
    for share in np.linspace(0.1, 0.95, 12):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(DataError, match=f"{path}: "):
            read_one(path)


def test_damaged_run_lengths_end_in_no_panic(tmp_path: Path) -> None:
    """pylibjpeg-rle 2.2 panics at this byte, which no `except Exception` catches.

    Run lengths have no checksum: an image of other values is what any decoder can give.
    """
    whole = bytearray((SHIPPED / "MR_small_RLE.dcm").read_bytes())
    item = bytes.fromhex("feff00e0")
    frame = whole.index(item, whole.index(item, whole.index(bytes.fromhex("e07f1000"))) + 1) + 8
    whole[frame + 1896] = 191
    (tmp_path / "a").write_bytes(whole)
    damaged, plain = read_one(tmp_path / "a"), read_one(SHIPPED / "MR_small.dcm")
    assert damaged.shape == plain.shape
    assert (damaged != plain).any()


def test_header_values_that_are_no_numbers_of_images_are_named(
    tmp_path: Path, stored: np.ndarray
) -> None:
    save(image(stored[:, :, 0], Rows=[48, 40]), tmp_path / "a")
    save(image(stored[:, :, 0], 0, InstanceNumber=777), tmp_path / "b")
    whole = (tmp_path / "b").read_bytes()
    (tmp_path / "b").write_bytes(whole.replace(b"IS\x04\x00777 ", b"IS\x04\x00inf "))
    assert (tmp_path / "b").read_bytes() != whole
    save_series(tmp_path / "c", stored[:, :, :3])
    found, *broken = volumes(tmp_path)
    np.testing.assert_array_equal(read(found), expected(stored[:, :, :3]))
    assert [volume.files[0].name for volume in broken] == ["a", "b"]
    for volume in broken:
        with pytest.raises(DataError, match=rf"{volume.files[0]}: "):
            read(volume)


def test_cut_header_leaves_the_others(tmp_path: Path, stored: np.ndarray) -> None:
    paths = save_series(tmp_path, stored[:, :, :5])
    cut(paths[2], 600)
    whole, broken = volumes(tmp_path)
    np.testing.assert_array_equal(read(whole), expected(stored[:, :, [0, 1, 3, 4]]))
    assert broken.files == (paths[2],)
    with pytest.raises(DataError, match=rf"{paths[2]}: an image without Rows"):
        read(broken)


def test_mixed_shapes_are_named(tmp_path: Path, stored: np.ndarray) -> None:
    save(image(stored[:, :, 0], 0), tmp_path / "a.dcm")
    save(image(stored[:, 2:, 1], 1), tmp_path / "b.dcm")
    (volume,) = volumes(tmp_path)
    with pytest.raises(DataError, match=r"b\.dcm.*\(48, 38\).*a\.dcm.*\(48, 40\)"):
        read(volume)


def test_mosaic_is_refused(tmp_path: Path, stored: np.ndarray) -> None:
    kinds = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    save(image(stored[:, :, 0], ImageType=kinds), tmp_path / "a.dcm")
    with pytest.raises(DataError, match=r"a\.dcm: a mosaic of slices"):
        read_one(tmp_path)


READ = """
import sys
for name in {missing!r}:
    sys.modules[name] = None  # as if it were not installed
from pathlib import Path
from kdmri.data.readers.dicom import Dicom
from kdmri.errors import DataError
try:
    for volume in Dicom().volumes(Path({path!r})):
        list(volume.slices())
except DataError as error:
    print(error)
"""


def read_without(path: Path, *missing: str) -> str:
    """Read a file in a process in which packages are missing; returns the error."""
    code = READ.format(missing=missing, path=str(path))
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_missing_decoder_is_named() -> None:
    path = SHIPPED / "MR_small_jpeg_ls_lossless.dcm"
    error = read_without(path, "pylibjpeg", "libjpeg", "jpeg_ls", "gdcm")
    assert str(path) in error
    assert "JPEG-LS Lossless Image Compression" in error
    assert "pylibjpeg-libjpeg" in error


def test_missing_pydicom_is_named() -> None:
    error = read_without(SHIPPED / "MR_small.dcm", "pydicom")
    assert "pydicom" in error
    assert "pip install 'kdmri[prepare]'" in error


def test_length_beyond_the_file_takes_no_memory(tmp_path: Path) -> None:
    """Python takes what is asked for before it reads: 4 GiB for 10 kB."""
    path = tmp_path / "1.dcm"
    stored = bytearray((SHIPPED / "MR_small.dcm").read_bytes())
    here = stored.index(b"\xe0\x7f\x10\x00OW")
    stored[here : here + 12] = b"\x43\x00\x29\x10OW\x00\x00\xf0\xff\xff\xff"  # a private element
    path.write_bytes(stored)
    tracemalloc.start()
    try:
        header = read_header(path)
        _, largest = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert header is not None
    assert largest < 2**26

"""Calibration lines of ISMRMRD files: apart, on other spaces, and as part of the image."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from kdmri.data.readers.ismrmrd import Ismrmrd
from kdmri.errors import DataError
from tests.data.readers.coils import centred_fft2
from tests.data.readers.ismrmrd_files import ROWS, Scan, centre, header
from tests.data.readers.ismrmrd_scans import (
    BOTH,
    CALIBRATION,
    COILS,
    NOISE,
    coil_images,
    first,
    only,
    white,
)


def test_undersampled_scan_with_calibration_lines_of_its_own(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    """Every third line; eight more in the middle calibrate, of which three are image lines, too."""
    images = coil_images(anatomy)
    kspace = centred_fft2(images)
    middle = range(ROWS // 2 - 4, ROWS // 2 + 4)
    with Scan(tmp_path / "a.h5", header(COILS)) as scan:
        scan.line(white((COILS, 40_000)), NOISE)
        for row in range(ROWS):
            flags = BOTH if row % 3 == 0 else CALIBRATION
            if row % 3 == 0 and row not in middle:
                flags = ()
            if row % 3 == 0 or row in middle:
                scan.line(kspace[:, row], flags, row=row)
    for options in ({}, {"keep_coils": True}):
        with pytest.raises(DataError, match="its k-space is undersampled"):
            first(tmp_path, **options)
    item = first(tmp_path, undersampled=True)
    assert item.note is None
    assert item.mask is not None
    assert item.kspace_coils is not None
    assert item.calibration is not None
    rows = np.fft.fftshift(item.mask, (0, 1))
    np.testing.assert_array_equal(rows, np.repeat(np.arange(ROWS) % 3 == 0, 40).reshape(ROWS, 40))
    whole = np.fft.fft2(centre(images), norm="ortho")
    scale = np.abs(whole).max()
    np.testing.assert_allclose(item.kspace_coils, whole * item.mask, atol=0.03 * scale)
    in_middle = np.fft.ifftshift(np.isin(range(ROWS), middle))[:, None]
    np.testing.assert_allclose(item.calibration, whole * in_middle, atol=0.03 * scale)
    assert item.calibration.dtype == item.kspace_coils.dtype == np.complex64
    assert not item.calibration[:, ~in_middle[:, 0]].any()


def test_calibration_that_was_acquired_once_counts_for_all_repetitions(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    kspace = centred_fft2(coil_images(anatomy))
    with Scan(tmp_path / "a.h5", header(COILS, repetitions=2)) as scan:
        for row in range(20, 28):
            scan.line(kspace[:, row], CALIBRATION, row=row)
        for repetition in range(2):
            for row in range(0, ROWS, 2):
                scan.line(kspace[:, row], row=row, repetition=repetition)
    volumes = list(Ismrmrd(undersampled=True).volumes(tmp_path))
    assert len(volumes) == 2
    found = [next(volume.slices()).calibration for volume in volumes]
    assert found[0] is not None
    assert np.abs(found[0]).any(axis=(0, 2)).sum() == 8
    np.testing.assert_array_equal(*found)


def test_calibration_on_another_encoding_space_is_left_out_with_a_note(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    kspace = centred_fft2(coil_images(anatomy))
    for name, place in (("other", 1), ("own", 0)):
        with Scan(tmp_path / f"{name}.h5", header(COILS)) as scan:
            for row in range(20, 28):
                scan.line(9 * kspace[:, row], CALIBRATION, row=row, encoding_space_ref=place)
            for row in [*range(0, 20, 2), *range(20, 28), *range(28, ROWS, 2)]:
                scan.line(kspace[:, row], row=row)
    other = only(tmp_path / "other.h5", undersampled=True)
    (note,) = other.notes
    assert "other.h5: its calibration lines are on an encoding space of their own" in note
    assert next(other.slices()).calibration is None
    own = only(tmp_path / "own.h5", undersampled=True)
    assert own.notes == ()
    assert next(own.slices()).calibration is not None
    assert only(tmp_path / "other.h5").notes == (), "where no coils are asked for, nothing is lost"


@pytest.mark.skipif(
    shutil.which("ismrmrd_generate_cartesian_shepp_logan") is None,
    reason="needs the program of ismrmrd-tools",
)
def test_undersampled_scan_of_ismrmrds_own_program(tmp_path: Path) -> None:
    """Noise of its own, every second line and the 16 of the middle, all of them of the image.

    Its header says that calibration is interleaved, so lines that only calibrate are of the image.
    """
    path = tmp_path / "scan.h5"
    words = ["-m", "64", "-c", "6", "-a", "2", "-w", "16", "-C", "-o", str(path)]
    subprocess.run(
        ["ismrmrd_generate_cartesian_shepp_logan", *words], check=True, capture_output=True
    )
    volume = next(iter(Ismrmrd(undersampled=True).volumes(path)))
    assert "its 6 coils are whitened by" in volume.notes[-1]
    item = next(volume.slices())
    assert item.mask is not None
    assert item.calibration is not None
    assert int(item.mask[:, 0].sum()) == 32 + 8
    calibrated = np.abs(np.fft.fftshift(item.calibration, (-2, -1))).any(axis=(0, 2))
    assert np.flatnonzero(calibrated).tolist() == list(range(24, 40))


@pytest.mark.parametrize(
    ("mode", "measured"),
    [("embedded", 16 + 10), ("interleaved", 16 + 10), ("separate", 16), ("other", 16), (None, 16)],
)
def test_calibration_lines_of_the_images_own_acquisition_are_lines_of_it(
    tmp_path: Path, anatomy: np.ndarray, mode: str | None, measured: int
) -> None:
    """The zero frequency is among them: such a scan has no image without them."""
    kspace = centred_fft2(coil_images(anatomy))
    middle = range(ROWS // 2 - 7, ROWS // 2 + 7)
    imaging = range(1 if mode in ("embedded", "interleaved") else 0, ROWS, 3)
    with Scan(tmp_path / "scan.h5", header(COILS, calibration=mode)) as scan:
        for row in sorted({*imaging, *middle}):
            flags = () if row not in middle else BOTH if row in imaging else CALIBRATION
            scan.line(kspace[:, row], flags, row=row)
    item = first(tmp_path / "scan.h5", undersampled=True)
    assert item.mask is not None
    assert item.calibration is not None
    assert int(item.mask[:, 0].sum()) == measured
    calibrated = np.fft.fftshift(item.calibration.any(axis=(0, 2)))
    assert np.flatnonzero(calibrated).tolist() == list(middle)
    rows = np.fft.ifftshift(np.isin(range(ROWS), middle)) & (item.mask[:, 0] > 0)
    assert item.kspace_coils is not None
    given, again = item.kspace_coils[:, rows], item.calibration[:, rows]
    np.testing.assert_allclose(given, again, atol=1e-5 * np.abs(given).max())

"""Several coils of ISMRMRD files: noise, calibration lines, and what was not measured of them.

The order of noise, calibration and images is that of the vendors' converters.
"""

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest

from kdmri.errors import DataError
from tests.data.readers.coils import centred_fft2
from tests.data.readers.ismrmrd_files import ROWS, SAMPLES, Scan, centre, header
from tests.data.readers.ismrmrd_scans import (
    CALIBRATION,
    COILS,
    NOISE,
    coil_images,
    first,
    only,
    white,
)


def write(path: Path, kspace: np.ndarray, rows: Iterable[int], **idx: int) -> None:
    with Scan(path, header(len(kspace))) as scan:
        for row in rows:
            scan.line(kspace[:, row], row=row, **idx)


class Timed(Scan):
    """Writes lines with a dwell time in microseconds."""

    dwell = 5.0

    def line(self, data: np.ndarray, flags: tuple[int, ...] = (), **idx: int) -> None:
        made = ismrmrd.Acquisition.from_array(np.ascontiguousarray(data, np.complex64))
        made.sample_time_us, made.center_sample = self.dwell, data.shape[1] // 2
        for flag in flags:
            made.set_flag(flag)
        made.idx.kspace_encode_step_1 = idx.pop("row", 0)
        for name, value in idx.items():
            setattr(made.idx, name, value)
        self.dataset.append_acquisition(made)


@pytest.mark.parametrize("bandwidth", [None, 0.8])
def test_noise_of_known_covariance_comes_out_white(tmp_path: Path, bandwidth: float | None) -> None:
    """Noise is sampled at another rate than the lines, of which each is noise alone."""
    mixing = np.eye(COILS) + 0.5 * white((COILS, COILS))
    mixing = mixing * np.array([1.0, 3.0, 0.2, 10.0])[:, None] * 1e-5
    draws = white((COILS, 40_000 + 16 * ROWS * SAMPLES))
    noise, lines = np.split(mixing @ draws, [40_000], axis=1)
    lines = lines.reshape(COILS, 16, ROWS, SAMPLES) * np.sqrt(5 / 2)  # a shorter dwell time
    xml = header(COILS, recon=(SAMPLES, ROWS, 1), fields=((400, 240, 5), (400, 240, 5)))
    if bandwidth is not None:
        told = f"<relativeReceiverNoiseBandwidth>{bandwidth}</relativeReceiverNoiseBandwidth>"
        # The receiver's filter takes from the noise, which lies in all of its band, not from lines.
        noise = noise * np.sqrt(bandwidth)
        xml = xml.replace("<receiverChannels>", f"{told}<receiverChannels>")
    with Timed(tmp_path / "a.h5", xml) as scan:
        for part in np.split(noise, 4, axis=1):
            scan.line(part, NOISE)
        scan.dwell = 2.0
        for number in range(16):
            for row in range(ROWS):
                scan.line(lines[:, number, row], row=row, slice=number)
    volume = only(tmp_path, keep_coils=True)
    assert "its 4 coils are whitened by 40000 samples of noise" in volume.notes[-1]
    kspace = np.stack([item.kspace_coils for item in volume.slices()], axis=1).reshape(COILS, -1)
    covariance = kspace @ kspace.conj().T / kspace.shape[1]
    np.testing.assert_allclose(np.diag(covariance).real, 1, atol=0.03)
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 0.02


def test_whitened_coils_show_the_same_anatomy(tmp_path: Path, anatomy: np.ndarray) -> None:
    """Independent noise of one power scales all coils alike: images are those without, scaled."""
    kspace = centred_fft2(coil_images(anatomy))
    write(tmp_path / "without.h5", kspace, range(ROWS))
    with Scan(tmp_path / "with.h5", header(COILS)) as scan:
        scan.line(0.5 * white((COILS, 30_000)), NOISE)
        for row in range(ROWS):
            scan.line(kspace[:, row], row=row)
    without, whitened = (first(tmp_path / f"{name}.h5").image for name in ("without", "with"))
    np.testing.assert_allclose(whitened, 2 * without, atol=0.02 * whitened.max())
    item = first(tmp_path / "with.h5", keep_coils=True)
    seen = np.linalg.norm(np.fft.ifft2(item.kspace_coils, norm="ortho"), axis=0)
    np.testing.assert_allclose(seen, item.image, atol=1e-5 * seen.max())


def test_dead_coil_is_left_as_it_is_by_whitening(tmp_path: Path, anatomy: np.ndarray) -> None:
    kspace, noise = centred_fft2(coil_images(anatomy)), white((COILS, 5_000))
    kspace[2], noise[2] = 0, 0
    with Scan(tmp_path / "a.h5", header(COILS)) as scan:
        scan.line(noise, NOISE)
        for row in range(ROWS):
            scan.line(kspace[:, row], row=row)
    item = first(tmp_path, keep_coils=True)
    assert item.kspace_coils is not None
    assert [bool(coil.any()) for coil in item.kspace_coils] == [True, True, False, True]


def test_kspace_is_on_the_acquired_grid_and_its_middle_is_shown(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    """32 of 48 rows are shown: the image is cropped, k-space is not."""
    images = coil_images(anatomy)
    xml = header(COILS, recon=(40, 32, 1), fields=((400, 240, 5), (200, 160, 5)))
    with Scan(tmp_path / "a.h5", xml) as scan:
        scan.image(centred_fft2(images))
    item = first(tmp_path, keep_coils=True)
    expected = centre(images)
    np.testing.assert_allclose(
        item.image, np.linalg.norm(expected, axis=0)[8:40], atol=1e-5 * np.abs(expected).max()
    )
    np.testing.assert_allclose(item.kspace_coils, np.fft.fft2(expected, norm="ortho"), atol=1e-4)


@pytest.mark.parametrize("options", [{"keep_coils": True}, {"undersampled": True}])
def test_partial_fourier_and_asymmetric_echo_are_not_measured(
    tmp_path: Path, anatomy: np.ndarray, options: dict[str, bool]
) -> None:
    kspace = centred_fft2(coil_images(anatomy))
    with Scan(tmp_path / "a.h5", header(COILS)) as scan:
        for row in range(10, ROWS):
            scan.line(kspace[:, row, 16:], row=row, center_sample=SAMPLES // 2 - 16)
    item = first(tmp_path, **options)
    assert item.kspace_coils is not None
    assert item.kspace_coils.shape == (COILS, ROWS, SAMPLES), "the readout is kept whole"
    stored = np.fft.fftshift(item.kspace_coils, (-2, -1))
    assert not stored[:, :10].any()
    assert not stored[..., :16].any()
    assert np.abs(stored[:, 10:, 16:]).min() > 0
    np.testing.assert_allclose(np.abs(stored[:, 10:, 16:]), np.abs(kspace[:, 10:, 16:]), atol=1e-4)
    if "undersampled" in options:
        np.testing.assert_array_equal(np.fft.fftshift(item.mask), (stored != 0).any(axis=0))
    else:
        assert item.image.shape == (ROWS, 40)


def coils_of_noise(scan: Scan, kspace: np.ndarray) -> None:
    scan.line(white((COILS + 1, 500)), NOISE)
    scan.image(kspace)


def coils_of_calibration(scan: Scan, kspace: np.ndarray) -> None:
    scan.line(kspace[:2, 20], CALIBRATION, row=20)
    scan.image(kspace)


def nan_noise(scan: Scan, kspace: np.ndarray) -> None:
    scan.line(np.full((COILS, 500), np.nan), NOISE)
    scan.image(kspace)


def reversed_readout(scan: Scan, kspace: np.ndarray) -> None:
    for row in range(ROWS):
        flags = (ismrmrd.ACQ_IS_REVERSE,) if row % 2 else ()
        scan.line(kspace[:, row], flags, row=row)


def other_slice(scan: Scan, kspace: np.ndarray) -> None:
    scan.image(kspace)
    scan.image(kspace[:3], slice=1)


BAD = {
    "noise": (coils_of_noise, "noise acquisitions are of 5 coils, its lines of 4.*leave the noise"),
    "calibration": (coils_of_calibration, "calibration lines are of 2 coils, .* image of 4"),
    "nan": (nan_noise, "noise acquisitions hold NaN or infinite values; leave them out"),
    "reverse": (reversed_readout, "read out in both directions .* turn them before"),
    "slices": (other_slice, "the number of coils changes between lines, from 3 to 4"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_does_not_belong_together_is_told_and_the_way_out(
    tmp_path: Path, anatomy: np.ndarray, kind: str
) -> None:
    writing, message = BAD[kind]
    with Scan(tmp_path / "bad.h5", header(COILS)) as scan:
        writing(scan, centred_fft2(coil_images(anatomy)))
    for options in ({"keep_coils": True}, {"undersampled": True}):
        with pytest.raises(DataError, match=rf"bad\.h5: .*{message}"):
            first(tmp_path, **options)


def test_lines_of_no_coil_are_told(tmp_path: Path, anatomy: np.ndarray) -> None:
    path = tmp_path / "bad.h5"
    write(path, centred_fft2(coil_images(anatomy)), range(ROWS))
    with h5py.File(path, "a") as file:
        stored = file["dataset/data"][()]
        stored["head"]["active_channels"] = 0
        file["dataset/data"][...] = stored
    with pytest.raises(DataError, match=r"bad\.h5: its lines are of no coil"):
        first(path, keep_coils=True)


@pytest.mark.skipif(
    shutil.which("ismrmrd_recon_cartesian_2d") is None, reason="needs the program of ismrmrd-tools"
)
def test_images_are_those_of_ismrmrds_own_program(tmp_path: Path) -> None:
    """Its generator has a phantom, coils, an oversampled readout and noise."""
    path = tmp_path / "scan.h5"
    for words in (
        ["ismrmrd_generate_cartesian_shepp_logan", "-m", "64", "-c", "6", "-o", str(path)],
        ["ismrmrd_recon_cartesian_2d", str(path)],
    ):
        subprocess.run(words, check=True, capture_output=True)
    with h5py.File(path) as file:
        theirs = np.squeeze(file["dataset/cpp/data"][()])
    item = first(path, keep_coils=True)
    assert item.kspace_coils is not None
    assert item.kspace_coils.shape == (6, 64, 64)
    scale = float((item.image * theirs).sum() / (theirs**2).sum())
    np.testing.assert_allclose(item.image, scale * theirs, atol=1e-4 * item.image.max())

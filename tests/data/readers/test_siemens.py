"""Siemens raw data by pymapvbvd; without it these tests are skipped."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from scipy.spatial.transform import Rotation

from kdmri.data.readers.base import SourceSlice, SourceVolume
from kdmri.data.readers.detect import detect
from kdmri.data.readers.raw_doubts import MOVED
from kdmri.data.readers.siemens import Siemens
from kdmri.data.readers.slices import checked
from kdmri.errors import ConfigurationError, DataError
from kdmri.reconstruct.dicom_raw import RawSource
from tests.conftest import ROOT
from tests.data.readers.coils import centred_fft2, sensitivities
from tests.data.readers.ismrmrd_files import ROWS, SAMPLES, centre, oversampled
from tests.data.readers.siemens_files import (
    NOISE,
    PATREF,
    PATREF_AND_IMAGE,
    REFLECT,
    Line,
    Measurement,
    write,
)
from tests.data.readers.test_raw_geometry import (
    CENTRE,
    LPS_TO_RAS,
    PHASE,
    READ,
    SIEMENS,
    found_points,
    measured,
    signal,
)

COILS = 4
PROTOCOL = {
    "sKSpace.lBaseResolution": SAMPLES // 2,
    "sKSpace.lPhaseEncodingLines": ROWS,
    "sSliceArray.asSlice[0].dReadoutFOV": 200.0,
    "sSliceArray.asSlice[0].dPhaseFOV": 240.0,
    "sSliceArray.asSlice[0].dThickness": 5.0,
    "sSliceArray.asSlice[0].sNormal.dTra": 1.0,
    "sRXSPEC.alDwellTime[0]": 5000,
}
MIDDLE = (SAMPLES // 2, ROWS // 2, 0)


@pytest.fixture(autouse=True)
def _library() -> None:
    pytest.importorskip("mapvbvd")


def only(path: Path, **options: Any) -> SourceVolume:
    (volume,) = Siemens(**options).volumes(path)
    return volume


def first(path: Path, **options: Any) -> SourceSlice:
    return next(only(path, **options).slices())


def coil_images(anatomy: np.ndarray, count: int = 2) -> np.ndarray:
    images = oversampled(anatomy, count)
    maps = sensitivities(COILS, images.shape[1:])
    return (images[:, None] * maps).astype(np.complex64)


def image_lines(kspace: np.ndarray, rows: Any = range(ROWS), **counters: int) -> list[Line]:
    return [Line(kspace[:, row], 0, MIDDLE, counters={"Lin": row, **counters}) for row in rows]


def white(shape: tuple[int, ...]) -> np.ndarray:
    parts = np.random.default_rng(1).normal(size=(2, *shape)) / np.sqrt(2)
    return (parts[0] + 1j * parts[1]).astype(np.complex64)


@pytest.mark.parametrize("vd", [False, True])
def test_slices_come_back_at_their_scale_in_the_order_of_positions(
    tmp_path: Path, anatomy: np.ndarray, vd: bool
) -> None:
    images = coil_images(anatomy, 3)
    lines = []
    for number, place in enumerate((1, 0, 2)):  # interleaved: excited in another order
        for line in image_lines(centred_fft2(images[place]), Sli=number):
            line.position = (3.0, -4.0, 6.0 * place)
            lines.append(line)
    write(tmp_path / "meas.dat", [Measurement(PROTOCOL, lines)], vd)
    assert detect(tmp_path) == "siemens"
    volume = only(tmp_path, keep_coils=True)
    assert volume.spacing == pytest.approx((5.0, 5.0, 6.0))
    assert volume.notes == ()
    items = list(volume.slices())
    assert len(items) == 3
    for item, expected in zip(items, centre(images), strict=True):
        np.testing.assert_allclose(item.image, np.linalg.norm(expected, axis=0), atol=1e-5)
        plain = np.fft.fft2(expected, norm="ortho")
        np.testing.assert_allclose(item.kspace_coils, plain, atol=1e-4)
    assert first(tmp_path).kspace_coils is None


@pytest.mark.parametrize("vd", [False, True])
def test_points_are_found_where_they_are_in_the_patient(tmp_path: Path, vd: bool) -> None:
    """Oblique slices; the quaternion's rotation has columns phase, readout, slice."""
    frame = np.column_stack((PHASE, READ, np.cross(PHASE, READ)))
    scalar_last = Rotation.from_matrix(frame).as_quat()
    normal, lines, points = frame[:, 2], [], []
    for number, (gap, x, y) in enumerate(((0, 5, 10), (14, -35, 20), (7, 95, -115))):
        place = CENTRE + gap * normal
        points.append(place + x * READ + y * PHASE)
        kspace = measured(signal(np.array([x, y])), SIEMENS)
        for line in image_lines(np.broadcast_to(kspace, (2, *kspace.shape)), Sli=number):
            line.position, line.quaternion = tuple(place), tuple(np.roll(scalar_last, 1))
            lines.append(line)
    write(tmp_path / "meas.dat", [Measurement(PROTOCOL, lines)], vd)
    volume = only(tmp_path)
    images = np.stack([item.image for item in volume.slices()], axis=-1)
    in_order = np.array(points)[[0, 2, 1]]
    np.testing.assert_allclose(found_points(volume, images), in_order * LPS_TO_RAS, atol=1e-3)
    assert volume.spacing == pytest.approx((5, 5, 7))
    assert volume.notes == ()


def test_a_slice_whose_lines_lie_at_several_places_is_told(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    lines = image_lines(centred_fft2(coil_images(anatomy)[0]))
    for line in lines[ROWS // 2 :]:
        line.position = (0.0, 0.0, 4.0)
    path = write(tmp_path / "meas.dat", [Measurement(PROTOCOL, lines)])
    assert only(tmp_path).notes == (f"{path}: {MOVED}",)


def test_averages_segments_and_other_counters(tmp_path: Path, anatomy: np.ndarray) -> None:
    """Two averages differ by noise of opposite signs; segments hold lines in turn."""
    images = coil_images(anatomy)
    kspace, noise = centred_fft2(images), white((COILS, ROWS, SAMPLES))
    lines = []
    for repetition in range(2):
        for average, sign in ((0, 1), (1, -1)):
            made = image_lines(kspace[repetition] + sign * noise, Rep=repetition, Ave=average)
            for line in made:
                line.counters["Seg"] = line.counters["Lin"] % 2
            lines += made
    write(tmp_path / "meas.dat", [Measurement(PROTOCOL, lines)])
    volumes = list(Siemens().volumes(tmp_path))
    assert [v.name.rpartition("_")[2] for v in volumes] == ["repetition0", "repetition1"]
    for volume, expected in zip(volumes, centre(images), strict=True):
        (item,) = volume.slices()
        np.testing.assert_allclose(item.image, np.linalg.norm(expected, axis=0), atol=1e-5)


def test_partitions_of_a_slab(tmp_path: Path, anatomy: np.ndarray) -> None:
    slab = coil_images(anatomy, 8)
    shifted = np.fft.fft(np.fft.ifftshift(slab, 0), axis=0, norm="ortho")
    kspace = centred_fft2(np.fft.fftshift(shifted, 0))
    lines = []
    for number in range(8):
        for line in image_lines(kspace[number], Par=number):
            line.centre = (SAMPLES // 2, ROWS // 2, 4)
            lines.append(line)
    protocol = {**PROTOCOL, "sKSpace.lPartitions": 8, "sKSpace.dSliceOversamplingForDialog": 0.333}
    write(tmp_path / "meas.dat", [Measurement(protocol, lines)])
    found = np.stack([item.image for item in only(tmp_path).slices()])
    expected = np.linalg.norm(centre(slab), axis=1)[1:7]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_undersampled_scan_with_noise_and_reference_lines(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    """VD keeps the noise adjustment in a measurement of its own, with a dwell time of its own."""
    images = coil_images(anatomy, 1)[0]
    kspace = centred_fft2(images)
    middle = range(ROWS // 2 - 4, ROWS // 2 + 4)
    lines = []
    for row in range(ROWS):
        flags = PATREF_AND_IMAGE if row in middle and row % 3 == 0 else 0
        flags = PATREF if row in middle and row % 3 else flags
        if row % 3 == 0 or row in middle:
            lines.append(Line(kspace[:, row], flags, MIDDLE, counters={"Lin": row}))
    mixing = np.diag([1.0, 2.0, 4.0, 0.5]) + np.tril(np.full((COILS, COILS), 0.2 + 0.3j), -1)
    noise = (mixing @ white((COILS, 20_480))).reshape(COILS, 80, 256)
    adjusted = [Line(noise[:, n], NOISE, counters={"Lin": 0}) for n in range(80)]
    told = {**PROTOCOL, "sRXSPEC.alDwellTime[0]": 20_000}
    write(tmp_path / "meas.dat", [Measurement(told, adjusted), Measurement(PROTOCOL, lines)])
    with pytest.raises(DataError, match=r"meas\.dat: its k-space is undersampled"):
        first(tmp_path, keep_coils=True)
    volume = only(tmp_path, undersampled=True)
    assert "its 4 coils are whitened by 20480 samples of noise" in volume.notes[-1]
    item = next(volume.slices())
    assert item.note is None
    assert item.mask is not None
    assert item.calibration is not None
    rows = np.fft.ifftshift(np.arange(ROWS) % 3 == 0)
    np.testing.assert_array_equal(item.mask, np.repeat(rows, 40).reshape(ROWS, 40))
    whitened = np.tensordot(np.linalg.inv(mixing) / 2, centre(images), 1)
    whole = np.fft.fft2(whitened, norm="ortho")
    close = {"atol": 0.03 * np.abs(whole).max()}
    np.testing.assert_allclose(item.kspace_coils, whole * item.mask, **close)
    inside = np.fft.ifftshift(np.isin(range(ROWS), middle))[:, None]
    np.testing.assert_allclose(item.calibration, whole * inside, **close)


def test_partial_fourier_and_asymmetric_echo(tmp_path: Path, anatomy: np.ndarray) -> None:
    kspace = centred_fft2(coil_images(anatomy, 1)[0])
    lines = [
        Line(kspace[:, row, 16:], 0, (SAMPLES // 2 - 16, ROWS // 2 - 10, 0), counters={"Lin": n})
        for n, row in enumerate(range(10, ROWS))
    ]
    write(tmp_path / "meas.dat", [Measurement(PROTOCOL, lines)])
    item = first(tmp_path, keep_coils=True)
    assert item.kspace_coils is not None
    stored = np.fft.fftshift(item.kspace_coils, (-2, -1))
    assert stored.shape == (COILS, ROWS, SAMPLES)
    assert not stored[:, :10].any()
    assert not stored[..., :16].any()
    np.testing.assert_allclose(np.abs(stored[:, 10:, 16:]), np.abs(kspace[:, 10:, 16:]), atol=1e-4)


def reflected(lines: list[Line]) -> None:
    lines[1].flags = REFLECT


def other_coils(lines: list[Line]) -> None:
    lines[5].data = lines[5].data[:3]


def other_noise(lines: list[Line]) -> None:
    lines.insert(0, Line(white((3, 256)), NOISE))


def free_counter(lines: list[Line]) -> None:
    lines[4].counters["Ida"] = 2


def other_reference(lines: list[Line]) -> None:
    lines.insert(0, Line(white((2, SAMPLES)), PATREF, MIDDLE, counters={"Lin": 3}))


def nan(lines: list[Line]) -> None:
    lines[7].data = lines[7].data * np.nan


BAD = {
    "reflected": (reflected, "read out in both directions"),
    "coils": (other_coils, r"image lines are of \[80\] samples and \[3, 4\] coils"),
    "noise": (other_noise, "noise adjustment is of 3 coils, its lines of 4"),
    "counter": (free_counter, "differ in the counter Ida"),
    "reference": (other_reference, "reference lines are of 2 coils, those of its image of 4"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_not_supported_is_told(tmp_path: Path, anatomy: np.ndarray, kind: str) -> None:
    change, message = BAD[kind]
    lines = image_lines(centred_fft2(coil_images(anatomy, 1)[0]))
    change(lines)
    write(tmp_path / "meas.dat", [Measurement(PROTOCOL, lines)])
    with pytest.raises(DataError, match=rf"meas\.dat: .*{message}"):
        first(tmp_path, keep_coils=True)


def test_files_that_are_damaged_or_of_something_else(tmp_path: Path, anatomy: np.ndarray) -> None:
    lines = image_lines(centred_fft2(coil_images(anatomy, 1)[0]))
    path = write(tmp_path / "meas.dat", [Measurement(PROTOCOL, lines)])
    whole = path.read_bytes()
    for size in (10, 5_000, 10_300, len(whole) // 2):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"meas\.dat: "):
            first(tmp_path)
    path.write_bytes(b"some text\n" * 1000)
    with pytest.raises(DataError, match="is no Siemens raw data"):
        first(tmp_path)
    del (told := dict(PROTOCOL))["sKSpace.lBaseResolution"]
    write(path, [Measurement(told, lines)])
    with pytest.raises(DataError, match=r"header has no sKSpace\.lBaseResolution"):
        first(tmp_path)


def test_damage_anywhere_is_one_error_or_none(tmp_path: Path, anatomy: np.ndarray) -> None:
    """Bytes that changed give other values, or an error that names the file; never another one."""
    lines = image_lines(centred_fft2(coil_images(anatomy, 1)[0]), range(20, 28))
    path = write(tmp_path / "meas.dat", [Measurement(PROTOCOL, lines)])
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    for case in range(80):
        random = np.random.default_rng(case)
        damaged = whole.copy()
        begin = 0 if case % 3 == 0 else len(whole) - 8 * (192 + COILS * (32 + 8 * SAMPLES)) - 1000
        places = random.integers(begin, begin + 2000, 3) % len(whole)
        damaged[places] = random.integers(0, 256, 3)
        path.write_bytes(damaged.tobytes())
        found = "meas.dat"
        try:
            list(checked(next(iter(Siemens(undersampled=True).volumes(path)))))
        except DataError as error:
            found = str(error)
        assert "meas.dat" in found


def test_option_is_checked_and_configuration_gives_this_reader() -> None:
    with pytest.raises(ConfigurationError, match=r"format\.keep_coils=no: must be true or false"):
        Siemens(keep_coils="no")  # type: ignore[arg-type]
    settings = OmegaConf.load(ROOT / "configs" / "format" / "siemens.yaml")
    assert instantiate(settings) == Siemens(keep_coils=False)


def test_protocol_is_told_as_a_header_of_ismrmrd(tmp_path: Path, anatomy: np.ndarray) -> None:
    told = {
        "tProtocolName": '""t2_tse""',
        "alTR[0]": 4_000_000,
        "alTE[0]": 90_000,
        "alTE[1]": 110_000,
        "adFlipAngleDegree[0]": 150.0,
        "sProtConsistencyInfo.flNominalB0": 2.89,
        "sTXSPEC.asNucleusInfo[0].tNucleus": '""1H""',
        "sTXSPEC.asNucleusInfo[0].lFrequency": 123_200_000,
    }
    lines = image_lines(centred_fft2(coil_images(anatomy)[0]))
    path = write(tmp_path / "scan.dat", [Measurement({**PROTOCOL, **told}, lines)])
    volume = only(path)
    source = RawSource(volume, Siemens().ismrmrd_header(volume), (48, 40), anonymous=False)
    made = source.slice(0)
    assert (made.RepetitionTime, made.FlipAngle) == (4000, 150)
    assert "EchoTime" not in made, "two echoes, and nothing tells which this is"
    assert (made.MagneticFieldStrength, made.ImagingFrequency) == (2.89, 123.2)
    assert (made.ProtocolName, made.Manufacturer) == ("t2_tse", "SIEMENS")
    assert (made.SliceThickness, made.MRAcquisitionType) == (5, "2D")
    assert not source.is_placed
    assert source.described == ("t2_tse", None)

"""Served images are those of `kdmri reconstruct` on the same file, bit for bit, and say where."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest

from tests.data.readers.ismrmrd_files import header
from tests.data.readers.ismrmrd_scans import CALIBRATION, white
from tests.reconstruct.coils import RULE, SAMPLING, TRAINED
from tests.reconstruct.expected import Run
from tests.serve.clients import connected, scanned
from tests.serve.conftest import Serve
from tests.serve.scans import (
    COILS,
    COLUMNS,
    ENCODED,
    FIELDS,
    LAST,
    MIDDLE,
    ROWS,
    Raw,
    kspace,
    scan_of,
)


@pytest.fixture
def reconstruct(run: Run) -> Callable[..., list[np.ndarray]]:
    """Reconstruct a file with the command: magnitudes (H, W) in its units, volume by volume."""

    def call(path: Path, checkpoint: Path) -> list[np.ndarray]:
        out = path.parent / f"out_{path.stem}"
        words = [f"checkpoint={checkpoint}", f"input={path}", f"output={out}"]
        handlers = list(logging.root.handlers)
        done = run("kdmri/reconstruct/__main__.py", *words)
        logging.root.handlers[:] = handlers  # Hydra's writes to a stream that is closed now
        assert done.code == 0, done.err
        found = []
        for written in sorted(out.iterdir()):
            with h5py.File(written) as file:
                scale = np.float32(file.attrs["scale"])
                found += list(np.abs(file["reconstruction"][...]) * scale)
        return found

    return call


def pixels(images: list[ismrmrd.Image]) -> list[np.ndarray]:
    return [image.data[0, 0] for image in images]


@pytest.mark.parametrize("coils", [1, COILS])
def test_images_are_those_of_the_file_bit_for_bit(
    serve: Serve,
    student: Path,
    of_one_coil: Path,
    reconstruct: Callable[..., list[np.ndarray]],
    tmp_path: Path,
    anatomy: np.ndarray,
    coils: int,
) -> None:
    """Two repetitions of a slice, which are volumes of their own."""
    scan = scan_of(anatomy, coils=coils, repetitions=2)
    path = scan.store(tmp_path / "scan.h5")
    network = student if coils > 1 else of_one_coil
    answer = scanned(serve(network).address, scan)
    assert not answer.errors
    expected = reconstruct(path, network)
    assert len(expected) == len(answer.images) == 2
    np.testing.assert_array_equal(pixels(answer.images), expected)
    assert [image.repetition for image in answer.images] == [0, 1]


def test_slices_of_a_volume_share_its_scale_where_that_is_asked_for(
    serve: Serve,
    student: Path,
    reconstruct: Callable[..., list[np.ndarray]],
    tmp_path: Path,
    anatomy: np.ndarray,
) -> None:
    """Images come in the order of their positions, with the counters of their slices."""
    scan = scan_of(anatomy, slices=3)
    path = scan.store(tmp_path / "scan.h5")
    answer = scanned(serve(student, by_volume=True).address, scan)
    np.testing.assert_array_equal(pixels(answer.images), reconstruct(path, student))
    assert [image.slice for image in answer.images] == [1, 2, 0]
    assert len({image.meta["KdmriScale"] for image in answer.images}) == 1


def test_a_slice_is_answered_as_if_it_were_alone_before_the_next_is_sent(
    serve: Serve,
    student: Path,
    reconstruct: Callable[..., list[np.ndarray]],
    tmp_path: Path,
    anatomy: np.ndarray,
) -> None:
    scan = scan_of(anatomy, slices=3)
    with connected(serve(student).address) as client:
        client.begin(scan)
        for line in scan.lines:
            client.send(line)
            if line.is_flag_set(ismrmrd.ACQ_LAST_IN_SLICE):
                assert client.image().slice == line.idx.slice
        client.close()
        answer = client.rest()
    assert [image.slice for image in answer.images] == [0, 1, 2]
    assert len({image.meta["KdmriScale"] for image in answer.images}) == 3

    noise = ismrmrd.ACQ_IS_NOISE_MEASUREMENT
    kept = [line for line in scan.lines if line.idx.slice == 1 or line.is_flag_set(noise)]
    (expected,) = reconstruct(Raw(scan.xml, kept).store(tmp_path / "alone.h5"), student)
    np.testing.assert_array_equal(answer.images[1].data[0, 0], expected)


def test_headers_tell_where_an_image_lies_and_what_made_it(
    serve: Serve, student: Path, tmp_path: Path, anatomy: np.ndarray
) -> None:
    scan = scan_of(anatomy, slices=2)
    for number, line in enumerate(scan.lines):
        line.measurement_uid, line.acquisition_time_stamp = 77, 1000 + number
    answer = scanned(serve(student).address, scan)
    first, second = answer.images
    assert (first.data.shape, first.data.dtype) == ((1, 1, ROWS, COLUMNS), np.float32)
    assert first.matrix_size == (COLUMNS, ROWS, 1)
    assert tuple(first.field_of_view) == (200, 240, 5)
    assert [tuple(image.position) for image in (first, second)] == [(10, -20, 30), (22, -20, 30)]
    assert tuple(first.read_dir) == (0, 1, 0)
    assert tuple(first.phase_dir) == (0, 0, -1)
    assert tuple(first.slice_dir) == (-1, 0, 0)
    assert (first.image_type, first.image_series_index) == (ismrmrd.IMTYPE_MAGNITUDE, 1)
    assert (first.image_index, second.image_index) == (1, 2)
    assert (first.measurement_uid, first.acquisition_time_stamp) == (77, 1001)
    meta = first.meta
    assert meta["ImageProcessingHistory"] == ["KDMRI", "kd, DCCNN"]
    assert meta["SeriesDescription"] == "kdmri_student"
    assert len(meta["KdmriSha256"]) == 64
    assert "mask detected" in meta["ImageComment"]
    assert 0 < float(meta["WindowWidth"]) == pytest.approx(2 * float(meta["WindowCenter"]))
    assert [float(x) for x in meta["ImageRowDir"]] == [0, 1, 0]
    assert sum("mask detected" in text for text in answer.texts) == 1
    assert any("whitened by 400 samples" in text for text in answer.texts)


def test_integers_have_one_slope_for_the_whole_scan(
    serve: Serve, student: Path, tmp_path: Path, anatomy: np.ndarray
) -> None:
    scan = scan_of(anatomy, slices=3)
    floats = scanned(serve(student).address, scan).images
    integers = scanned(serve(student, integers=True).address, scan).images
    (slope,) = {float(image.meta["RescaleSlope"]) for image in integers}
    for exact, rounded in zip(floats, integers, strict=True):
        assert rounded.data.dtype == np.int16
        assert rounded.meta["RescaleIntercept"] == "0"
        np.testing.assert_allclose(rounded.data * slope, exact.data, atol=0.51 * slope)
    assert max(int(image.data.max()) for image in integers) > 1000


def test_what_int16_cannot_hold_is_cut_and_said(
    serve: Serve, student: Path, tmp_path: Path, anatomy: np.ndarray
) -> None:
    """The second slice is much stronger than the first, which the slope comes from."""
    scan = scan_of(anatomy, slices=2)
    for line in scan.lines:
        line.data[:] *= 100 if line.idx.slice == 1 else 1
    answer = scanned(serve(student, integers=True).address, scan)
    assert answer.images[1].data.max() == 2**15 - 1
    assert any(text.startswith("WRN kdmri: values beyond int16") for text in answer.texts)


@pytest.mark.parametrize("across", [False, True])
def test_images_of_a_slab_lie_one_behind_the_other(
    serve: Serve,
    student: Path,
    reconstruct: Callable[..., list[np.ndarray]],
    tmp_path: Path,
    anatomy: np.ndarray,
    across: bool,
) -> None:
    """Every partition ends with ACQ_LAST_IN_SLICE, as some scanners have it.

    Undersampled along both phase encodings, slices lie across the readout.
    """
    count, upright = 8, np.eye(3)
    values = np.fft.fftshift(
        np.fft.fft(np.fft.ifftshift(kspace(anatomy, count), 0), axis=0, norm="ortho"), 0
    )
    sizes = {name: (*size[:2], count) for name, size in ENCODED.items()}
    fields = ((200, 240, 40), (200, 240, 40))
    scan = Raw(header(COILS, **sizes, fields=fields, centres=(ROWS // 2, count // 2)))
    for partition in range(count):
        for row in range(ROWS):
            if (row + across * partition) % 2 == 0 or abs(row - ROWS // 2) < 8:
                flags = LAST if row >= ROWS - 2 else ()
                data = values[partition, :, row]
                steps = {"kspace_encode_step_2": partition}
                scan.line(data, flags, row, (0, 0, 50), upright, **steps)
    path = scan.store(tmp_path / "slab.h5")
    answer = scanned(serve(student).address, scan)
    assert not answer.errors
    np.testing.assert_array_equal(pixels(answer.images), reconstruct(path, student))
    shape = (COLUMNS, ROWS, count) if across else (count, ROWS, COLUMNS)
    assert np.shape(pixels(answer.images)) == shape
    assert [image.slice for image in answer.images] == list(range(shape[0]))
    first = answer.images[0]
    fields_of_view = {False: (200, 240, 5), True: (40, 240, 5)}
    assert tuple(first.field_of_view) == fields_of_view[across]
    assert tuple(first.position) == ((-100, 0, 50) if across else (0, 0, 30))
    assert tuple(first.read_dir) == ((0, 0, 1) if across else (1, 0, 0))
    assert tuple(first.slice_dir) == ((1, 0, 0) if across else (0, 0, 1))


@pytest.mark.parametrize("order", ["averages", "calibration"])
def test_averages_and_calibration_that_is_sent_once_are_those_of_the_file(
    serve: Serve,
    student: Path,
    reconstruct: Callable[..., list[np.ndarray]],
    tmp_path: Path,
    anatomy: np.ndarray,
    order: str,
) -> None:
    """Two averages that both end the slice, or two repetitions after separate calibration."""
    averages, repetitions = (2, 1) if order == "averages" else (1, 2)
    values, noise = kspace(anatomy, 1)[0], white((4, COILS, ROWS, COLUMNS)) * 0.1
    counts = {"average": averages, "repetitions": repetitions}
    scan = Raw(header(COILS, **ENCODED, fields=FIELDS, calibration="separate", **counts))
    rows = range(0, ROWS, 3)
    for row in MIDDLE:
        scan.line(values[:, row], CALIBRATION, row)
    for repetition in range(repetitions):
        for average in range(averages):
            for row in rows:
                data = (values + noise[average + 2 * repetition])[:, row]
                flags = LAST if row == rows[-1] else ()
                scan.line(data, flags, row, average=average, repetition=repetition)
    answer = scanned(serve(student).address, scan)
    assert not [text for text in answer.texts if not text.startswith("DBG")]
    expected = reconstruct(scan.store(tmp_path / "scan.h5"), student)
    assert len(expected) == repetitions
    np.testing.assert_array_equal(pixels(answer.images), expected)


def test_a_fully_sampled_scan_is_a_trial_and_says_so(
    serve: Serve,
    checkpoint: Callable[..., Path],
    reconstruct: Callable[..., list[np.ndarray]],
    tmp_path: Path,
    anatomy: np.ndarray,
) -> None:
    mask = {"rule": {**RULE, "axis": 0}, "file": None, "values": None}
    student = checkpoint("rows.pt", **{**TRAINED, "sampling": {**SAMPLING, "mask": mask}})
    scan = Raw(header(COILS, **ENCODED, fields=FIELDS))
    for row in range(ROWS):
        scan.line(kspace(anatomy, 1)[0, :, row], (), row)
    path = scan.store(tmp_path / "full.h5")
    with connected(serve(student).address) as client:
        client.begin(scan)
        client.send(*scan.lines)
        client.image()  # all lines are there, whatever the flags say
        client.close()
        answer = client.rest()
    assert any(text.startswith("WRN kdmri: a trial") for text in answer.texts)
    assert answer.images[0].meta["ImageComment"].startswith("a trial")
    np.testing.assert_array_equal(pixels(answer.images), reconstruct(path, student))


def test_ismrmrds_own_header_without_a_nul_is_read(serve: Serve, student: Path, scan: Raw) -> None:
    with connected(serve(student).address) as client:
        client.send(ismrmrd.xsd.CreateFromDocument(scan.xml), *scan.lines)
        client.close()
        assert len(client.rest().images) == 1
    assert threading.active_count() < 20


def test_coils_of_which_no_sensitivities_make_sense_are_doubted(
    serve: Serve, student: Path, scan: Raw, anatomy: np.ndarray
) -> None:
    """Every second coil sees the mirrored object."""
    server = serve(student)
    assert "explain only" not in " ".join(scanned(server.address, scan).texts)
    mirrored = scan_of(anatomy)
    for line in mirrored.lines[1:]:
        line.data[1::2] = line.data[1::2, ::-1].copy()
    answer = scanned(server.address, mirrored)
    assert len(answer.images) == 1
    assert any(text.startswith("WRN kdmri: its sensitivities explain") for text in answer.texts)

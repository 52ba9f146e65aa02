"""What cannot be done is a text to the client and a line in the log; the next client is served."""

import logging
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import ismrmrd
import numpy as np
import pytest

from tests.serve.clients import Answer, Client, connected, scanned
from tests.serve.conftest import Serve
from tests.serve.scans import Raw, scan_of

Spoil = Callable[[Raw], Raw]


def trajectory(scan: Raw) -> Raw:
    return Raw(scan.xml.replace("cartesian", "radial"), scan.lines)


def backwards(scan: Raw) -> Raw:
    scan.lines[5].set_flag(ismrmrd.ACQ_IS_REVERSE)
    return scan


def smaller(scan: Raw) -> Raw:
    return Raw(scan.xml.replace("<y>48</y>", "<y>40</y>"), scan.lines)


def no_xml(scan: Raw) -> Raw:
    return Raw("Dummy XML header", scan.lines)


def entities(scan: Raw) -> Raw:
    return Raw('<!DOCTYPE a [<!ENTITY b "c">]>' + scan.xml, scan.lines)


def giant(scan: Raw) -> Raw:
    return Raw(scan.xml.replace("<y>48</y>", "<y>200000</y>"), scan.lines)


def slab(scan: Raw) -> Raw:
    scan.lines[-1].idx.kspace_encode_step_2 = 1
    return Raw(scan.xml.replace("<z>1</z>", "<z>60000</z>"), scan.lines)


def coils(scan: Raw) -> Raw:
    scan.line(np.zeros((257, 40), np.complex64))
    return scan


def late(scan: Raw) -> Raw:
    return Raw(scan.xml, [*scan.lines, scan.lines[-2]])


def beyond(scan: Raw) -> Raw:
    scan.lines[-1].idx.contrast = 1
    return scan


def no_centre(scan: Raw) -> Raw:
    kept = [line for line in scan.lines if line.idx.kspace_encode_step_1 != 24]
    return Raw(scan.xml, kept)


def nan(scan: Raw) -> Raw:
    scan.lines[-1].data[0, 0] = np.nan
    return scan


def without_calibration(scan: Raw) -> Raw:
    middle = [line for line in scan.lines if line.idx.kspace_encode_step_1 in range(22, 27)]
    return Raw(scan.xml, [line for line in scan.lines if line not in middle[1:4:2]])


def no_image(scan: Raw) -> Raw:
    return Raw(scan.xml, scan.lines[:1])


def nothing(scan: Raw) -> Raw:
    return Raw(scan.xml)


def no_count(scan: Raw) -> Raw:
    return Raw(scan.xml.replace("<maximum>47<", "<maximum>inf<"), scan.lines)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (no_image, "holds no imaging data: none of its 1 acquisitions is a line of an image"),
        (nothing, "no acquisition came before the end"),
        (no_count, "kspace_encoding_step_1/maximum 'inf', which is no count"),
        (trajectory, "its trajectory is radial; only cartesian is read"),
        (backwards, "lines are read out in both directions (EPI), which is not supported"),
        (smaller, "lies outside a matrix of 40"),
        (no_xml, "its XML header is damaged"),
        (entities, "declares a document type or entities, which is refused"),
        (giant, "its encoded matrix is 40x200000; slices of at most 4,194,304 samples"),
        (slab, "an encoded matrix 40x48x60000 takes 3.43 GiB, above limit_gib=0.25"),
        (coils, "its lines are of 257 coils; at most 256 are taken"),
        (late, "a line of slice 0 came after its last one (ACQ_LAST_IN_SLICE"),
        (beyond, "holds several values of contrast, but its header tells of one"),
        (no_centre, "the zero frequency was never measured"),
        (nan, "holds NaN or infinite values"),
        (without_calibration, "it needs fully sampled lines around the zero frequency"),
    ],
)
def test_scan_that_cannot_be_reconstructed_is_refused_by_a_text(
    serve: Serve,
    student: Path,
    scan: Raw,
    anatomy: np.ndarray,
    spoil: Spoil,
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "kdmri.serve")
    server = serve(student)
    answer = scanned(server.address, spoil(scan_of(anatomy)))
    (error,) = answer.errors
    assert error.startswith("ERR kdmri: ")
    assert reason in error
    assert answer.closed
    assert len(scanned(server.address, scan).images) == 1
    server.stop(), server.join()
    (line,) = [record.getMessage() for record in caplog.records if "refused" in record.message]
    assert reason in line
    assert "\n" not in line


def test_mask_of_another_size_is_refused(
    serve: Serve, student: Path, scan: Raw, tmp_path: Path
) -> None:
    np.save(tmp_path / "mask.npy", np.ones((8, 8), np.uint8))
    (error,) = scanned(serve(student, mask=tmp_path / "mask.npy").address, scan).errors
    assert "its shape is (8, 8), the slices are (48, 40)" in error


def send_unknown(client: Client, scan: Raw) -> None:
    client.begin(scan)
    client.send_bytes(struct.pack("<H", 4242) + b"garbage")


def send_image(client: Client, scan: Raw) -> None:
    client.begin(scan)
    client.send(ismrmrd.Image.from_array(np.zeros((4, 4), np.float32), transpose=False))


def send_array(client: Client, scan: Raw) -> None:
    client.begin(scan)
    client.send(np.zeros(4, np.float32))


def send_second_header(client: Client, scan: Raw) -> None:
    client.begin(scan), client.header(scan.xml)


def send_line_first(client: Client, scan: Raw) -> None:
    client.send(scan.lines[0])


def send_long_text(client: Client, scan: Raw) -> None:
    client.send_bytes(struct.pack("<HI", 2, 2**32 - 1))


def send_huge_line(client: Client, scan: Raw) -> None:
    """Declare 34 GB of samples, and 17 GB of trajectory."""
    client.begin(scan)
    head = ismrmrd.AcquisitionHeader()
    head.number_of_samples = head.active_channels = head.trajectory_dimensions = 2**16 - 1
    client.send_bytes(struct.pack("<H", 1008) + bytes(head))


def send_noise(client: Client, scan: Raw) -> None:
    client.send_bytes(np.random.default_rng(3).bytes(5000))


@pytest.mark.parametrize(
    ("send", "reason"),
    [
        (send_unknown, "message 4242 is none of the protocol's"),
        (send_image, "messages of kind IMAGE are not taken, only raw data"),
        (send_array, "messages of kind NDARRAY are not taken"),
        (send_second_header, "a second header came; a connection takes one scan"),
        (send_line_first, "an acquisition came before the header"),
        (send_long_text, "a CONFIG_TEXT of 4,294,967,295 bytes; at most 16,777,216 are taken"),
        (send_huge_line, "take 32 GiB, above limit_gib=0.25"),
        (send_noise, "is none of the protocol's"),
    ],
)
def test_message_that_is_not_taken_is_refused_before_memory_is(
    serve: Serve, student: Path, scan: Raw, send: Callable[[Client, Raw], None], reason: str
) -> None:
    server = serve(student)
    with connected(server.address) as client:
        send(client, scan)
        client.socket.shutdown(socket.SHUT_WR)
        answer = client.rest()
    assert [reason in error for error in answer.errors] == [True]
    assert len(scanned(server.address, scan).images) == 1


def test_lines_of_a_slice_that_never_ends_are_bounded(
    serve: Serve, student: Path, scan: Raw
) -> None:
    with connected(serve(student, most_bytes=70_000).address) as client:
        client.begin(scan)
        client.send(*scan.lines[:-1] * 3)
        client.close()
        (error,) = client.rest().errors
    assert "its lines that wait for the rest of their slices take" in error


def test_waveforms_texts_and_trajectories_are_passed_over(
    serve: Serve, student: Path, scan: Raw
) -> None:
    expected = scanned(serve(student).address, scan)
    lines = [
        ismrmrd.Acquisition(
            line.getHead(), line.data, np.zeros((line.number_of_samples, 2), np.float32)
        )
        for line in scan.lines
    ]
    for line in lines:
        line._head.trajectory_dimensions = 2
    wave = ismrmrd.Waveform.from_array(np.zeros((3, 50), np.uint32))
    with connected(serve(student).address) as client:
        client.begin(scan)
        for line in lines:
            client.send(wave, "a note", line)
        client.close()
        answer = client.rest()
    assert not answer.errors
    np.testing.assert_array_equal(answer.images[0].data, expected.images[0].data)


def test_lines_that_may_not_be_what_the_header_says_are_told(
    serve: Serve, student: Path, scan: Raw
) -> None:
    """Oversampling that was removed, a patient that moved, lines of another encoding space."""
    xml = scan.xml.replace("<x>40</x>", "<x>80</x>", 1).replace("<x>200</x>", "<x>400</x>", 1)
    scan.lines[9].position[:] = (1, 2, 3)
    scan.line(scan.lines[9].data, encoding_space_ref=1)
    scan.lines.insert(9, scan.lines.pop())
    answer = scanned(serve(student).address, Raw(xml, scan.lines))
    warnings = " ".join(text for text in answer.texts if text.startswith("WRN kdmri: "))
    assert len(answer.images) == 1
    assert "its lines hold 40 samples in the middle of an encoded matrix of 80" in warnings
    assert "the lines of a slice have several positions or directions" in warnings
    assert "its lines on other encoding spaces than the first" in warnings


def test_noise_and_calibration_that_come_too_late_are_said(
    serve: Serve, student: Path, scan: Raw
) -> None:
    answer: Answer = scanned(
        serve(student).address, Raw(scan.xml, [*scan.lines[1:], scan.lines[0]])
    )
    assert len(answer.images) == 1
    assert "WRN kdmri: noise lines came after an image that they are of" in " ".join(answer.texts)

"""Many clients at once, and clients that vanish, stall or do not read: nobody else notices."""

import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import ismrmrd
import numpy as np
import pytest

from kdmri.serve import session
from kdmri.serve.outbox import Outbox
from kdmri.serve.protocol import LostError
from tests.conftest import ROOT
from tests.data.readers.ismrmrd_files import header
from tests.serve.clients import Answer, connected, scanned
from tests.serve.conftest import Serve
from tests.serve.scans import Raw

CLIENTS, SCANS = 8, 50
SIZE = (16, 12)


def tiny(strength: float, slices: int = 2) -> Raw:
    """Small slices of one coil, every second row and the middle; each client has its own scale."""
    rng = np.random.default_rng(7)
    values = rng.normal(size=(2, slices, *SIZE)).astype(np.float32)
    values[:, :, SIZE[0] // 2, SIZE[1] // 2] += 20
    kspace = strength * (values[0] + 1j * values[1])
    rows = [row for row in range(SIZE[0]) if row % 2 == 0 or 5 <= row < 11]
    lines = []
    for number in range(slices):
        for row in rows:
            line = ismrmrd.Acquisition.from_array(kspace[number, None, row].astype(np.complex64))
            line.center_sample = SIZE[1] // 2
            line.idx.kspace_encode_step_1, line.idx.slice = row, number
            line.position[:] = [0, 0, 5.0 * number]
            if row == rows[-1]:
                line.set_flag(ismrmrd.ACQ_LAST_IN_SLICE)
            lines.append(line)
    matrix = (SIZE[1], SIZE[0], 1)
    fields = ((120, 160, 5), (120, 160, 5))
    xml = header(
        encoded=matrix, recon=matrix, fields=fields, centres=(SIZE[0] // 2, 0), slice=slices
    )
    return Raw(xml, lines)


def pixels(answer: Answer) -> np.ndarray:
    return np.stack([image.data[0, 0] for image in answer.images])


def test_no_image_of_many_clients_is_lost_or_mixed_up(serve: Serve, of_one_coil: Path) -> None:
    address = serve(of_one_coil).address
    scans = [tiny(1.0 + number) for number in range(CLIENTS)]
    alone = [pixels(scanned(address, scan)) for scan in scans]
    assert all(np.ptp([a, b]) > 0 for a, b in pairwise(alone))

    def client(number: int) -> int:
        good = 0
        for _ in range(SCANS):
            answer = scanned(address, scans[number])
            assert [image.slice for image in answer.images] == [0, 1]
            good += np.array_equal(pixels(answer), alone[number])
        return good

    with ThreadPoolExecutor(CLIENTS) as pool:
        assert list(pool.map(client, range(CLIENTS))) == [SCANS] * CLIENTS


def test_clients_that_vanish_or_stall_cost_nobody_else_anything(
    serve: Serve, of_one_coil: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "kdmri.serve")
    server, scan = serve(of_one_coil, timeout=0.5), tiny(1.0)
    with (
        connected(server.address) as vanished,
        connected(server.address) as stalled,
        connected(server.address) as mute,
    ):
        vanished.begin(scan), stalled.begin(scan)
        vanished.send(*scan.lines[:5]), stalled.send(*scan.lines[:5])
        vanished.vanish()
        assert len(scanned(server.address, scan).images) == 2
        assert mute.socket.recv(1) == b""  # nothing was ever sent, and it is closed
        assert stalled.rest().errors == ["ERR kdmri: silent for 0.5 s"]
    server.stop(), server.join()
    outcomes = " ".join(record.getMessage() for record in caplog.records)
    assert "lost: it closed the connection in the middle of a scan" in outcomes
    assert outcomes.count("lost: silent for 0.5 s") == 2


def test_client_that_only_stops_sending_is_told(
    serve: Serve, of_one_coil: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It still reads, and would wait for images of a scan that it never closed."""
    caplog.set_level("INFO", "kdmri.serve")
    server, scan = serve(of_one_coil), tiny(1.0)
    with connected(server.address) as client:
        client.begin(scan)
        client.send(*scan.lines[:5])
        client.socket.shutdown(socket.SHUT_WR)
        assert client.rest().errors == [
            "ERR kdmri: it closed the connection in the middle of a scan"
        ]
    server.stop(), server.join()
    assert "0 images" in caplog.text


def test_client_that_waits_for_its_images_is_not_silent(
    serve: Serve, of_one_coil: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network takes longer than the timeout, and the client closes only when it has all."""
    make = session.reconstruct

    def slowly(*given: Any) -> None:
        time.sleep(0.7)
        make(*given)

    monkeypatch.setattr(session, "reconstruct", slowly)
    scan = tiny(1.0)
    with connected(serve(of_one_coil, timeout=0.3).address) as client:
        client.begin(scan)
        client.send(*scan.lines)
        client.image(), client.image()
        client.close()
        assert not client.rest().errors


def test_refused_client_that_stays_does_not_keep_the_server(
    serve: Serve, of_one_coil: Path
) -> None:
    server, scan = serve(of_one_coil), tiny(1.0)
    with connected(server.address) as client:
        client.begin(scan)
        client.send(*scan.lines, scan.lines[0])
        assert client.rest().errors
        began = time.monotonic()
        server.stop(), server.join()
        assert time.monotonic() - began < 5


def test_images_that_nobody_reads_are_bounded() -> None:
    """The kernel takes some; then a few wait here, whoever makes them goes on, and it ends."""
    image = ismrmrd.Image.from_array(np.zeros((500, 500), np.float32), transpose=False)
    here, there = socket.socketpair()
    with here, there:
        outbox = Outbox(here, most=3 * image.data.nbytes)
        began = time.monotonic()
        with pytest.raises(LostError, match="it does not read its images"):
            for _ in range(100):
                outbox.put(image)
        outbox.put("dropped")
        outbox.join()
        assert time.monotonic() - began < 5
        assert outbox.failed
        there.settimeout(5)
        while there.recv(2**20):  # what the kernel took, then the end
            pass


def test_one_client_too_many_is_told_to_come_later(serve: Serve, of_one_coil: Path) -> None:
    server = serve(of_one_coil, clients=1)
    scan = tiny(1.0)
    with connected(server.address) as first, connected(server.address) as second:
        first.begin(scan)
        (error,) = second.rest().errors
        first.send(*scan.lines)
        first.close()
        assert len(first.rest().images) == 2
    assert "serves 1 clients already; try again" in error
    assert not scanned(server.address, scan).errors


def test_lines_of_finished_slices_are_let_go(serve: Serve, of_one_coil: Path) -> None:
    """A scan of many slices passes through less memory than its lines take."""
    scan = tiny(1.0, slices=60)
    taken = sum(line.data.nbytes + 340 for line in scan.lines)
    answer = scanned(serve(of_one_coil, most_bytes=taken // 4).address, scan)
    assert not answer.errors
    assert len(answer.images) == 60


def test_second_signal_ends_the_command_at_once() -> None:
    program = """
import signal
from kdmri.serve.__main__ import signalled
stop = signalled()
signal.raise_signal(signal.SIGTERM)
assert stop.is_set()
signal.raise_signal(signal.SIGINT)
"""
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
    assert ended.returncode == 128 + signal.SIGINT

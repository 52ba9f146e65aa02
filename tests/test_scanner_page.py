"""The page on the scanner room: its commands run, and what it says of them is so."""

import re
import shutil
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.reconstruct.coils import TRAINED
from tests.serve.clients import Answer, connected
from tests.serve.scans import Raw, scan_of
from tests.test_docs import PAGES, run_blocks

TOOL = "ismrmrd_generate_cartesian_shepp_logan"
SECONDS = 120


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def wait_for(text: str, log: Path) -> None:
    until = time.monotonic() + SECONDS
    while not (log.is_file() and text in log.read_text()):
        assert time.monotonic() < until, f"{log} never said: {text}"
        time.sleep(0.1)


def stopped_in_the_middle(port: int, log: Path, scan: Raw) -> tuple[Answer, bytes]:
    """Send half of a scan, and the rest of it when the server was told to stop.

    Returns:
        The answer, and what another client gets that is connected and sends nothing.
    """
    wait_for("listening on", log)
    with connected(("127.0.0.1", port)) as client, connected(("127.0.0.1", port)) as idle:
        client.begin(scan)
        half = len(scan.lines) // 2
        client.send(*scan.lines[:half])
        wait_for("stopping", log)
        nothing = idle.socket.recv(1)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=1)
        client.send(*scan.lines[half:])
        client.close()
        return client.rest(), nothing


def test_page_on_the_scanner_room_runs(
    checkpoint: Callable[..., Path], tmp_path: Path, anatomy: np.ndarray
) -> None:
    """Its server, once told to stop, finishes the scan of another client; its exit code is 0."""
    checkpoint(**TRAINED)
    port, log = free_port(), tmp_path / "serve.log"
    text = (PAGES / "scanner.md").read_text().replace("9002", str(port))
    text = text.replace("\nkdmri serve", "\npython -m kdmri serve")  # not a function of the shell
    if shutil.which(TOOL) is None:
        scan_of(anatomy, repetitions=3).store(tmp_path / "scan.h5")
        text = re.sub(rf"^{TOOL} .*$", "test -f scan.h5", text, flags=re.M)
    with ThreadPoolExecutor() as pool:
        other = pool.submit(stopped_in_the_middle, port, log, scan_of(anatomy))
        shown = run_blocks(text, tmp_path, "")
        answer, nothing = other.result()
    assert re.search(r" stopped$", shown, re.M)
    assert len(list((tmp_path / "series").glob("*/*.dcm"))) == 3
    assert (tmp_path / "scan.html").is_file()
    assert (tmp_path / "best_model_onnx_float32" / "model.onnx").is_file()
    assert "DBG kdmri: undersampled k-space as it is" in shown
    assert re.search(r", 3 images in .* s: done$", log.read_text(), re.M)
    assert len(np.load(tmp_path / "served.npy")) == 3
    assert (len(answer.images), answer.errors, nothing) == (1, [], b"")

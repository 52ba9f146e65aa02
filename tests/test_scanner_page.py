"""The page on the scanner room: its commands run, and what it says of them is so."""

import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.reconstruct.coils import TRAINED
from tests.serve.scans import scan_of
from tests.test_docs import PAGES, run_blocks

TOOL = "ismrmrd_generate_cartesian_shepp_logan"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_page_on_the_scanner_room_runs(
    checkpoint: Callable[..., Path], tmp_path: Path, anatomy: np.ndarray
) -> None:
    pytest.importorskip("ismrmrd")
    checkpoint(**TRAINED)
    text = (PAGES / "scanner.md").read_text().replace("9002", str(free_port()))
    text = text.replace("\nkdmri serve", "\npython -m kdmri serve")  # not a function of the shell
    if shutil.which(TOOL) is None:
        scan_of(anatomy, repetitions=3).store(tmp_path / "scan.h5")
        text = re.sub(rf"^{TOOL} .*$", "test -f scan.h5", text, flags=re.M)
    shown = run_blocks(text, tmp_path, "")
    assert shown.splitlines()[-1].endswith(" stopped")
    assert shown.count("DBG kdmri: undersampled k-space as it is") >= 1
    log = (tmp_path / "serve.log").read_text()
    assert re.search(r", 3 images in .* s: done$", log, re.M)
    assert len(np.load(tmp_path / "served.npy")) == 3

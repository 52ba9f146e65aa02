"""Files that are mapped into memory have their room first."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from kdmri.errors import KdmriError
from kdmri.files import reserve
from kdmri.reconstruct.scan_page import Recorder


def test_room_is_taken_before_anything_is_written(tmp_path: Path) -> None:
    """A map of a file with holes ends the process (SIGBUS) where a disk is full."""
    path = tmp_path / "values.raw"
    with path.open("wb") as file:
        reserve(file, 2**20)
    found = path.stat()
    assert found.st_size == 2**20
    assert found.st_blocks * 512 >= 2**20, "no holes"


def test_page_without_room_for_its_slices_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    recorder = Recorder("scan", 16, None)
    message = r"page: its slices need 1\.0 MiB in .* \(No space left on device\); TMPDIR=FOLDER"
    with pytest.raises(KdmriError, match=message):
        recorder.add({"Reconstruction": np.zeros((2, 128, 128), np.float32)})

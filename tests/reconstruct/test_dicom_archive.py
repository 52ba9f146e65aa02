"""Series of `write=dicom` in an archive: Debian's Orthanc takes them and gives them back."""

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydicom
import pytest

from tests.reconstruct.dicom import write_series
from tests.reconstruct.expected import Run

ORTHANC = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin")


class Archive(NamedTuple):
    """Ports of one that runs."""

    dicom: int
    http: int

    def get(self, place: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/{place}", timeout=10) as reply:
            return reply.read()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    if ORTHANC is None or shutil.which("storescu") is None:
        pytest.skip("no archive: apt-get install orthanc dcmtk")
    ports = Archive(free_port(), free_port())
    settings = {
        "StorageDirectory": str(tmp_path / "archive"),
        "IndexDirectory": str(tmp_path / "archive"),
        "DicomPort": ports.dicom,
        "HttpPort": ports.http,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
    }
    (tmp_path / "orthanc.json").write_text(json.dumps(settings))
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([ORTHANC, str(tmp_path / "orthanc.json")], **silent) as process:
        try:
            for _ in range(200):
                try:
                    ports.get("system")
                    break
                except OSError:
                    time.sleep(0.05)
            yield ports
        finally:
            process.kill()


def test_an_archive_takes_a_series_and_gives_it_back_unchanged(
    archive: Archive,
    checkpoint: Callable[..., Path],
    reconstruct: Run,
    anatomy: np.ndarray,
    tmp_path: Path,
) -> None:
    stored = np.round(anatomy[:, :, 8:11] * 3000).astype(np.uint16)
    names = {"PatientName": "Müller^Jörg", "SpecificCharacterSet": "ISO_IR 100"}
    write_series(tmp_path / "scan", stored, "oblique", 7, **names)
    result = reconstruct(checkpoint=checkpoint(), input="scan", output="out", write="dicom")
    assert result.code == 0, result.err
    words = ["127.0.0.1", str(archive.dicom), "+sd", "+r", str(tmp_path / "out")]
    sent = subprocess.run(["storescu", *words], capture_output=True, text=True, check=False)
    assert sent.returncode == 0, sent.stderr
    (study,) = json.loads(archive.get("studies?expand"))
    assert study["PatientMainDicomTags"]["PatientName"] == names["PatientName"]
    (series,) = json.loads(archive.get("series?expand"))
    assert len(series["Instances"]) == 3
    ours = {
        one.SOPInstanceUID: one for one in map(pydicom.dcmread, (tmp_path / "out").rglob("*.dcm"))
    }
    for number, instance in enumerate(series["Instances"]):
        (tmp_path / f"{number}.dcm").write_bytes(archive.get(f"instances/{instance}/file"))
        back = pydicom.dcmread(tmp_path / f"{number}.dcm")
        assert back == ours.pop(back.SOPInstanceUID), "every element, the pixels among them"

"""Files from others show their own content and nothing else."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from kdmri.data.hdf5 import open_hdf5, read_text
from kdmri.data.layout import inspect, subject, told_subject, write_volume
from kdmri.errors import DataError
from tests.conftest import ROOT


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret.h5"
    write_volume(path, np.full((8, 6, 2), 0.5), {})
    return path


def external_link(file: h5py.File, secret: Path) -> None:
    file["volfs"] = h5py.ExternalLink(str(secret), "volfs")


def nested_link(file: h5py.File, secret: Path) -> None:
    external_link(file.create_group("more"), secret)


def raw_elsewhere(file: h5py.File, secret: Path) -> None:
    file.create_dataset("volfs", (8, 6, 2), "f4", external=[(str(secret), 0, 8 * 6 * 2 * 4)])


def virtual(file: h5py.File, secret: Path) -> None:
    layout = h5py.VirtualLayout((8, 6, 2), "f4")
    layout[:] = h5py.VirtualSource(str(secret), "volfs", (8, 6, 2))
    file.create_virtual_dataset("volfs", layout)


def bomb(file: h5py.File, secret: Path) -> None:
    file.create_dataset("volfs", (2**20, 2**20, 64), "f4", chunks=(256, 256, 1), fillvalue=1.0)


@pytest.mark.parametrize(
    ("hostile", "text"),
    [
        (external_link, "volfs is a link to another file"),
        (nested_link, "more/volfs is a link to another file"),
        (raw_elsewhere, "volfs lies in other files"),
        (virtual, "volfs lies in other files"),
        (bomb, r"volfs declares 262144\.0 GiB, of which 0 bytes"),
    ],
)
def test_hostile_files_are_refused(
    tmp_path: Path, secret: Path, hostile: Callable[[h5py.File, Path], None], text: str
) -> None:
    path = tmp_path / "theirs.h5"
    with h5py.File(path, "w") as file:
        hostile(file, secret)
    with pytest.raises(ValueError, match=text):
        open_hdf5(path)
    with pytest.raises(DataError, match=rf"theirs\.h5: .*{text}"):
        inspect(path, channels=1)


def test_links_within_a_file_and_what_compresses_well_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "own.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a/volume", data=np.zeros((64, 64, 8), "f4"), compression="gzip")
        file["volfs"] = h5py.SoftLink("/a/volume")
        file["again"] = file["a/volume"]
    with open_hdf5(path) as file:
        assert file["volfs"].shape == (64, 64, 8)
    assert inspect(path, channels=1).shape == (64, 64, 8)


def test_text_that_says_to_be_longer_than_its_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["xml"] = "header"
        place = file["xml"].id.get_offset()
    with open_hdf5(path) as file:
        assert read_text(file, "xml") == b"header"
    with path.open("r+b") as raw:
        raw.seek(place)
        raw.write((2**31).to_bytes(4, "little"))
    with pytest.raises(ValueError, match="xml is damaged: it declares more text or data than"):
        open_hdf5(path)


def endless(path: Path, size_of_free: bytes = bytes(8)) -> int:
    """Give the free space of a heap a size that is none, as bytes that flip may; its place."""
    data = bytearray(path.read_bytes())
    place = data.index(b"GCOL")
    here = place + 16
    while number := int.from_bytes(data[here : here + 2], "little"):
        size = int.from_bytes(data[here + 8 : here + 16], "little")
        assert number < 100
        here += 16 + size + -size % 8
    data[here + 8 : here + 16] = size_of_free
    path.write_bytes(data)
    return place


@pytest.mark.parametrize("size_of_free", [bytes(8), b"\xff" * 8])
@pytest.mark.parametrize("large", [False, True])
def test_a_heap_that_hdf5_never_comes_to_the_end_of_is_refused(
    tmp_path: Path, large: bool, size_of_free: bytes
) -> None:
    """HDF5 2.0.0 reads its text forever, and takes no signal meanwhile."""
    path = tmp_path / "scan.h5"
    with h5py.File(path, "w") as file:
        if large:
            noise = np.random.default_rng(0).random((64, 64, 8))
            file.create_dataset("kspace", data=noise, chunks=(64, 64, 4))
            file["image"] = noise
        file["text"] = "of variable length"
        file.attrs["subject"] = "p1"
    with open_hdf5(path) as file:
        assert read_text(file, "text") == b"of variable length"
    place = endless(path, size_of_free)
    with pytest.raises(ValueError, match=rf"damaged: its heap at byte {place} has no end"):
        open_hdf5(path)
    assert told_subject(path) is None
    assert subject(path) == "scan.h5"


def test_bytes_that_look_like_a_heap_are_none(tmp_path: Path) -> None:
    path = tmp_path / "scan.h5"
    with h5py.File(path, "w") as file:
        for number, size in enumerate((0, 4096, 2**40)):
            values = np.zeros(2**18, np.uint8)
            values[:16] = [*b"GCOL\x01\x00\x00\x00", *size.to_bytes(8, "little")]
            file[f"stored{number}"] = values
    with open_hdf5(path) as file:
        assert set(file) == {"stored0", "stored1", "stored2"}


@pytest.mark.parametrize("room", [100, 3000, 20_000, 64_000])
def test_file_without_room_is_told_and_ends_no_process(tmp_path: Path, room: int) -> None:
    """HDF5 itself tells nobody where an array's last blocks find no room, and dies at its exit."""
    program = f"""
import resource
from pathlib import Path
import numpy as np
from kdmri.data.hdf5 import hdf5_written_aside
from kdmri.errors import KdmriError
resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))
try:
    with hdf5_written_aside(Path("volume.h5")) as file:
        file.create_dataset("slices", shape=(16, 32, 32), dtype="f4", chunks=(1, 32, 32))
        for number in range(16):
            file["slices"][number] = np.ones((32, 32))
except KdmriError as error:
    print(error)
"""
    (tmp_path / "volume.h5").write_text("before")
    call = [sys.executable, "-c", program]
    done = subprocess.run(
        call,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "volume.h5: cannot be written (File too large)" in done.stdout
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]

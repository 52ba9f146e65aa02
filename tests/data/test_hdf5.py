"""Files from others show their own content and nothing else."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from kdmri.data.hdf5 import open_hdf5, read_text
from kdmri.data.layout import inspect, write_volume
from kdmri.errors import DataError


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
    with open_hdf5(path) as file, pytest.raises(ValueError, match="more text than the file holds"):
        read_text(file, "xml")

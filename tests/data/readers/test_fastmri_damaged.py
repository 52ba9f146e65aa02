"""fastMRI files whose header or values cannot be read."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from kdmri.data.readers.fastmri import FastMRI
from kdmri.errors import DataError
from tests.data.readers.coils import truncate
from tests.data.readers.test_fastmri import GOOD, centre, oversampled, write

BOMB = '<!DOCTYPE bomb [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'
HEADERS = {
    "entities": (GOOD.replace("<ismrmrdHeader", BOMB + "<ismrmrdHeader", 1), "document type"),
    "cut off": (GOOD[:300], "XML header is damaged"),
    "nothing": ("<ismrmrdHeader/>", "has no `encoding`"),
    "no matrix": (GOOD.replace("matrixSize", "matrix"), "has no encoding/encodedSpace/matrixSiz"),
    "zero matrix": (GOOD.replace(">96<", ">0<"), r"has encodedSpace/matrixSize \(0\.0"),
    "no number": (GOOD.replace(">96<", ">many<"), "many"),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_header_that_cannot_be_read_is_told_when_its_slices_are(
    tmp_path: Path, anatomy: np.ndarray, kind: str
) -> None:
    header, message = HEADERS[kind]
    write(tmp_path / "bad.h5", oversampled(anatomy), header=header, reconstruction=False)
    (volume,) = FastMRI(False).volumes(tmp_path)
    with pytest.raises(DataError, match=rf"bad\.h5: .*{message}"):
        next(volume.slices())


def test_header_in_an_encoding_that_hides_its_entities_is_refused(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    path = write(tmp_path / "bad.h5", oversampled(anatomy), header=None)
    hidden = HEADERS["entities"][0].replace("utf-8", "utf-16").encode("utf-16")
    with h5py.File(path, "a") as file:
        file["ismrmrd_header"] = np.void(hidden)
    (volume,) = FastMRI(False).volumes(tmp_path)
    with pytest.raises(DataError, match=r"bad\.h5"):
        next(volume.slices())


def test_damaged_files_do_not_stop_good_ones(tmp_path: Path, anatomy: np.ndarray) -> None:
    images = oversampled(anatomy)
    for name in ("a_good", "b_truncated", "c_keyless", "d_sizeless", "e_flat", "f_good"):
        write(tmp_path / f"{name}.h5", images)
    truncate(tmp_path / "b_truncated.h5")
    with h5py.File(tmp_path / "c_keyless.h5", "a") as file:
        del file["kspace"]
    with h5py.File(tmp_path / "d_sizeless.h5", "a") as file:
        del file["ismrmrd_header"], file["reconstruction_esc"]
    with h5py.File(tmp_path / "e_flat.h5", "a") as file:
        flat = file["kspace"][0]
        del file["kspace"]
        file["kspace"] = flat
    first, *broken, last = FastMRI(False).volumes(tmp_path)
    for good in (first, last):
        np.testing.assert_allclose(next(good.slices()).image, centre(images[0]), atol=1e-6)
    reasons = {
        "b_truncated": "truncated",
        "c_keyless": r"key kspace is missing \(found: ismrmrd_header, reconstruction_esc\)",
        "d_sizeless": "neither ismrmrd_header nor reconstruction_esc",
        "e_flat": r"kspace is complex64 of shape \(96, 40\)",
    }
    assert [volume.name for volume in broken] == list(reasons)
    for volume in broken:
        with pytest.raises(DataError, match=rf"{volume.name}\.h5: .*{reasons[volume.name]}"):
            next(volume.slices())


def test_empty_directory_is_named_with_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"{tmp_path}: found no fastMRI files \(\.h5\)"):
        list(FastMRI(False).volumes(tmp_path))

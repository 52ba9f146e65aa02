from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from kdmri.data.layout import (
    SUBJECT,
    inspect,
    largest_magnitude,
    open_volume,
    read_slice,
    read_volume,
    subject,
    subjects,
    write_volume,
)
from kdmri.data.masks import GaussianLines
from kdmri.data.undersampled_copies import write_undersampled
from kdmri.errors import DataError
from tests.conftest import write_original


def test_volume_comes_back_as_it_was_written(tmp_path: Path, anatomy: np.ndarray) -> None:
    phase = np.exp(1j * np.linspace(0, 3, anatomy.shape[0]))[:, None, None]
    write_volume(tmp_path / "1.h5", anatomy * phase, {"spacing_mm": 4.0})
    for channels, expected in ((1, anatomy), (2, anatomy * phase)):
        volume = inspect(tmp_path / "1.h5", channels)
        assert volume.shape == anatomy.shape
        with open_volume(volume.path) as file:
            assert file[volume.target_key].chunks == (48, 40, 1), "one slice a chunk"
            stored = read_volume(file, volume, volume.target_key)
            np.testing.assert_allclose(stored, expected, atol=1e-6)
            one = read_slice(file, volume, volume.target_key, 7)
            np.testing.assert_array_equal(one, stored[:, :, 7])
            assert largest_magnitude(file, volume) == pytest.approx(1)


@pytest.mark.parametrize("single_slice", [False, True])
@pytest.mark.parametrize("scale", [1, "sqrt(HW)", "1/sqrt(HW)"])
def test_original_files_are_read_at_orthonormal_scale(
    tmp_path: Path, anatomy: np.ndarray, single_slice: bool, scale: float | str
) -> None:
    values = anatomy[:, :, 0] if single_slice else anatomy
    root = np.sqrt(48 * 40)
    factor = {1: 1.0, "sqrt(HW)": root, "1/sqrt(HW)": 1 / root}[scale]
    mask = GaussianLines(4)((48, 40))
    write_original(tmp_path / "1.h5", values, mask, scale=factor)
    volume = inspect(tmp_path / "1.h5", channels=1, acceleration="4x")
    assert volume.shape == (48, 40, 1 if single_slice else 36)
    assert volume.kspace_key is not None
    with open_volume(volume.path) as file:
        kspace = read_slice(file, volume, volume.kspace_key, 0) * volume.kspace_factor
    expected = mask * np.fft.fft2(anatomy[:, :, 0], norm="ortho")
    np.testing.assert_allclose(kspace, expected, atol=1e-5)


def test_scale_is_told_by_a_slice_that_is_not_empty(tmp_path: Path, anatomy: np.ndarray) -> None:
    values = anatomy.copy()
    values[:, :, 10:30] = 0  # the middle one among them
    root = float(np.sqrt(48 * 40))
    write_original(tmp_path / "1.h5", values, GaussianLines(4)((48, 40)), scale=root)
    factor = inspect(tmp_path / "1.h5", channels=1, acceleration="4x").kspace_factor
    assert factor == pytest.approx(1 / root)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def drop(key: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with h5py.File(path, "a") as file:
            del file[key]

    return change


def replace(key: str, change_values: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with h5py.File(path, "a") as file:
            values = change_values(file[key][...])
            del file[key]
            file[key] = values

    return change


def add(key: str, make: Callable[[h5py.File], np.ndarray]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with h5py.File(path, "a") as file:
            file[key] = make(file)

    return change


def with_nan(values: np.ndarray) -> np.ndarray:
    values[3, 4] = np.nan
    return values


DAMAGES = {
    "truncated": (truncate, "truncated or not an HDF5 file"),
    "no target": (drop("volfs"), r"key volfs is missing \(found: img_volus_4x, kspace_volus_4x\)"),
    "no kspace": (drop("kspace_volus_4x"), "key kspace_volus_4x is missing"),
    "four axes": (replace("volfs", lambda v: v[None]), r"volfs has shape \(1, 48, 40, 36\)"),
    "integers": (replace("volfs", lambda v: v.astype(int)), "volfs has type int64"),
    "other slices": (replace("img_volus_4x", lambda v: v[:, :, 1:]), "they must be equal"),
    "other complex slices": (
        add("volfc", lambda file: file["volfs"][:, 1:] + 0j),
        r"volfc has shape \(48, 39, 36\), volfs \(48, 40, 36\); they must be equal",
    ),
    "scale": (replace("kspace_volus_4x", lambda v: 3 * v), "neither orthonormal nor scaled"),
    "other order": (replace("kspace_volus_4x", lambda v: v[:, :, ::-1]), "is the k-space shifted"),
    "centred": (
        replace("kspace_volus_4x", lambda v: np.fft.fftshift(v, (0, 1))),
        r"kspace_volus_4x is strongest in the middle.* numpy\.fft\.ifftshift",
    ),
    "nan": (replace("volfs", with_nan), "volfs.* holds NaN or infinite values"),
    "zeros": (replace("volfs", np.zeros_like), "volfs is zero everywhere"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_refused_by_name(
    tmp_path: Path, anatomy: np.ndarray, damage: str
) -> None:
    path = tmp_path / "broken.h5"
    write_original(path, anatomy, GaussianLines(4)((48, 40)))
    change, message = DAMAGES[damage]
    change(path)
    with pytest.raises(DataError, match=rf"broken\.h5.*{message}"):
        volume = inspect(path, channels=1, acceleration="4x")
        with open_volume(path) as file:
            largest_magnitude(file, volume)


def test_complex_target_that_is_missing_is_named(tmp_path: Path, anatomy: np.ndarray) -> None:
    write_volume(tmp_path / "1.h5", anatomy, {})
    with pytest.raises(DataError, match="key volfc is missing"):
        inspect(tmp_path / "1.h5", channels=2)


def test_failed_write_leaves_the_old_file(tmp_path: Path, anatomy: np.ndarray) -> None:
    write_volume(tmp_path / "1.h5", anatomy, {})
    before = (tmp_path / "1.h5").read_bytes()
    with pytest.raises(TypeError):
        write_volume(tmp_path / "1.h5", anatomy, {"bad": object()})  # type: ignore[dict-item]
    assert (tmp_path / "1.h5").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["1.h5"], "nothing half-written stays"


def test_who_was_scanned(tmp_path: Path, anatomy: np.ndarray) -> None:
    mask = np.ones((48, 40))
    write_volume(tmp_path / "1.h5", anatomy[:, :, :3], {SUBJECT: "subject-a"})
    write_volume(tmp_path / "2.h5", anatomy[:, :, :3], {})
    write_undersampled(tmp_path / "3.h5", anatomy[:, :, 3], mask, "4x", {SUBJECT: "subject-a"})
    write_undersampled(tmp_path / "4.h5", anatomy[:, :, 4], mask, "4x", {})
    write_volume(tmp_path / "6.h5", anatomy[:, :, :3] * 1j, {SUBJECT: "subject-b"})
    with h5py.File(tmp_path / "6.h5", "a") as file:
        del file["volfs"]
    description = [subject(tmp_path / f"{number}.h5") for number in range(1, 7)]
    assert description == ["subject-a", "2.h5", "subject-a", None, "5.h5", "subject-b"]
    volumes = [inspect(tmp_path / f"{number}.h5", channels=1) for number in (1, 2, 4)]
    assert subjects(volumes) == ["subject-a", "2.h5", "unknown"]

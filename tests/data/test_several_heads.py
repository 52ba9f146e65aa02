"""Data sets of several heads, or of one along several axes."""

from functools import partial
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest

from kdmri.data.coils import inspect_coils
from kdmri.data.embedded import HeadWithCoils
from kdmri.data.several_heads import SeveralHeads
from kdmri.errors import ConfigurationError, DataError
from tests.conftest import ROOT  # noqa: F401


def heads(tmp_path: Path, anatomy: np.ndarray, **changes: object) -> SeveralHeads:
    paths = {}
    for name, factor in (("a", 1.0), ("b", 0.5)):
        paths[name] = tmp_path / f"{name}.nii.gz"
        image = np.zeros((40, 48, 24), np.float32)
        image[...] = np.moveaxis(anatomy[:, :, 8:32], 0, 1)[::-1] * factor
        if not paths[name].exists():
            nibabel.save(nibabel.Nifti1Image(image, np.diag([2, 2, 3, 1])), paths[name])
    settings = {
        "source": None,
        "slabs": [("train", 0.6), ("validation", 0.2), ("test", 0.2)],
        **{"gap": 1, "foreground": 0.01, "coils": 3, "snr": 50, "size": None, "seed": 1},
    }
    make = partial(HeadWithCoils, **settings | changes)
    return SeveralHeads({k: lambda p=p: p for k, p in paths.items()}, ["axial", "coronal"], make)


def test_every_head_and_axis_is_in_every_split(tmp_path: Path, anatomy: np.ndarray) -> None:
    folder = tmp_path / "several"
    heads(tmp_path, anatomy)(folder)
    names = {"a_axial", "a_coronal", "b_axial", "b_coronal"}
    for split in ("train", "validation", "test"):
        assert {path.stem for path in (folder / split).glob("*.h5")} == {f"{n}_1" for n in names}
    assert inspect_coils(folder / "train" / "a_axial_1.h5").shape[:2] == (48, 40)
    assert inspect_coils(folder / "train" / "b_coronal_1.h5").shape[:2] == (24, 40)
    before = (folder / "made_of.json").stat().st_mtime_ns
    heads(tmp_path, anatomy)(folder)
    assert (folder / "made_of.json").stat().st_mtime_ns == before
    assert not list(tmp_path.glob(".several*"))
    with pytest.raises(DataError, match=r"b_coronal: dataset\.build\.snr was 50, now 20"):
        heads(tmp_path, anatomy, snr=20)(folder)


def test_each_slice_has_noise_of_its_own_and_is_measured_against_all_coils(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    folder, levels = tmp_path / "several", []
    make = heads(tmp_path, anatomy, snr=[5, 500], measured_against="rss")
    make(folder)
    make(folder)  # compares its settings with those that it was made of
    for path in sorted((folder / "train").glob("*.h5")):
        volume = inspect_coils(path)
        assert volume.against == "rss"
        with h5py.File(path) as file:
            images = np.fft.ifft2(file["kspace_coils"][...], axes=(1, 2), norm="ortho")
            squares = np.sqrt((np.abs(images) ** 2).sum(axis=0))
            np.testing.assert_allclose(file["volfs"][...], squares, atol=1e-5)
        corner = np.abs(images[:, :3, :3]).mean(axis=(0, 1, 2))  # air
        levels += corner.tolist()
    assert max(levels) > 10 * min(levels)
    with pytest.raises(ConfigurationError, match="snr="):
        heads(tmp_path, anatomy, snr=[9, 3])(tmp_path / "wrong")

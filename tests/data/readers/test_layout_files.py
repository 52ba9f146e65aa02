"""The layout as a source: its files are numbered anew in each split, as the original project's."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from kdmri.data.attributes import geometry_attributes
from kdmri.data.geometry import Geometry
from kdmri.data.layout import write_volume
from kdmri.data.masks import GaussianLines
from kdmri.data.readers.base import SourceVolume
from kdmri.data.readers.layout_files import LayoutFiles
from kdmri.data.readers.who import find_subjects
from kdmri.errors import DataError
from kdmri.prepare.pipeline import store_undersampled
from kdmri.prepare.subjects import assign
from tests.conftest import ROOT


def read(source: Path) -> list[SourceVolume]:
    reader = instantiate(OmegaConf.load(ROOT / "configs" / "format" / "layout.yaml"))
    assert isinstance(reader, LayoutFiles)
    return find_subjects(reader, source, None).volumes


@pytest.mark.parametrize("inner", ["", "acc_4x"])
def test_the_owners_split_is_kept_though_numbers_repeat(
    tmp_path: Path, anatomy: np.ndarray, inner: str
) -> None:
    for split, count in (("train", 2), ("validation", 1), ("test", 1)):
        for number in range(1, count + 1):
            write_volume(tmp_path / split / inner / f"{number}.h5", anatomy[:, :, 4:6], {})
    volumes = read(tmp_path)
    splits = assign(volumes, None, seed=1)
    assert [splits[v.subject] for v in volumes] == [v.split for v in volumes]
    assert len(splits) == len(volumes) == 4


def test_subjects_that_files_tell_stay_together(tmp_path: Path, anatomy: np.ndarray) -> None:
    for name, subject in (("1", "ann"), ("2", "bob"), ("3", "ann")):
        write_volume(tmp_path / f"{name}.h5", anatomy[:, :, 4:6], {"subject": subject})
    assert [v.subject for v in read(tmp_path)] == ["ann", "bob", "ann"]
    np.testing.assert_array_equal(
        np.stack([s.image for s in read(tmp_path)[0].slices()]),
        np.moveaxis(anatomy[:, :, 4:6], -1, 0).astype(np.float32),
    )


def test_a_damaged_file_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "1.h5").write_bytes(b"\x89HDF")
    (volume,) = read(tmp_path)
    assert (volume.name, volume.subject, volume.split) == ("train_1", "train_1", "train")


AFFINE = np.array([[0, -2, 0.3, 80], [1.5, 0, 0, -60], [0, 0.2, 3, 7], [0, 0, 0, 1.0]])


@pytest.mark.parametrize("oriented", [True, False])
def test_geometry_is_read_as_it_was_written(
    tmp_path: Path, anatomy: np.ndarray, oriented: bool
) -> None:
    geometry = Geometry(AFFINE) if oriented else Geometry.of_spacing((1.5, 2, 3.25))
    write_volume(tmp_path / "1.h5", anatomy[:, :, 4:6], geometry_attributes(geometry))
    (volume,) = read(tmp_path)
    assert volume.geometry is not None
    np.testing.assert_array_equal(volume.geometry.affine, geometry.affine)
    assert volume.geometry.oriented == oriented


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("affine", np.zeros((4, 4))),
        ("affine", np.eye(3)),
        ("affine", "RAS"),
        ("affine", AFFINE * np.nan),
        ("spacing_mm", "1 2"),
        ("spacing_mm", "1 2 zero"),
        ("spacing_mm", "1 2 -3"),
    ],
)
def test_attributes_that_tell_no_geometry_are_named(
    tmp_path: Path, anatomy: np.ndarray, attribute: str, value: object
) -> None:
    write_volume(tmp_path / "1.h5", anatomy[:, :, 4:6], {})
    with h5py.File(tmp_path / "1.h5", "a") as file:
        file.attrs[attribute] = value
    (volume,) = read(tmp_path)
    with pytest.raises(DataError, match=rf"1\.h5: attribute {attribute}.*correct or remove it"):
        list(volume.slices())


def test_files_of_earlier_versions_tell_no_geometry(tmp_path: Path, anatomy: np.ndarray) -> None:
    """Embedded data sets had the distance of slices alone, as a number."""
    write_volume(tmp_path / "1.h5", anatomy[:, :, 4:6], {"spacing_mm": 4.0})
    (volume,) = read(tmp_path)
    assert volume.geometry is None
    assert len(list(volume.slices())) == 2


def test_undersampled_copies_keep_their_geometry(tmp_path: Path, anatomy: np.ndarray) -> None:
    attributes = geometry_attributes(Geometry(AFFINE))
    write_volume(tmp_path / "one" / "train" / "a.h5", anatomy[:, :, 4:6], attributes)
    store_undersampled(tmp_path / "one", GaussianLines(4), "4x", tmp_path / "mask.npy")
    (volume,) = read(tmp_path / "one" / "train" / "acc_4x")
    assert volume.geometry is not None
    np.testing.assert_array_equal(volume.geometry.affine, AFFINE)


def test_kspace_alone_is_no_target(tmp_path: Path, anatomy: np.ndarray) -> None:
    with h5py.File(tmp_path / "1.h5", "w") as file:
        file["kspace_volus_4x"] = np.fft.fft2(anatomy[:, :, 4:6], axes=(0, 1))
    (volume,) = read(tmp_path)
    with pytest.raises(
        DataError, match=r"1\.h5: holds undersampled k-space alone \(kspace_volus_4x"
    ):
        next(volume.slices())

"""The layout as a source: its files are numbered anew in each split, as the original project's."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from kdmri.data.layout import write_volume
from kdmri.data.prepare.layout_files import LayoutFiles
from kdmri.data.prepare.source import SourceVolume
from kdmri.data.prepare.subjects import assign
from kdmri.errors import DataError
from tests.conftest import ROOT


def read(source: Path) -> list[SourceVolume]:
    reader = instantiate(OmegaConf.load(ROOT / "configs" / "format" / "layout.yaml"))
    assert isinstance(reader, LayoutFiles)
    return list(reader.volumes(source))


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


def test_kspace_alone_is_no_target(tmp_path: Path, anatomy: np.ndarray) -> None:
    with h5py.File(tmp_path / "1.h5", "w") as file:
        file["kspace_volus_4x"] = np.fft.fft2(anatomy[:, :, 4:6], axes=(0, 1))
    (volume,) = read(tmp_path)
    with pytest.raises(
        DataError, match=r"1\.h5: holds undersampled k-space alone \(kspace_volus_4x"
    ):
        next(volume.slices())

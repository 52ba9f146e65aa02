"""Files are known again by their images, and a state of an earlier version is believed."""

from pathlib import Path

import numpy as np
import pytest

from kdmri.data.datamodule import MRIDataModule
from kdmri.data.masks import GaussianLines
from kdmri.data.training_files import check_known, known_by
from kdmri.errors import DataError
from kdmri.physics import CartesianUndersampling
from tests.data.coil_volumes import write
from tests.data.readers.coils import phased
from tests.data.test_scans import data_of


def test_files_are_known_by_number_and_brightness_of_slices(own: Path, anatomy: np.ndarray) -> None:
    data = MRIDataModule(CartesianUndersampling(GaussianLines(4)), own, "4x", 4, seed=0)
    found = known_by([data.dataset("train"), data.dataset("selection")], own)
    assert found["files"] == {"train/1.h5": 5, "train/2.h5": 7, "validation/1.h5": 3}
    middle = anatomy[:, :, 6 + 3]
    assert found["means"]["train/2.h5"] == pytest.approx(float(middle.mean()), rel=1e-5)


def test_coils_are_known_by_their_combined_images(tmp_path: Path, anatomy: np.ndarray) -> None:
    for split, first in (("train", 6), ("validation", 10), ("test", 14)):
        write(tmp_path / split / "a.h5", phased(anatomy, slice(first, first + 3)))
    data = data_of(tmp_path, CartesianUndersampling(GaussianLines(4)))
    found = known_by([data.dataset("train"), data.dataset("selection")], tmp_path)
    one, other = found["means"].values()
    assert abs(one / other - 1) > 0.01


def test_same_images_of_another_machine_go_on_and_others_are_named(tmp_path: Path) -> None:
    before = {"files": {"a.h5": 3, "b.h5": 2}, "means": {"a.h5": 0.25, "b.h5": 0.5}}
    check_known({}, before, tmp_path)
    check_known({"files": before["files"]}, before, tmp_path)
    check_known(before, before | {"means": {"a.h5": 0.250001, "b.h5": 0.499999}}, tmp_path)
    with pytest.raises(DataError, match=r": b\.h5: holds other images"):
        check_known(before, before | {"means": {"a.h5": 0.25, "b.h5": 0.51}}, tmp_path)
    with pytest.raises(DataError, match=r": a\.h5, c\.h5: vanished"):
        check_known(before, {"files": {"b.h5": 2, "c.h5": 3}, "means": {}}, tmp_path)

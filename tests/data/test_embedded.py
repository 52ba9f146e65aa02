from dataclasses import replace
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
from hydra import compose
from hydra.utils import instantiate

from kdmri.data.attributes import read_geometry
from kdmri.data.cropping import fit_centre
from kdmri.data.embedded import MADE_OF, HeadInSlabs, find_colin27, find_mni, sources
from kdmri.errors import ConfigurationError, DataError

SLABS = [("train", 0.5), ("validation", 0.2), ("test", 0.3)]
HEAD = HeadInSlabs(find_mni, None, "axial", SLABS, gap=3, foreground=0.05)


def read(folder: Path, split: str) -> np.ndarray:
    with h5py.File(folder / split / "1.h5") as file:
        return file["volfs"][...]


AS_SEEN = {
    "axial": lambda head, n: head[:, ::-1, n].T,
    "coronal": lambda head, n: head[:, n, ::-1].T,
    "sagittal": lambda head, n: head[n, :, ::-1].T,
}
"""Anterior or superior at the top, left or posterior at the left; the template is stored as RAS."""


@pytest.mark.parametrize("orientation", AS_SEEN)
def test_slabs_are_the_templates_slices_apart_in_space(tmp_path: Path, orientation: str) -> None:
    replace(HEAD, orientation=orientation)(tmp_path / "mni")
    head = np.asarray(nibabel.load(find_mni()).dataobj, dtype=np.float32) / 255
    slabs = {split: read(tmp_path / "mni", split) for split in ("train", "validation", "test")}
    see = AS_SEEN[orientation]
    first = next(n for n in range(200) if np.array_equal(see(head, n), slabs["train"][:, :, 0]))
    for slab in slabs.values():
        for index in range(slab.shape[2]):
            np.testing.assert_array_equal(slab[:, :, index], see(head, first + index))
        first += slab.shape[2] + HEAD.gap


@pytest.mark.parametrize("orientation", AS_SEEN)
def test_slabs_lie_where_the_template_is(tmp_path: Path, orientation: str) -> None:
    replace(HEAD, orientation=orientation)(tmp_path / "mni")
    template = nibabel.load(find_mni())
    values = np.asarray(template.dataobj, dtype=np.float32) / 255
    for split in ("train", "validation", "test"):
        with h5py.File(tmp_path / "mni" / split / "1.h5") as file:
            slab, geometry = file["volfs"][...], read_geometry(file)
        assert geometry is not None
        assert geometry.spacing == pytest.approx((1, 1, 1))
        to_template = np.linalg.inv(template.affine) @ geometry.affine
        indices = nibabel.affines.apply_affine(to_template, np.indices(slab.shape).reshape(3, -1).T)
        found = values[tuple(indices.round().astype(int).T)].reshape(slab.shape)
        np.testing.assert_array_equal(found, slab)


def test_mirrored_slices_of_a_symmetric_head_are_in_one_split_only(tmp_path: Path) -> None:
    replace(HEAD, orientation="sagittal")(tmp_path / "mni")
    train, test = (read(tmp_path / "mni", split) for split in ("train", "test"))
    for index in range(test.shape[2]):
        closest = np.abs(train - test[:, :, index : index + 1]).mean(axis=(0, 1)).min()
        assert closest > 0.01


def test_missing_package_is_hinted_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="nilearn, which is not installed; run: pip install"):
        HEAD(tmp_path / "mni")
    monkeypatch.setattr(sources.Path, "is_file", lambda path: False)
    with pytest.raises(DataError, match="apt-get install mricron-data"):
        find_colin27()


def test_wrong_sources_leave_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "text.nii.gz").write_text("no image")
    flat = tmp_path / "flat.nii"
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 4), np.float32), np.eye(4)), flat)
    for source, message in (("text.nii.gz", "not a readable NIfTI"), ("flat.nii", "not a 3D")):
        with pytest.raises(DataError, match=rf"{source}: {message}"):
            replace(HEAD, source=str(tmp_path / source))(tmp_path / "datasets" / "x")
    with pytest.raises(
        ConfigurationError, match=r"dataset.orientation=oblique: choose one of axial"
    ):
        replace(HEAD, orientation="oblique")(tmp_path / "datasets" / "x")
    with pytest.raises(
        ConfigurationError, match=r"dataset.build.gap=100: a slab of the 137 slices"
    ):
        replace(HEAD, gap=100)(tmp_path / "datasets" / "x")
    assert not (tmp_path / "datasets" / "x").exists()
    assert not list((tmp_path / "datasets").iterdir())


def test_processes_that_build_at_once_share_what_the_first_one_made(tmp_path: Path) -> None:
    def built_meanwhile() -> Path:
        HEAD(tmp_path / "mni")
        return find_mni()

    replace(HEAD, find=built_meanwhile)(tmp_path / "mni")
    assert [path.name for path in tmp_path.iterdir()] == ["mni"]
    assert {path.name for path in (tmp_path / "mni").iterdir()} == {
        *("train", "validation", "test"),
        MADE_OF,
    }
    assert read(tmp_path / "mni", "test").shape[2] > 10


def test_folder_that_was_made_otherwise_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "mni"
    HEAD(folder)
    before = read(folder, "test")
    HEAD(folder)
    same = replace(HEAD, source=str(find_mni()))
    same(folder)
    own = tmp_path / "own.nii.gz"
    half = nibabel.load(find_mni())
    nibabel.save(nibabel.Nifti1Image(np.asarray(half.dataobj) // 2, half.affine), own)
    mine = replace(HEAD, source=str(own))
    for other, description in (
        (replace(HEAD, gap=7), r"mni: was made .* dataset.build.gap was 3, now 7. Choose another"),
        (mine, r"dataset.source was another image than .*own.nii.gz"),
        (replace(HEAD, source=str(tmp_path / "none.nii")), r"dataset.source=.*none.nii: cannot be"),
    ):
        with pytest.raises(DataError, match=description):
            other(folder)
    np.testing.assert_array_equal(read(folder, "test"), before)
    mine(tmp_path / "mine")
    mine(tmp_path / "mine")
    with pytest.raises(DataError, match=r"dataset.source was another image"):
        HEAD(tmp_path / "mine")
    same(tmp_path / "same")
    HEAD(tmp_path / "same")
    (folder / MADE_OF).write_text("{")
    with pytest.raises(DataError, match=f"{MADE_OF}: unreadable"):
        HEAD(folder)
    (folder / MADE_OF).unlink()
    HEAD(folder)


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize("orientation", AS_SEEN)
@pytest.mark.parametrize("name", ["mni_multicoil", "colin27_multicoil"])
def test_coils_see_the_whole_head(name: str, orientation: str) -> None:
    config = compose("config", [f"dataset={name}", f"dataset.orientation={orientation}"])
    build = instantiate(config.dataset.build)
    try:
        volume, _ = build._read(build.find())
    except DataError:
        pytest.skip("the package that ships the head is not installed")
    assert fit_centre(volume, build.size).sum() > 0.999 * volume.sum()

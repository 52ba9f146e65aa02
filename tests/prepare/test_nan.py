"""NaN around the body, as SPM leaves it, and NaN that is damage."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest

from kdmri.data.readers.nifti import Nifti
from kdmri.data.readers.slices import volumes_of
from kdmri.data.simulation import Simulation
from kdmri.prepare import writing
from kdmri.prepare.writing import Form, write_prepared
from tests.conftest import Result
from tests.prepare.conftest import SCRIPT

Run = Callable[..., Result]
Scan = Callable[..., np.ndarray]


@pytest.fixture
def spm(tmp_path: Path, anatomy: np.ndarray) -> Scan:
    """Write a NIfTI file whose background is NaN; gives the values with 0 there."""

    def write(name: str = "a", dark: float = 0.1, **damage: float) -> np.ndarray:
        values = anatomy[:, :, 4:9].astype(np.float32)
        values[values < dark] = np.nan
        for value in damage.values():
            values[20, 20, 2] = value
        (tmp_path / "spm").mkdir(exist_ok=True)
        image = nibabel.Nifti1Image(values, np.eye(4))
        nibabel.save(image, tmp_path / "spm" / f"{name}.nii.gz")
        return np.where(np.isnan(values), 0, values)

    return write


@pytest.fixture
def prepare(run: Run) -> Run:
    def call(*overrides: str) -> Result:
        words = ("source=spm", "processes=1", "ratios={train: 1}")
        return run(SCRIPT, "format=nifti", "name=study", *words, *overrides)

    return call


def stored(tmp_path: Path, name: str = "a") -> np.ndarray:
    (path,) = (tmp_path / "datasets").rglob(f"*{name}*.h5")
    with h5py.File(path) as file:
        return file["volfs"][...]


def test_nan_is_refused_and_the_way_out_is_said(prepare: Run, spm: Scan, tmp_path: Path) -> None:
    spm()
    result = prepare()
    assert result.code == 2
    assert "a.nii.gz: slice 0 holds NaN or infinite values; where NaN is the" in result.out
    assert "format.nan=zero" in result.out
    assert not list(tmp_path.rglob("*.h5"))


def test_nan_of_a_background_becomes_zero_and_nothing_else_changes(
    prepare: Run, spm: Scan, tmp_path: Path
) -> None:
    wanted, sparse = spm(), spm("b", dark=0.4)
    result = prepare("format.nan=zero")
    assert result.code == 0, result.err
    np.testing.assert_allclose(stored(tmp_path), wanted / wanted.max(), atol=1e-6)
    low, high = ((values == 0).mean() for values in (wanted, sparse))
    assert f"NaN is 0 now in 2 volumes, {low:.1%} to {high:.1%} of their values" in result.out
    manifest = json.loads((tmp_path / "datasets" / "study" / "manifest.json").read_text())
    assert manifest["settings"]["format.nan"] == "zero"
    assert manifest["volumes"]["b"]["nan"] == pytest.approx(high)
    assert "format.nan was zero, now None" in prepare().err


@pytest.mark.parametrize(
    ("damage", "message"),
    [({"one": np.inf}, "slice 2 holds NaN or infinite"), ({"dark": 0.99}, "of its values are NaN")],
)
def test_infinite_values_and_nearly_empty_volumes_stay_refused(
    prepare: Run, spm: Scan, tmp_path: Path, damage: dict[str, float], message: str
) -> None:
    spm(**damage)
    result = prepare("format.nan=zero")
    assert result.code == 2
    assert message in result.out
    assert not list(tmp_path.rglob("*.h5"))


def test_volume_that_is_read_twice_has_zeros_both_times(
    spm: Scan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = spm()
    monkeypatch.setattr(writing, "HELD_BYTES", 0)
    (volume,) = volumes_of(Nifti(None, 2, nan="zero"), tmp_path / "spm")
    form = Form(None, Simulation(False, None, 0))
    write_prepared(volume, "train", tmp_path / "spm", tmp_path / "datasets", form)
    np.testing.assert_allclose(stored(tmp_path), wanted / wanted.max(), atol=1e-6)


@pytest.mark.parametrize("is_complex", [False, True])
def test_nan_of_numpy_images_and_never_of_kspace(
    run: Run, tmp_path: Path, anatomy: np.ndarray, is_complex: bool
) -> None:
    values = anatomy[:, :, 4:9].astype(np.complex64 if is_complex else np.float32)
    values[:9] = np.nan
    (tmp_path / "spm").mkdir()
    np.save(tmp_path / "spm" / "a.npy", values)
    words = ("format=numpy", "name=study", "source=spm", "format.axis=2", "processes=1")
    kspace = run(SCRIPT, *words, "format.nan=zero", "format.kspace=true")
    assert kspace.code == 2
    assert "format.nan=zero: is for images" in kspace.err
    result = run(SCRIPT, *words, "format.nan=zero", "ratios={train: 1}")
    assert result.code == 0, result.err
    np.testing.assert_allclose(
        stored(tmp_path),
        np.abs(np.nan_to_num(values)) / np.abs(np.nan_to_num(values)).max(),
        atol=1e-6,
    )


def test_word_for_nan_is_checked(prepare: Run, spm: Scan) -> None:
    spm()
    assert "format.nan=ignore: must be refuse or zero" in prepare("format.nan=ignore").err

"""Sources, settings and folders that `python -m kdmri.prepare` does not take."""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from kdmri.data.readers.base import SourceSlice, SourceVolume
from kdmri.errors import DataError
from kdmri.prepare.pipeline import _read
from tests.prepare.conftest import NUMPY, Run, state


@pytest.mark.processes
def test_unreadable_file_is_left_out_or_stops_the_run(
    prepare: Run, folder: Path, source: Path
) -> None:
    bad = source / "bob" / "bob_two.npy"
    bad.write_bytes(bad.read_bytes()[:300])
    strict = prepare(*NUMPY, "strict=true")
    assert strict.code == 2
    assert "bob_two.npy" in strict.err
    result = prepare()
    assert result.code == 2
    assert "left out: " in result.out
    assert "bob_two.npy" in result.out
    assert "1 left out" in result.out
    assert len(state(folder)) == 9


def test_mixed_sizes_and_nan_are_refused_by_name(prepare: Run, source: Path) -> None:
    values = np.load(source / "ann" / "ann_one.npy")
    values[2, 3, 4] = np.nan
    np.save(source / "ann" / "ann_one.npy", values)
    np.save(source / "dan" / "dan_two.npy", np.zeros((3, 8, 8), np.float32))
    result = prepare()
    assert result.code == 2
    assert "ann_one.npy: slice 2 holds NaN" in result.out
    assert "dan_two.npy: holds no signal" in result.out


def test_images_that_are_no_magnitudes_are_refused_by_name(
    prepare: Run, source: Path, folder: Path
) -> None:
    """Interpolation overshoots a little: what it leaves below zero is zero, and no scale."""
    path = source / "ann" / "ann_one.npy"
    values = np.load(path)
    np.save(source / "dan" / "dan_two.npy", values - 1024)
    np.save(source / "bob" / "bob_two.npy", (values - values.mean()) / values.std())
    values[0, 0, 0] = -0.05 * values.max()
    np.save(path, values)
    result = prepare()
    assert result.code == 2
    for name in ("dan_two.npy", "bob_two.npy"):
        assert f"{name}: has values from -" in result.out
    assert "magnitudes are not below zero" in result.out
    (stored,) = folder.rglob("*ann_one*.h5")
    with h5py.File(stored) as file:
        assert (file["volfs"][...].min(), file["volfs"][...].max()) == (0, 1)
        assert file.attrs["scale"] == pytest.approx(values.max())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((*NUMPY, "source=nowhere"), "source=nowhere: there is no such file"),
        ((*NUMPY, "source=null"), "source: name the file or directory"),
        ((*NUMPY, "name=null"), "name: give the data set a name"),
        ((*NUMPY, "name=2024"), "name=2024: must be null or text; a number needs quotes"),
        (("format=own",), "format: say which one"),
        (("check=empty",), "check=empty: no h5 files"),
        ((*NUMPY, "ratios={tests: 1}"), "ratios="),
        ((*NUMPY, "ratios=0.8"), "ratios=0.8: must be null or such as 'ratios={train: 0.8,"),
        ((*NUMPY, "ratios={train: 0}"), "ratios={'train': 0}: must be"),
        ((*NUMPY, "image_size=256"), "image_size=256: must be null or [H,W]"),
        ((*NUMPY, "image_size=[40]"), "image_size=[40]: must be null or [H,W]"),
        ((*NUMPY, "processes=0"), "processes=0: must be a whole number, at least 1"),
        ((*NUMPY, "seed=a"), "seed=a: must be a whole number"),
        ((*NUMPY, "strict=maybe"), "strict=maybe: must be true or false"),
        ((*NUMPY, "simulation.phase=2"), "simulation.phase=2: must be true or false"),
        ((*NUMPY, "simulation.snr=abc"), "simulation.snr=abc: must be null or a number above 0"),
        (
            (*NUMPY, "store_undersampled=true", "mask=none.npy"),
            "mask=none.npy: there is no such file",
        ),
    ],
)
def test_wrong_commands(prepare: Run, overrides: tuple[str, ...], message: str) -> None:
    result = prepare(*overrides)
    assert result.code == 2
    assert message in result.err


def test_folder_with_other_data_is_not_touched(prepare: Run, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "thesis.txt").write_text("precious")
    result = prepare()
    assert result.code == 2
    assert "holds other data" in result.err
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


def test_other_settings_are_not_mixed_in(prepare: Run, folder: Path) -> None:
    assert prepare().code == 0
    before = state(folder)
    result = prepare(*NUMPY, "image_size=[32,32]")
    assert result.code == 2
    assert "image_size was None, now [32, 32]" in result.err
    assert state(folder) == before


def test_volume_of_which_cropping_leaves_nothing_is_refused(
    prepare: Run, folder: Path, source: Path
) -> None:
    path = source / "ann" / "ann_one.npy"
    values = np.zeros_like(np.load(path))
    values[:, 0] = 1
    np.save(path, values)
    result = prepare(*NUMPY, "image_size=[4,4]")
    assert result.code == 2
    assert "ann_one.npy: image_size=[4,4] crops all of it that is not zero" in result.out
    assert not [name for name in state(folder) if "ann_one" in str(name)]


def test_what_a_reader_of_ones_own_fails_with_names_the_file(tmp_path: Path) -> None:
    def slices() -> Iterator[SourceSlice]:
        yield SourceSlice(np.ones((4, 4), np.float32))
        raise KeyError("images")

    volume = SourceVolume("scan", "p1", (tmp_path / "scan.npz",), slices)
    with pytest.raises(DataError, match=r"scan\.npz: 'images'"):
        list(_read(volume))

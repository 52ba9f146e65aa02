"""`python -m kdmri.prepare` as a user runs it, on real anatomy in NumPy files."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from kdmri.data.layout import write_volume
from tests.conftest import ROOT, TINY, Result

Run = Callable[..., Result]
SCRIPT = "kdmri/prepare.py"
NUMPY = ("format=numpy", "format.axis=0")
SUBJECTS = ("ann", "bob", "cid", "dan", "eve")


@pytest.fixture
def source(tmp_path: Path, anatomy: np.ndarray) -> Path:
    """Five subjects of two volumes each, 8 and 4 slices, in units of their own."""
    folder = tmp_path / "study"
    for number, subject in enumerate(SUBJECTS):
        (folder / subject).mkdir(parents=True)
        for name, slices in (("one", slice(4, 12)), ("two", slice(20, 24))):
            values = np.moveaxis(anatomy[:, :, slices], -1, 0) * (100 + number)
            np.save(folder / subject / f"{subject}_{name}.npy", values.astype(np.float32))
    return folder


@pytest.fixture
def prepare(run: Run, source: Path) -> Run:
    def call(*overrides: str) -> Result:
        return run(SCRIPT, "name=study", f"source={source}", *(overrides or NUMPY))

    return call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "datasets" / "study"


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.read_bytes())
        for p in sorted(folder.rglob("*.h5"))
    }


def test_volumes_are_scaled_split_by_subject_and_recorded(
    prepare: Run, folder: Path, anatomy: np.ndarray
) -> None:
    result = prepare()
    assert result.code == 0, result.err
    assert "10 volumes written (60 slices" in result.out
    manifest = json.loads((folder / "manifest.json").read_text())
    splits: dict[str, set[str]] = {}
    for name, entry in manifest["volumes"].items():
        splits.setdefault(entry["subject"], set()).add(entry["split"])
        cut = slice(4, 12) if "one" in name else slice(20, 24)
        with h5py.File(folder / entry["file"]) as file:
            stored = file["volfs"][...]
            assert file["volfs"].chunks == (48, 40, 1)
        expected = anatomy[:, :, cut] / anatomy[:, :, cut].max()
        np.testing.assert_allclose(stored, expected, atol=1e-6)
        number = SUBJECTS.index(name.split("_")[0])
        assert entry["scale"] == pytest.approx(anatomy[:, :, cut].max() * (100 + number))
        assert entry["shape"] == list(expected.shape)
        assert len(entry["sources"][0]["sha256"]) == 64
    assert sorted(next(iter(s)) for s in splits.values()) == [
        "test",
        "train",
        "train",
        "train",
        "validation",
    ]
    assert all(len(found) == 1 for found in splits.values())
    assert not any(subject in "".join(splits) for subject in SUBJECTS)


def test_second_run_does_only_what_is_missing(prepare: Run, folder: Path, source: Path) -> None:
    assert prepare().code == 0
    before = state(folder)
    lost = next(folder.glob("train/*.h5"))
    lost.unlink()
    result = prepare()
    assert "1 volumes written" in result.out
    assert "9 there before" in result.out
    after = state(folder)
    assert {k: v[1] for k, v in after.items()} == {k: v[1] for k, v in before.items()}
    assert sum(after[key][0] != before[key][0] for key in after) == 1


def test_subjects_that_come_later_move_nobody(prepare: Run, folder: Path, source: Path) -> None:
    assert prepare().code == 0
    before = state(folder)
    for name in ("aaa", "flo"):  # one before all others, one behind them
        (source / name).mkdir()
        shutil.copy(source / "eve" / "eve_two.npy", source / name / f"{name}_one.npy")
    result = prepare()
    assert "2 volumes written" in result.out
    assert "10 there before" in result.out
    assert before.items() <= state(folder).items()
    assert "12 files, 0 wrong" in prepare(f"check={folder}").out


def test_source_that_changed_is_written_again(prepare: Run, folder: Path, source: Path) -> None:
    assert prepare().code == 0
    changed = source / "bob" / "bob_two.npy"
    np.save(changed, np.load(changed)[:, ::-1])  # of the same size
    (source / "ann" / "ann_one.npy").touch()
    result = prepare()
    assert "1 volumes written" in result.out
    assert "9 there before" in result.out


def test_prepared_data_trains(prepare: Run, run: Run, folder: Path) -> None:
    assert prepare().code == 0
    tiny = [word for word in TINY if not word.startswith("dataset.name")]
    result = run("train.py", *tiny, "dataset.name=study", "stage=student")
    assert result.code == 0, result.err


def test_size_phase_and_noise(prepare: Run, folder: Path) -> None:
    result = prepare(*NUMPY, "image_size=[32,56]", "simulation.phase=true", "simulation.snr=30")
    assert result.code == 0, result.err
    path = next(folder.glob("train/*.h5"))
    with h5py.File(path) as file:
        assert file["volfc"].shape[:2] == (32, 56)
        np.testing.assert_allclose(np.abs(file["volfc"][...]), file["volfs"][...], atol=1e-6)
        assert np.abs(file["volfc"][...].imag).max() > 0.1


def test_undersampled_copies_are_what_the_original_project_expects(
    prepare: Run, run: Run, folder: Path, tmp_path: Path
) -> None:
    assert prepare(*NUMPY, "store_undersampled=true", "acceleration=4x").code == 0
    mask = np.load(tmp_path / "us_masks" / "study" / "mask_4x.npy")
    copies = sorted((folder / "train" / "acc_4x").iterdir())
    assert [path.name for path in copies] == [f"{n}.h5" for n in range(1, 7)]
    with h5py.File(copies[0]) as file:
        volume, kspace = file["volfs"][...], file["kspace_volus_4x"][...]
        assert (volume.dtype, kspace.dtype) == (np.float64, np.complex128)
        assert file["volfs"].chunks is None
        expected = mask[:, :, None] * np.fft.fft2(volume, axes=(0, 1), norm="ortho")
        np.testing.assert_allclose(kspace, expected, atol=1e-12)
        image = np.abs(np.fft.ifft2(expected, axes=(0, 1), norm="ortho"))
        np.testing.assert_allclose(file["img_volus_4x"][...], image, atol=1e-12)
    checked = run(SCRIPT, f"check={folder}")
    assert checked.code == 0, checked.out
    tiny = [word for word in TINY if not word.startswith("dataset.name")]
    trained = run("train.py", *tiny, "dataset.name=study", "stage=student")
    assert "file mask_4x.npy" in trained.out, trained.err


def test_check_says_what_is_wrong_with_each_file(prepare: Run, run: Run, folder: Path) -> None:
    assert prepare().code == 0
    paths = sorted(folder.rglob("*.h5"))
    paths[0].write_bytes(paths[0].read_bytes()[:500])
    with h5py.File(paths[1], "a") as file:
        file["volfs"][3, 3, 0] = np.nan
    with h5py.File(paths[2], "a") as file:
        del file.attrs["largest_magnitude"]
        file["volfs"][...] *= 7
    with h5py.File(paths[3], "a") as file:
        file["volfs"][...] *= 0.5
    result = run(SCRIPT, f"check={folder}")
    assert result.code == 2
    lines = {line.split(": ")[0]: line for line in result.out.splitlines() if ".h5: " in line}
    assert "truncated" in lines[str(paths[0])]
    assert "volfs, slice 0 holds NaN" in lines[str(paths[1])]
    assert "scaled to [0, 1]" in lines[str(paths[2])]
    assert "volfs reaches 0.5, its attribute largest_magnitude says 1," in lines[str(paths[3])]
    told = {str(path): h5py.File(path)["volfs"].shape for path in paths[4:]}
    for path, (height, width, slices) in told.items():
        assert lines[path].endswith(f"good, {slices} slices of {height}x{width}")
    assert ("Slices of 2 sizes" in result.out) == (len({s[:2] for s in told.values()}) == 2)
    assert "10 files, 4 wrong" in result.out


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


def test_file_that_was_written_but_not_noted_stays_in_no_other_split(
    prepare: Run, folder: Path
) -> None:
    """A run that is cut off between both; the next one may assign the subject otherwise."""
    assert prepare().code == 0
    before = {path.split("/")[1]: path for path in state(folder)}
    manifest = json.loads((folder / "manifest.json").read_text())
    entry = manifest["volumes"].pop("ann_ann_one")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    elsewhere = next(p for p in ("train", "test") if p != entry["split"])
    (folder / entry["file"]).rename(folder / elsewhere / "ann_ann_one.h5")
    (folder / "train" / "of_another_source.h5").write_bytes(b"precious")
    assert prepare().code == 0
    found = {path.split("/")[1]: path for path in state(folder)}
    assert (folder / "train" / "of_another_source.h5").read_bytes() == b"precious"
    assert found.pop("of_another_source.h5")
    assert found == before
    assert len(state(folder)) == 11


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
        ((*NUMPY, "simulation.snr=abc"), "simulation.snr=abc: must be null or above 0"),
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


def as_user(tmp_path: Path, source: Path, **extra: object) -> list[str]:
    words = [f"{key}={value}" for key, value in extra.items()]
    given = ["format=numpy", "format.axis=0", "name=study", f"source={source}", *words]
    return [sys.executable, "-m", "kdmri.prepare", *given]


def test_killed_run_leaves_no_half_file_and_goes_on(
    tmp_path: Path, source: Path, folder: Path
) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = as_user(tmp_path, source)
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, start_new_session=True, stdout=subprocess.DEVNULL
    ) as process:
        while not (folder / "manifest.json").exists() and process.poll() is None:
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
    for path in folder.rglob("*.h5"):
        with h5py.File(path) as file:
            assert file["volfs"].shape[2] in (4, 8)
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(state(folder)) == 10
    assert not list(folder.rglob(".*")), "nothing half-written stays"


def test_full_disk_is_one_clear_error(tmp_path: Path, source: Path, folder: Path) -> None:
    """A limit on the size of a file stands in for a disk without space."""
    limited = f"ulimit -f 8; exec {' '.join(as_user(tmp_path, source, processes=1))}"
    done = subprocess.run(
        ["bash", "-c", limited],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr  # h5py adds complaints of its own
    assert "cannot be written (File too large)" in errors[0]
    assert not state(folder)


def test_check_tells_slices_of_several_sizes(run: Run, tmp_path: Path) -> None:
    for name, shape in (("1", (12, 64, 3)), ("2", (12, 64, 2)), ("3", (12, 48, 2))):
        write_volume(tmp_path / "x" / "train" / f"{name}.h5", np.ones(shape), {})
    result = run(SCRIPT, f"check={tmp_path / 'x'}")
    assert result.code == 0
    assert "Slices of 2 sizes, 12x64 (2 files), 12x48 (1 files)" in result.out

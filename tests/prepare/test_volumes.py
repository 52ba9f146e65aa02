"""What `python -m kdmri.prepare` writes, on real anatomy in NumPy files."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.conftest import TINY
from tests.prepare.conftest import NUMPY, SCRIPT, SUBJECTS, Run, state


@pytest.mark.processes
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

"""`python -m kdmri.prepare check=DIR`: what is wrong with h5 files."""

from pathlib import Path

import h5py
import numpy as np

from kdmri.data.coils import KSPACE, SENSITIVITIES
from kdmri.data.companions import FOLDER
from kdmri.data.layout import TARGET, write_slices, write_volume
from kdmri.data.masks import GaussianLines
from tests.conftest import write_original
from tests.data.readers.coils import phased, sensitivities
from tests.prepare.conftest import SCRIPT, Run


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
    with h5py.File(paths[4], "a") as file:
        file["volfs"][3, 3, 1] = -0.4
    result = run(SCRIPT, f"check={folder}")
    assert result.code == 2
    lines = {line.split(": ")[0]: line for line in result.out.splitlines() if ".h5: " in line}
    assert "truncated" in lines[str(paths[0])]
    assert "volfs, slice 0 holds NaN" in lines[str(paths[1])]
    assert "scaled to [0, 1]" in lines[str(paths[2])]
    assert "volfs reaches 0.5, its attribute largest_magnitude says 1," in lines[str(paths[3])]
    assert "volfs, slice 1 reaches -0.4; it holds magnitudes" in lines[str(paths[4])]
    description = {str(path): h5py.File(path)["volfs"].shape for path in paths[5:]}
    for path, (height, width, slices) in description.items():
        assert lines[path].endswith(f"good, {slices} slices of {height}x{width}")
    assert ("Slices of 2 sizes" in result.out) == (len({s[:2] for s in description.values()}) == 2)
    assert "10 files, 5 wrong" in result.out


def test_check_tells_kspace_whose_zero_frequency_lies_in_the_middle(
    run: Run, tmp_path: Path, anatomy: np.ndarray
) -> None:
    """Magnitudes of its images are right all the same."""
    path = tmp_path / "x" / "train" / "acc_4x" / "1.h5"
    write_original(path, anatomy[:, :, 4:6], GaussianLines(4)((48, 40)))
    assert run(SCRIPT, f"check={tmp_path / 'x'}").code == 0
    with h5py.File(path, "a") as file:
        file["kspace_volus_4x"][...] = np.fft.fftshift(file["kspace_volus_4x"][...], (0, 1))
    result = run(SCRIPT, f"check={tmp_path / 'x'}")
    assert result.code == 2
    assert "kspace_volus_4x is strongest in the middle" in result.out


def test_check_tells_slices_of_several_sizes(run: Run, tmp_path: Path) -> None:
    for name, shape in (("1", (12, 64, 3)), ("2", (12, 64, 2)), ("3", (12, 48, 2))):
        write_volume(tmp_path / "x" / "train" / f"{name}.h5", np.ones(shape), {})
    result = run(SCRIPT, f"check={tmp_path / 'x'}")
    assert result.code == 0
    assert "Slices of 2 sizes, 12x64 (2 files), 12x48 (1 files)" in result.out


def test_what_coils_measured_is_read_to_its_last_value(
    run: Run, tmp_path: Path, anatomy: np.ndarray
) -> None:
    """K-space and stored sensitivities; what training keeps beside the splits is not checked."""
    folder, images = tmp_path / "x" / "train", phased(anatomy, slice(10, 13))
    maps = sensitivities(3, (48, 40))
    for name in "abc":
        slices = (
            {TARGET: np.abs(i).astype(np.float32), KSPACE: maps * i, SENSITIVITIES: maps}
            for i in images
        )
        write_slices(folder / f"{name}.h5", slices, {})
    write_volume(tmp_path / "x" / FOLDER / "espirit" / "train" / "a.h5", anatomy, {})
    assert "3 files, 0 wrong" in run(SCRIPT, f"check={tmp_path / 'x'}").out
    for name, key in (("a", KSPACE), ("b", SENSITIVITIES)):
        with h5py.File(folder / f"{name}.h5", "a") as file:
            file[key][0, 3, 3, 2] = np.nan
    result = run(SCRIPT, f"check={tmp_path / 'x'}")
    assert result.code == 2
    assert "a.h5: kspace_coils, slice 2 holds NaN or infinite values" in result.out
    assert "b.h5: sensitivities, slice 2 holds NaN or infinite values" in result.out
    assert "3 files, 2 wrong" in result.out


def test_complex_images_are_enough(run: Run, tmp_path: Path) -> None:
    """Those of `dataset.channels=2`."""
    path = tmp_path / "x" / "train" / "1.h5"
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as file:
        file["volfc"] = np.exp(1j * np.ones((12, 64, 3))).astype(np.complex64)
    assert run(SCRIPT, f"check={tmp_path / 'x'}").code == 0
    with h5py.File(path, "a") as file:
        file["volfc"][...] *= 3
    result = run(SCRIPT, f"check={tmp_path / 'x'}")
    assert result.code == 2
    assert "volfc reaches 3; volumes are scaled to [0, 1]" in result.out


def test_zero_filled_complex_images_are_no_targets(
    run: Run, tmp_path: Path, anatomy: np.ndarray
) -> None:
    """As `check=` says of files, and as `prepare` does that reads them."""
    mask = GaussianLines(4)((48, 40))
    phase = np.exp(1j * np.linspace(0, 2, 40))
    whole = anatomy[:, :, 10:13] * phase[:, None] / 2
    aliased = whole.copy()
    aliased[..., 1] = np.fft.ifft2(mask * np.fft.fft2(whole[..., 1]))
    for name, volume in (("1", whole), ("2", aliased)):
        write_volume(tmp_path / "x" / "train" / f"{name}.h5", volume, {})
    result = run(SCRIPT, f"check={tmp_path / 'x'}")
    assert result.code == 2
    assert "2.h5: slice 1: volfc: its k-space is undersampled" in result.out
    assert "2 files, 1 wrong" in result.out
    prepared = run(SCRIPT, "format=layout", f"source={tmp_path / 'x'}", "name=y", "ratios=null")
    assert prepared.code == 2
    assert (
        "2.h5: its k-space is undersampled: no target can be made of it (slice 1)" in prepared.out
    )
    assert [path.name for path in (tmp_path / "datasets" / "y").rglob("*.h5")] == ["train_1.h5"]


def test_strong_zero_filling_is_told_once(run: Run, tmp_path: Path, anatomy: np.ndarray) -> None:
    kspace = np.fft.fftshift(np.fft.fft2(anatomy[:, :, 10:13], axes=(0, 1)), (0, 1))
    wide = np.pad(kspace, ((48, 48), (40, 40), (0, 0)))
    (tmp_path / "in").mkdir()
    for name in "ab":
        np.save(tmp_path / "in" / f"{name}.npy", wide)
    words = ("format=numpy", "format.kspace=true", "format.axis=2", "name=y")
    ratios = "ratios={train: 1, validation: 0, test: 0}"
    result = run(SCRIPT, *words, f"source={tmp_path / 'in'}", ratios)
    assert result.code == 0, result.err
    description = "zero outside the central 48x40 of 144x120 samples: images were interpolated"
    assert result.out.count(description) == 1
    assert "note: 2 volume(s), such as" in result.out
    manifest = (tmp_path / "datasets" / "y" / "manifest.json").read_text()
    assert manifest.count(description) == 2

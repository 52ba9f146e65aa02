"""`python -m kdmri.reconstruct` as a user runs it, with networks of the shipped recipe."""

from collections.abc import Callable
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from tests.conftest import CENTRE, LINES
from tests.reconstruct.expected import Run, by_hand, reconstruction


def write_nifti(path: Path, values: np.ndarray, affine: np.ndarray, slope: float = 1.0) -> None:
    image = nibabel.Nifti1Image(values, affine)
    image.header.set_slope_inter(slope, 0)
    nibabel.save(image, path)


OBLIQUE = np.array([[0, -2, 0.3, 80], [1.5, 0, 0, -60], [0, 0.2, 3, 7], [0, 0, 0, 1.0]])


def test_trained_checkpoint_alone_reconstructs_as_evaluate_does(
    train: Run, reconstruct: Run, own: Path, tmp_path: Path
) -> None:
    """The file is moved away from its directory: it alone knows task, mask rule and scale."""
    assert train("stage=student").code == 0
    folder = next((tmp_path / "experiments").rglob("best_model.pt")).parent
    alone = tmp_path / "alone.pt"
    (folder / "best_model.pt").rename(alone)
    result = reconstruct(checkpoint=alone, input=own / "test", output="out", batch_size=2)
    assert result.code == 0, result.err
    for path in sorted((folder / "results").glob("*.h5")):
        np.testing.assert_allclose(
            reconstruction(tmp_path / "out" / path.name), reconstruction(path), atol=1e-6
        )
    report = (folder / "report.txt").read_text()
    mean = next(line for line in result.out.splitlines() if "mean of 2: reconstruction" in line)
    assert f"PSNR = {float(mean.split()[4]):.1f}"[:9] in report.replace(" =  ", " = ")


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("orientation", ["null", "coronal"])
def test_nifti_comes_back_on_its_grid_in_its_units(
    checkpoint: Callable[..., Path],
    reconstruct: Run,
    anatomy: np.ndarray,
    tmp_path: Path,
    ending: str,
    orientation: str,
) -> None:
    """Oblique affine, stored integers with a slope, slices along any axis of the image."""
    stored = np.round(anatomy[:, :, 10:30] * 3000).astype(np.int16)
    source = tmp_path / f"scan{ending}"
    write_nifti(source, stored, OBLIQUE, slope=0.5)
    result = reconstruct(
        f"format.orientation={orientation}",
        *(f"{k}={v}" for k, v in {"format": "nifti", "input": source}.items()),
        checkpoint=checkpoint(),
        output=f"out{ending}",
    )
    assert result.code == 0, result.err
    found = nibabel.load(tmp_path / f"out{ending}")
    original = nibabel.load(source)
    np.testing.assert_array_equal(found.affine, original.affine)
    assert found.shape == original.shape
    assert found.get_data_dtype() == np.float32
    truth, values = original.get_fdata(), found.get_fdata()
    psnr = peak_signal_noise_ratio(truth, values, data_range=truth.max())
    flipped = peak_signal_noise_ratio(truth, values[::-1], data_range=truth.max())
    assert psnr > 20 > flipped, "another orientation, or other units, is far off"
    assert f"{psnr:.2f}" in result.out, "the printed figure is that of the file"
    if orientation == "null":
        scale = truth.max()
        expected = by_hand(tmp_path / "best_model.pt", truth / scale) * scale
        np.testing.assert_allclose(np.moveaxis(values, -1, 0), expected, atol=1e-4 * scale)


def test_time_points_of_a_nifti_file_come_back_in_one_file(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    frames = np.stack((anatomy[:, :, 5:9], 2 * anatomy[:, :, 20:24]), axis=-1).astype(np.float32)
    write_nifti(tmp_path / "cine.nii", frames, OBLIQUE)
    result = reconstruct(checkpoint=checkpoint(), input="cine.nii", output="out")
    assert result.code == 0, result.err
    found = nibabel.load(tmp_path / "out" / "cine.nii").get_fdata()
    for frame in range(2):
        scale = frames[..., frame].max()
        expected = by_hand(tmp_path / "best_model.pt", frames[..., frame] / scale) * scale
        np.testing.assert_allclose(np.moveaxis(found[..., frame], -1, 0), expected, atol=1e-3)


def test_super_resolution_checkpoint(
    checkpoint: Callable[..., Path], reconstruct: Run, own: Path, tmp_path: Path
) -> None:
    result = reconstruct(checkpoint=checkpoint(sampling=CENTRE), input=own / "test", output="out")
    assert result.code == 0, result.err
    assert "central 12x10 of 48x40" in result.out
    assert reconstruction(tmp_path / "out" / "a.h5").shape == (5, 48, 40)


def test_super_resolution_checkpoint_that_does_not_tell_its_scale(
    checkpoint: Callable[..., Path], reconstruct: Run, own: Path, tmp_path: Path
) -> None:
    description = checkpoint(sampling=CENTRE)
    call = {"input": own / "test" / "a.h5"}
    assert reconstruct(checkpoint=description, **call, output="told.h5").code == 0
    stored = torch.load(description, weights_only=True)
    torch.save({k: v for k, v in stored.items() if k not in ("format", "task")}, tmp_path / "1.pt")
    result = reconstruct(checkpoint="1.pt", **call, output="o.h5", sr_scale=4)
    assert result.code == 0, result.err
    np.testing.assert_array_equal(
        reconstruction(tmp_path / "o.h5"), reconstruction(tmp_path / "told.h5")
    )
    wrong = reconstruct(checkpoint="1.pt", **call, output="p.h5", sr_scale="x")
    assert "sr_scale=x: must be null or a number" in wrong.err


def test_pictures_replace_a_folder_only_when_asked(
    checkpoint: Callable[..., Path], reconstruct: Run, own: Path, tmp_path: Path
) -> None:
    call = {"checkpoint": checkpoint(), "input": own / "test" / "a.h5", "output": "out"}
    assert reconstruct("write=png", **call).code == 0
    assert reconstruct("write=h5", **call).code == 0
    pictures = sorted((tmp_path / "out" / "a").iterdir())
    assert [path.name for path in pictures] == [f"{n:03d}.png" for n in range(1, 6)]
    grey = np.asarray(Image.open(pictures[2]).convert("L"), float) / 255
    expected = np.clip(reconstruction(tmp_path / "out" / "a.h5")[2], 0, 1)
    np.testing.assert_allclose(grey, expected, atol=2 / 255)
    (tmp_path / "out" / "a" / "mine.txt").write_text("precious")
    refused = reconstruct("write=png", **call)
    assert refused.code == 2
    assert "out/a: exists" in refused.err
    assert (tmp_path / "out" / "a" / "mine.txt").is_file()
    assert reconstruct("write=png", **call, overwrite="true").code == 0
    assert len(list((tmp_path / "out" / "a").iterdir())) == 5
    assert not list((tmp_path / "out").glob(".*"))


def test_bad_file_is_left_out_and_the_others_are_written(
    checkpoint: Callable[..., Path], reconstruct: Run, own: Path, tmp_path: Path
) -> None:
    (own / "test" / "c.h5").write_bytes((own / "test" / "a.h5").read_bytes()[:900])
    with h5py.File(own / "test" / "b.h5", "a") as file:
        file["volfs"][3, 3, 2] = np.nan
    call = {"checkpoint": checkpoint(), "input": own / "test", "format": "layout"}
    result = reconstruct(**call, output="out")
    assert result.code == 2
    assert "b.h5: slice 2 holds NaN" in result.out
    assert "c.h5: missing, truncated" in result.out
    assert "out: 1 volumes, " in result.out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.h5"]


def test_label_maps_are_left_out_and_named(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "in" / "labelsTr").mkdir(parents=True)
    for name in ("la_001", "la_001_mask", "labelsTr/la_001"):
        np.save(tmp_path / "in" / f"{name}.npy", np.moveaxis(anatomy[:, :, 4:6], -1, 0))
    call = {"checkpoint": checkpoint(), "output": "out"}
    result = reconstruct(**call, input=tmp_path / "in")
    assert result.code == 0, result.err
    description = (
        "left out by their names: label maps or masks: 2 (la_001_mask.npy, labelsTr/la_001.npy)"
    )
    assert description in result.out
    assert [path.stem for path in (tmp_path / "out").iterdir()] == ["la_001"]
    named = reconstruct(**call | {"output": "two"}, input=tmp_path / "in" / "la_001_mask.npy")
    assert named.code == 0, "a file that is given itself is taken"


def test_bad_nifti_file_is_left_out_and_the_others_are_written(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in ("a", "c"):
        values = anatomy[:, :, 3:6].astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), folder / f"{name}.nii.gz")
    (folder / "b.nii.gz").write_bytes(b"no gzip")
    keys = {"checkpoint": checkpoint(), "input": folder, "output": "out"}
    result = reconstruct("format=nifti", "format.orientation=null", "format.axis=2", **keys)
    assert result.code == 2
    assert "b.nii.gz" in result.out
    assert "Traceback" not in result.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.nii.gz", "c.nii.gz"]


@pytest.mark.parametrize(
    ("changes", "keys", "message"),
    [
        ({}, {"checkpoint": "null"}, "checkpoint: name the weights"),
        ({}, {"checkpoint": "none.pt"}, "none.pt: there is no such checkpoint"),
        ({"format": 3}, {}, "is a checkpoint of format 3, this kdmri knows up to 2"),
        ({"sampling": {"_target_": "os.system"}}, {}, "task os.system: known are"),
        (
            {"sampling": {**LINES, "mask": {"rule": {"_target_": "os.system"}}}},
            {},
            "mask rule os.system: known are",
        ),
        ({"network": {"_target_": "os.system"}}, {}, "networks are the classes named in __all__"),
        ({}, {"input": "nowhere"}, "input=nowhere: there is no such file"),
        ({}, {"input": "empty.h5"}, "holds neither an image (volfs) nor k-space"),
        ({}, {"output": "there.h5"}, "output=there.h5: exists"),
        ({}, {"output": "out.png"}, "a PNG holds one slice, the volume has 5"),
        ({}, {"write": "jpeg"}, "write=jpeg: must be one of h5, nifti, png"),
        ({}, {"device": "tpu"}, "device=tpu: must be auto, cpu or cuda"),
        ({}, {"batch_size": "0"}, "batch_size=0"),
        ({}, {"mask": "none.npy"}, "mask=none.npy: there is no such file"),
        ({"sampling": CENTRE}, {"mask": "there.h5"}, "super-resolution, which has no mask"),
    ],
)
def test_wrong_commands(
    checkpoint: Callable[..., Path],
    reconstruct: Run,
    own: Path,
    tmp_path: Path,
    changes: dict,
    keys: dict,
    message: str,
) -> None:
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file["something"] = np.ones(3)
    (tmp_path / "there.h5").write_bytes(b"precious")
    call = {"checkpoint": checkpoint(**changes), "input": own / "test" / "a.h5", "output": "o.h5"}
    result = reconstruct(**{**call, **keys})
    assert result.code == 2
    errors = [line for line in result.err.splitlines() if line]
    assert len(errors) == 1, result.err
    assert message in errors[0]
    assert (tmp_path / "there.h5").read_bytes() == b"precious"
    assert not (tmp_path / "o.h5").exists()


def test_nan_background_is_zero_for_the_network_where_that_is_said(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    values = anatomy[:, :, 3:6].astype(np.float32)
    values[:6] = 0
    whole, spm = tmp_path / "whole.nii.gz", tmp_path / "spm.nii.gz"
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), whole)
    values[:6] = np.nan
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), spm)
    keys = {"checkpoint": checkpoint(), "format": "nifti"}
    refused = reconstruct(**keys, input=spm, output="none.nii.gz")
    assert refused.code == 2
    assert "format.nan=zero" in refused.err
    assert not (tmp_path / "none.nii.gz").exists()
    assert reconstruct(**keys, input=whole, output="a.nii.gz").code == 0
    result = reconstruct("format.nan=zero", **keys, input=spm, output="b.nii.gz")
    assert result.code == 0, result.err
    assert "NaN, 12.5% of the values, is 0 (format.nan=zero)" in " ".join(result.out.split())
    one, other = (np.asarray(nibabel.load(tmp_path / f"{n}.nii.gz").dataobj) for n in "ab")
    np.testing.assert_array_equal(one, other)


def test_slices_that_nifti_cannot_hold_are_one_error(
    checkpoint: Callable[..., Path], reconstruct: Run, tmp_path: Path
) -> None:
    np.save(tmp_path / "long.npy", np.ones((2, 8, 2**15), np.float32))
    result = reconstruct(checkpoint=checkpoint(), input="long.npy", output="out.nii.gz")
    assert result.code == 2
    assert (
        "slices of (8, 32768) are more than NIfTI holds, 32767 pixels along an axis" in result.err
    )
    assert not (tmp_path / "out.nii.gz").exists()

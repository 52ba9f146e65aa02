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

from kdmri.data.masks import GaussianLines
from kdmri.models import load_network
from kdmri.models.stored import build_network
from tests.conftest import Result, write_original

Run = Callable[..., Result]
RULE = {
    "_target_": "kdmri.data.masks.GaussianLines",
    "acceleration": 4.0,
    "axis": 0,
    "centre_lines": 10,
    "seed": 42,
}
LINES = {
    "_target_": "kdmri.physics.CartesianUndersampling",
    "mask": {"rule": RULE, "file": None, "values": None},
}
CENTRE = {"_target_": "kdmri.physics.CentralKspace", "scale": 4}
MASK = GaussianLines(4)((48, 40))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """Write a checkpoint as training does, of small random networks near the identity."""

    def write(name: str = "best_model.pt", sampling: dict | None = LINES, **changes) -> Path:
        channels = changes.pop("channels", 1)
        network = {
            "_target_": "kdmri.models.DCCNN" if sampling != CENTRE else "kdmri.models.VDSR",
            **({"cascades": 2, "residual": True} if sampling != CENTRE else {}),
            **{"depth": 2, "width": 4, "channels": channels},
        }
        weights = build_network(network).state_dict()
        weights = {key: value / 10 for key, value in weights.items()}
        stored = {"network": network, "weights": weights, "epoch": 1, "score": 0.1, "metrics": {}}
        if sampling is not None:
            stored |= {"format": 2, "task": {"name": "t", "sampling": sampling}, "stage": "kd"}
        torch.save({**stored, **changes}, tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def reconstruct(run: Run) -> Run:
    def call(*overrides: object, **keys: object) -> Result:
        words = [f"{key}={value}" for key, value in keys.items()]
        return run("kdmri/reconstruct.py", *map(str, overrides), *words)

    return call


def reconstruction(path: Path) -> np.ndarray:
    with h5py.File(path) as file:
        return file["reconstruction"][...]


def by_hand(checkpoint: Path, volume: np.ndarray, mask: np.ndarray = MASK) -> np.ndarray:
    """Reconstruct magnitude slices (H, W, S) one by one with NumPy's transforms: (S, H, W)."""
    network = load_network(checkpoint).eval()
    found = []
    for image in np.moveaxis(volume, -1, 0):
        kspace = mask * np.fft.fft2(image, norm="ortho")
        zero_filled = np.abs(np.fft.ifft2(kspace, norm="ortho"))
        inputs = (
            torch.from_numpy(zero_filled)[None, None].float(),
            torch.from_numpy(kspace)[None, None].to(torch.complex64),
            torch.from_numpy(mask)[None, None].float(),
        )
        with torch.no_grad():
            found.append(network(*inputs)[0, 0].numpy())
    return np.stack(found)


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


def test_undersampled_copies_are_taken_as_they_are(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    """Another mask than the checkpoint's rule, told from the file; it is measured all the same."""
    mask = GaussianLines(3, seed=7)((48, 40))
    write_original(tmp_path / "acc_4x" / "1.h5", anatomy[:, :, 3:8], mask)
    path = checkpoint()
    result = reconstruct(checkpoint=path, input=tmp_path / "acc_4x", output="out")
    assert result.code == 0, result.err
    assert f"mask detected: {mask.sum()} of {mask.size:,} samples" in result.out
    assert "1: reconstruction" in result.out
    found = reconstruction(tmp_path / "out" / "1.h5")
    np.testing.assert_allclose(found, by_hand(path, anatomy[:, :, 3:8], mask), atol=1e-5)

    with h5py.File(tmp_path / "acc_4x" / "1.h5", "a") as file:
        del file["volfs"], file["img_volus_4x"]
    alone = reconstruct(checkpoint=path, input=tmp_path / "acc_4x", output="alone.h5")
    assert alone.code == 0, alone.err
    assert "PSNR" not in alone.out, "without a target there is nothing to measure"
    with h5py.File(tmp_path / "alone.h5") as file:
        scaled = file["reconstruction"][...] * file.attrs["scale"]
    np.testing.assert_allclose(scaled, found, atol=0.05)


def fastmri(path: Path, kspace: np.ndarray, columns: np.ndarray, size: tuple[int, int]) -> None:
    with h5py.File(path, "w") as file:
        file["kspace"] = kspace.astype(np.complex64)
        file["mask"] = columns.astype(np.float32)
        file["reconstruction_esc"] = np.zeros((1, *size), np.float32)  # tells the size alone


def test_fastmri_test_file_keeps_its_measured_lines(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    """Readout oversampled twice, phase encoding wider than what is shown, an image with phase."""
    ramp = np.exp(1j * np.linspace(0, 3, 40))
    images = np.zeros((4, 96, 40), np.complex64)
    images[:, 24:72] = np.moveaxis(anatomy[:, :, 10:14], -1, 0) * ramp * 1e-4
    shift, axes = np.fft.fftshift, (-2, -1)
    kspace = shift(np.fft.fft2(np.fft.ifftshift(images, axes), norm="ortho"), axes)
    columns = shift(GaussianLines(4, axis=1)((48, 40))[0])
    fastmri(tmp_path / "test.h5", kspace * columns, columns, (48, 30))
    path = checkpoint(channels=2)
    result = reconstruct(checkpoint=path, input="test.h5", output="out.h5")
    assert result.code == 0, result.err
    with h5py.File(tmp_path / "out.h5") as file:
        found = file["reconstruction"][...] * file.attrs["scale"]
    assert found.shape == (4, 48, 30)
    assert np.abs(found.imag).max() > 0.1 * np.abs(found).max(), "complex, as the network"
    error = np.abs(found - images[:, 24:72, 5:35]).max() / np.abs(images).max()
    assert error < 0.5, "at its place and in its units"
    real = reconstruct(checkpoint=checkpoint("real.pt"), input="test.h5", output="real.h5")
    assert real.code == 2
    assert "an image with phase" in real.err
    assert "dataset.channels=2" in real.err
    coils = np.stack((kspace, kspace), axis=1) * columns
    fastmri(tmp_path / "coils.h5", coils, columns, (48, 30))
    several = reconstruct(checkpoint=path, input="coils.h5", output="coils_out.h5")
    assert several.code == 2
    assert "undersampled and of 2 coils" in several.err


def test_kspace_in_a_numpy_file_with_a_mask_of_ones_own(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    kspace = MASK[..., None] * np.fft.fft2(anatomy[:, :, 4:7], axes=(0, 1), norm="ortho")
    np.save(tmp_path / "scan.npy", kspace)
    np.save(tmp_path / "mask.npy", MASK)
    np.save(tmp_path / "other.npy", GaussianLines(2)((48, 40)))
    np.save(tmp_path / "small.npy", GaussianLines(4)((40, 40)))
    path = checkpoint(sampling=None)
    words = ("format=numpy", "format.kspace=true", "format.centred=false", "format.axis=2")
    call = {"checkpoint": path, "input": "scan.npy", "output": "out.h5"}
    untold = reconstruct(*words, **call)
    assert untold.code == 2
    assert "format 1" in untold.err
    assert "mask=FILE.npy" in untold.err
    result = reconstruct(*words, **call, mask="mask.npy")
    assert result.code == 0, result.err
    with h5py.File(tmp_path / "out.h5") as file:
        found, scale = file["reconstruction"][...], file.attrs["scale"]
    np.testing.assert_allclose(found, by_hand(path, anatomy[:, :, 4:7] / scale), atol=1e-5)
    wrong = reconstruct(*words, **call, mask="other.npy", overwrite="true")
    assert "names samples that are zero" in wrong.err
    small = reconstruct(*words, **call, mask="small.npy", overwrite="true")
    assert "its shape is (40, 40), the slices are (48, 40)" in small.err


def test_super_resolution_checkpoint(
    checkpoint: Callable[..., Path], reconstruct: Run, own: Path, tmp_path: Path
) -> None:
    result = reconstruct(checkpoint=checkpoint(sampling=CENTRE), input=own / "test", output="out")
    assert result.code == 0, result.err
    assert "central 12x10 of 48x40" in result.out
    assert reconstruction(tmp_path / "out" / "a.h5").shape == (5, 48, 40)


def test_padding_is_undone_and_other_sizes_have_masks_of_their_own(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    """A stored mask file fits one size alone: padding reaches it, the rule draws all others."""
    cut = anatomy[3:44, 2:33, 10:13] / anatomy[3:44, 2:33, 10:13].max()
    np.save(tmp_path / "scan.npy", cut)
    mask = torch.from_numpy(GaussianLines(3, seed=5)((48, 40)))
    sampling = {**LINES, "mask": {"rule": RULE, "file": "mask_4x.npy", "values": mask}}
    path = checkpoint(sampling=sampling)
    call = {"checkpoint": path, "input": "scan.npy"}
    assert reconstruct("format=numpy", "format.axis=2", **call, output="drawn.h5").code == 0
    expected = by_hand(path, cut, GaussianLines(4)(cut.shape[:2]))
    np.testing.assert_allclose(reconstruction(tmp_path / "drawn.h5"), expected, atol=1e-5)
    padded = ("format=numpy", "format.axis=2", "image_size=[48,40]")
    assert reconstruct(*padded, **call, output="padded.h5").code == 0
    wide = np.zeros((48, 40, 3))
    wide[4:45, 5:36] = cut  # index 41 // 2 lies at 48 // 2, and 31 // 2 at 40 // 2
    expected = by_hand(path, wide, mask.numpy())[:, 4:45, 5:36]
    np.testing.assert_allclose(reconstruction(tmp_path / "padded.h5"), expected, atol=1e-5)
    small = reconstruct(
        "format=numpy", "format.axis=2", "image_size=[40,40]", **call, output="small.h5"
    )
    assert "larger than image_size=[40, 40]" in small.err


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
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.h5"]


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
        ({"network": {"_target_": "os.system"}}, {}, "networks are the classes of kdmri.models"),
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

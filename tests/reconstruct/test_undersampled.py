"""`python -m kdmri.reconstruct` of k-space as it was measured, and of masks of its own."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch

from kdmri.data.masks import GaussianLines
from tests.conftest import LINES, RULE, write_original
from tests.reconstruct.expected import MASK, Run, by_hand, reconstruction


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


def test_scattered_samples_of_a_numpy_file_are_taken_as_they_are(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    mask = (np.random.default_rng(0).random((48, 40)) < 0.4).astype(np.uint8)
    mask[0, 0] = 1
    np.save(tmp_path / "scan.npy", mask * np.fft.fft2(anatomy[:, :, 4], norm="ortho"))
    words = ("format=numpy", "format.kspace=true", "format.centred=false")
    path = checkpoint()
    result = reconstruct(*words, checkpoint=path, input="scan.npy", output="out.h5")
    assert result.code == 0, result.err
    assert f"mask detected: {mask.sum()} of {mask.size:,} samples" in result.out
    assert "PSNR" not in result.out, "without a target there is nothing to measure"
    with h5py.File(tmp_path / "out.h5") as file:
        found, scale = file["reconstruction"][...], file.attrs["scale"]
    expected = by_hand(path, anatomy[:, :, 4:5] / scale, mask)
    np.testing.assert_allclose(found, expected, atol=1e-5)

"""`python -m kdmri.reconstruct` of k-space as it was measured, and of masks of its own."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from kdmri.data.layout import write_volume
from kdmri.data.masks import GaussianLines
from tests.conftest import LINES, RULE, write_original
from tests.data.readers.ismrmrd_files import Scan, header
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


WRITERS = ("fastmri", "ismrmrd", "calgary", "numpy")
COLUMNS = np.isin(np.arange(40), [1, 6, 9, 15, 18, 19, 20, 21, 22, 30, 33])


def write_kspace(folder: Path, kind: str, kspace: np.ndarray) -> tuple[str, ...]:
    """Write centred k-space (S, 48, 40) of one coil; gives the words that read it."""
    if kind == "fastmri":
        with h5py.File(folder / "scan.h5", "w") as file:
            file["kspace"] = kspace.astype(np.complex64)
            file["reconstruction_esc"] = np.zeros((len(kspace), 48, 31), np.float32)
        return ("input=scan.h5",)
    if kind == "ismrmrd":
        xml = header(encoded=(48, 40, 1), recon=(48, 31, 1), fields=((48, 40, 5), (48, 31, 5)))
        with Scan(folder / "scan.h5", xml.replace("<center>24", "<center>20")) as scan:
            for number, one in enumerate(kspace):
                for row in np.flatnonzero(one.any(axis=0)):  # phase encoding, rows of the image
                    scan.line(one[None, :, row], row=row, slice=number)
        return ("input=scan.h5",)
    stored = np.fft.ifftshift(kspace, (1, 2)) * np.sqrt(48 * 40)
    if kind == "calgary":
        parts = np.stack((stored.real, stored.imag), axis=-1).astype(np.float32)
        np.save(folder / "scan.npy", parts)
        return "input=scan.npy", "format=calgary"
    np.save(folder / "scan.npy", kspace)
    return "input=scan.npy", "format=numpy", "format.kspace=true"


def whole_kspace(anatomy: np.ndarray) -> np.ndarray:
    images = np.moveaxis(anatomy[:, :, 10:14], -1, 0) * np.exp(1j * np.linspace(0, 3, 40))
    axes = (1, 2)
    shifted = np.fft.fft2(np.fft.ifftshift(images, axes), norm="ortho")
    return np.fft.fftshift(shifted, axes)


@pytest.mark.parametrize("kind", WRITERS)
def test_samples_that_are_not_zero_are_the_mask(
    checkpoint: Callable[..., Path],
    reconstruct: Run,
    anatomy: np.ndarray,
    tmp_path: Path,
    kind: str,
) -> None:
    """Whatever keys are or are not there; a crop of the image leaves k-space as it was."""
    words = write_kspace(tmp_path, kind, whole_kspace(anatomy) * COLUMNS)
    path = checkpoint(channels=2)
    result = reconstruct(*words, checkpoint=path, output="out.h5")
    assert result.code == 0, result.err
    assert f"mask detected: {COLUMNS.sum() * 48} of 1,920 samples" in result.out
    assert "trial" not in result.out
    assert "PSNR" not in result.out
    shapes = {"fastmri": (48, 31), "ismrmrd": (31, 48)}
    assert reconstruction(tmp_path / "out.h5").shape[1:] == shapes.get(kind, (48, 40))


@pytest.mark.parametrize("kind", WRITERS)
def test_full_kspace_is_a_trial_of_what_is_shown(
    checkpoint: Callable[..., Path],
    reconstruct: Run,
    anatomy: np.ndarray,
    tmp_path: Path,
    kind: str,
) -> None:
    words = write_kspace(tmp_path, kind, whole_kspace(anatomy) * (np.arange(40) > 3))
    result = reconstruct(*words, checkpoint=checkpoint(), output="out.h5")
    assert result.code == 0, result.err
    assert "a trial: magnitudes of fully sampled slices" in result.out
    shapes = {"fastmri": (48, 31), "ismrmrd": (31, 48)}
    assert reconstruction(tmp_path / "out.h5").shape[1:] == shapes.get(kind, (48, 40))


def one_otherwise(count: int) -> np.ndarray:
    """Return columns (S, 1, 40) of which slice 2 has another one."""
    columns = np.tile(COLUMNS, (count, 1, 1))
    columns[2, 0, [1, 3]] = False, True
    return columns


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda k: k * (np.arange(40) < 20), "the zero frequency was never measured"),
        (lambda k: k * one_otherwise(len(k)), "slice 2 otherwise than slice 0"),
    ],
)
def test_kspace_that_makes_no_image_is_refused(
    checkpoint: Callable[..., Path],
    reconstruct: Run,
    anatomy: np.ndarray,
    tmp_path: Path,
    kind: str,
    change: Callable[[np.ndarray], np.ndarray],
    message: str,
) -> None:
    words = write_kspace(tmp_path, kind, change(whole_kspace(anatomy)))
    result = reconstruct(*words, checkpoint=checkpoint(channels=2), output="out.h5")
    assert result.code == 2
    assert message in result.err
    assert not (tmp_path / "out.h5").exists()


@pytest.mark.parametrize("image", [False, True])
def test_one_undersampled_slice_makes_no_trial(
    checkpoint: Callable[..., Path],
    reconstruct: Run,
    anatomy: np.ndarray,
    tmp_path: Path,
    image: bool,
) -> None:
    kspace = whole_kspace(anatomy)
    kspace[3] *= COLUMNS
    words = write_kspace(tmp_path, "numpy", kspace)
    if image:
        np.save(tmp_path / "scan.npy", np.fft.ifft2(np.fft.ifftshift(kspace, (1, 2))))
        words = ("input=scan.npy", "format=numpy")
    result = reconstruct(*words, checkpoint=checkpoint(channels=2), output="out.h5")
    assert result.code == 2
    assert ("of some of its images is undersampled" if image else "slice 3 otherwise") in result.err


def test_strong_zero_filling_is_told(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    kspace = np.pad(whole_kspace(anatomy), ((0, 0), (48, 48), (40, 40)))
    words = write_kspace(tmp_path, "numpy", kspace)
    result = reconstruct(*words, checkpoint=checkpoint(), output="out.h5")
    assert result.code == 0, result.err
    assert "zero outside the central 48x40 of 144x120 samples" in result.out


def test_centred_mask_and_centred_kspace_are_told_by_where_they_are_dense(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    centred = np.tile(COLUMNS, (48, 1))
    centred[:, 0] = True
    np.save(tmp_path / "mask.npy", centred)
    write_volume(tmp_path / "scan.h5", anatomy[:, :, 10:13], {})
    call = {"checkpoint": checkpoint(), "output": "out.h5"}
    refused = reconstruct(**call, input="scan.h5", mask="mask.npy")
    assert refused.code == 2
    assert "mask mask.npy: is densest around the middle" in refused.err
    assert "numpy.fft.ifftshift" in refused.err
    np.save(tmp_path / "mask.npy", np.fft.ifftshift(centred)[0])
    assert reconstruct(**call, input="scan.h5", mask="mask.npy").code == 0
    with h5py.File(tmp_path / "bare.h5", "w") as file:
        file["kspace_volus_4x"] = np.moveaxis(whole_kspace(anatomy) * centred, 0, -1)
    shifted = reconstruct(**call, input="bare.h5", overwrite="true")
    assert shifted.code == 2
    assert "bare.h5: kspace_volus_4x is strongest in the middle" in shifted.err

"""`kdmri reconstruct` of k-space of several coils."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from kdmri.data.coils import inspect_coils
from kdmri.data.companions import companion
from kdmri.data.masks import EquispacedLines
from kdmri.physics.espirit import Espirit
from tests.conftest import ROOT
from tests.data.readers.coils import sensitivities
from tests.reconstruct.coils import (
    ESPIRIT,
    SAMPLING,
    SHOWN,
    TRAINED,
    by_hand,
    columns,
    kspace,
    scale_of,
    write_layout,
)
from tests.reconstruct.expected import Run

MASK = EquispacedLines(3, centre_fraction=0.25)((48, 40))


def read(path: Path) -> np.ndarray:
    """Reconstruction in the file's own scale, complex (S, H, W)."""
    with h5py.File(path) as file:
        return file["reconstruction"][...] * file.attrs.get("scale", 1)


def maps_of(values: np.ndarray, centre: tuple[int, int]) -> np.ndarray:
    settings = {key: value for key, value in ESPIRIT.items() if key != "_target_"}
    return Espirit(**settings)(torch.from_numpy(values), centre).numpy()


def shown(images: np.ndarray) -> np.ndarray:
    return images[:, 8:40, 2:38]


def test_fully_sampled_coils_are_a_trial_of_the_networks_own_task(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    """Sensitivities of the file; the mask, the scale and the crop are those of the training."""
    values = kspace(anatomy)
    maps = np.broadcast_to(sensitivities(5, (48, 40)), values.shape)
    write_layout(tmp_path / "scan.h5", values, maps)
    path = checkpoint(**TRAINED)
    result = reconstruct(checkpoint=path, input="scan.h5", output="out.h5", batch_size=2)
    assert result.code == 0, result.err
    assert "a trial" in result.out
    assert "coils: 5, sensitivities of the file" in result.out
    assert "effective acceleration" in result.out
    with h5py.File(tmp_path / "scan.h5") as file:
        stored = np.moveaxis(file["kspace_coils"][...], -1, 0)
    scale = scale_of(stored, (24, 10))
    with h5py.File(tmp_path / "out.h5") as file:
        assert file.attrs["scale"] == pytest.approx(scale, rel=1e-5)
        assert file["reconstruction"].shape == (3, *SHOWN)
    expected = shown(by_hand(path, stored, MASK, maps, scale)) * scale
    np.testing.assert_allclose(read(tmp_path / "out.h5"), expected, atol=1e-5)
    truth = shown((maps.conj() * np.fft.ifft2(stored, norm="ortho")).sum(axis=1))
    error = np.abs(expected) - np.abs(truth)
    psnr = 10 * np.log10(np.abs(truth).max() ** 2 / (error**2).mean())
    line = next(line for line in result.out.splitlines() if "scan: reconstruction" in line)
    assert f"{psnr:.2f}" in line, "measured against the combined image, its own largest value"


def test_masks_of_volumes_are_drawn_by_their_names(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    values = kspace(anatomy)
    maps = np.broadcast_to(sensitivities(5, (48, 40)), values.shape)
    write_layout(tmp_path / "file7.h5", values, maps)
    path = checkpoint(**{**TRAINED, "sampling": {**SAMPLING, "by_volume": True}})
    result = reconstruct(checkpoint=path, input="file7.h5", output="out.h5")
    assert result.code == 0, result.err
    rule = EquispacedLines(3, centre_fraction=0.25)
    own = rule.of_volume(tuple(map(ord, "file7.h5")))((48, 40))
    assert (own != MASK).any()
    with h5py.File(tmp_path / "file7.h5") as file:
        stored = np.moveaxis(file["kspace_coils"][...], -1, 0)
    scale = scale_of(stored, (24, 10))
    expected = shown(by_hand(path, stored, own, maps, scale)) * scale
    np.testing.assert_allclose(read(tmp_path / "out.h5"), expected, atol=1e-5)


@pytest.mark.parametrize("coils", [1, 3, 8])
def test_undersampled_coils_are_taken_as_they_are(
    checkpoint: Callable[..., Path],
    reconstruct: Run,
    anatomy: np.ndarray,
    tmp_path: Path,
    coils: int,
) -> None:
    """Any number of coils and another mask than in training; maps from the centre of the mask."""
    mask = columns()
    values = np.where(mask, kspace(anatomy, coils), np.complex64(0))
    write_layout(tmp_path / "scan.h5", values)
    path = checkpoint(**TRAINED)
    result = reconstruct(checkpoint=path, input="scan.h5", output="out.h5")
    assert result.code == 0, result.err
    assert f"mask detected: {48 * 18} of 1,920 samples (2.22x); coils: {coils}, " in result.out
    assert "estimated from 24x12 samples" in result.out
    assert "PSNR" not in result.out
    with h5py.File(tmp_path / "scan.h5") as file:
        stored = np.moveaxis(file["kspace_coils"][...], -1, 0)
    maps, scale = maps_of(stored, (24, 12)), scale_of(stored, (24, 12))
    found = read(tmp_path / "out.h5")
    expected = shown(by_hand(path, stored, mask, maps, scale)) * scale
    np.testing.assert_allclose(found, expected, atol=1e-5)

    np.save(tmp_path / "fewer.npy", np.broadcast_to(mask & (np.arange(40) != 2), (48, 40)))
    fewer = reconstruct(
        checkpoint=path, input="scan.h5", output="fewer.h5", mask="fewer.npy", write="h5"
    )
    assert fewer.code == 0, fewer.err
    assert f"mask given: {48 * 17}" in fewer.out
    np.save(tmp_path / "more.npy", np.broadcast_to(mask | (np.arange(40) == 15), (48, 40)))
    more = reconstruct(checkpoint=path, input="scan.h5", output="more.h5", mask="more.npy")
    assert more.code == 2
    assert "names samples that are zero in this file" in more.err


def test_without_calibration_lines_there_is_one_clear_error(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    every_third = np.arange(40) % 3 == 0
    values = np.where(every_third, kspace(anatomy), np.complex64(0))
    write_layout(tmp_path / "scan.h5", values)
    path = checkpoint(**TRAINED)
    result = reconstruct(checkpoint=path, input="scan.h5", output="out.h5")
    assert result.code == 2
    assert result.err.strip().count("\n") == 0
    assert "scan.h5: sensitivities cannot be estimated" in result.err
    assert "calibration lines" in result.err
    assert not (tmp_path / "out.h5").exists()
    maps = np.broadcast_to(sensitivities(5, (48, 40)), values.shape)
    write_layout(tmp_path / "stored.h5", values, maps)
    known = reconstruct(checkpoint=path, input="stored.h5", output="out.h5")
    assert known.code == 0, known.err


def test_networks_and_scans_of_one_coil_and_of_several(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    path = checkpoint(**TRAINED)
    one = anatomy[:, :, 4:7] * np.exp(1j * np.linspace(0, 2, 40))[:, None]
    mask = columns()
    under = np.where(mask, np.fft.fft2(np.moveaxis(one, -1, 0), norm="ortho"), 0) * 30
    np.save(tmp_path / "under.npy", np.moveaxis(under, 0, -1).astype(np.complex64))
    words = ("format=numpy", "format.kspace=true", "format.centred=false", "format.axis=2")
    result = reconstruct(*words, checkpoint=path, input="under.npy", output="one.h5")
    assert result.code == 0, result.err
    single = under[:, None].astype(np.complex64)
    scale = scale_of(single, (24, 12))
    expected = by_hand(path, single, mask, np.ones_like(single), scale) * scale
    np.testing.assert_allclose(read(tmp_path / "one.h5"), expected, atol=1e-4)

    np.save(tmp_path / "full.npy", one.astype(np.complex64))
    trial = reconstruct(
        "format=numpy", "format.axis=2", checkpoint=path, input="full.npy", output="full.h5"
    )
    assert trial.code == 0, trial.err
    full = np.fft.fft2(np.moveaxis(one, -1, 0), norm="ortho")[:, None].astype(np.complex64)
    with h5py.File(tmp_path / "full.h5") as file:
        assert file.attrs["scale"] == pytest.approx(scale_of(full, (24, 10)), rel=1e-5)


def test_volumes_that_cannot_be_used_say_why(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    path, values = checkpoint(**TRAINED), kspace(anatomy)
    write_layout(tmp_path / "zero.h5", values)
    with h5py.File(tmp_path / "zero.h5", "a") as file:
        file["kspace_coils"][...] = 0
    write_layout(tmp_path / "nan.h5", values)
    with h5py.File(tmp_path / "nan.h5", "a") as file:
        file["kspace_coils"][0, 0, 0, 1] = np.nan
    write_layout(tmp_path / "shifted.h5", np.fft.fftshift(np.where(columns(), values, 0), (-2, -1)))
    write_layout(tmp_path / "full.h5", values)
    for name, message in {
        "zero": "holds no signal",
        "nan": "kspace_coils, slice 1 holds NaN",
        "shifted": "zero frequency was never measured",
    }.items():
        result = reconstruct(checkpoint=path, input=f"{name}.h5", output=f"{name}_out.h5")
        assert result.code == 2
        assert f"{name}.h5: " in result.err
        assert message in result.err
        assert not (tmp_path / f"{name}_out.h5").exists()
    padded = reconstruct("image_size=[64,64]", checkpoint=path, input="full.h5", output="padded.h5")
    assert "image_size cannot be applied to k-space of several coils" in padded.err
    foreign = checkpoint(
        "foreign.pt", **{**TRAINED, "sensitivities": {**ESPIRIT, "_target_": "os.system"}}
    )
    refused = reconstruct(checkpoint=foreign, input="full.h5", output="foreign.h5")
    assert refused.code == 2
    assert "sensitivities os.system: known is kdmri.physics.Espirit" in refused.err


def test_trained_checkpoint_alone_reconstructs_as_evaluate_does(
    run: Run, reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    """The file is moved away: it alone knows task, masks by name, sensitivities and scale."""
    folder = tmp_path / "datasets" / "coils"
    values = kspace(anatomy, 4)
    for name in ("train/1", "validation/2", "test/3", "test/4"):
        write_layout(folder / f"{name}.h5", np.roll(values, int(name[-1]), axis=2))
    words = (
        f"--config-dir={ROOT / 'tests' / 'configs'}",
        *("experiment=tiny", "dataset=multicoil", "dataset.name=coils", "stage=student"),
        *("dataset.mask.centre_fraction=0.25", "acceleration.factor=3"),
        *("dataset.sensitivities.kernel=4", "dataset.sensitivities.crop=0.5"),
        "dataset.baselines=[]",
    )
    assert run("train.py", *words).code == 0
    trained = next((tmp_path / "experiments").rglob("best_model.pt")).parent
    (trained / "best_model.pt").rename(tmp_path / "alone.pt")
    result = reconstruct(checkpoint="alone.pt", input=folder / "test", output="out", batch_size=2)
    assert result.code == 0, result.err
    results = sorted((trained / "results").glob("*.h5"))
    assert len(results) == 2
    for path in results:
        with h5py.File(path) as file, h5py.File(tmp_path / "out" / path.name) as own:
            evaluated = file["reconstruction"][...]
            np.testing.assert_allclose(own["reconstruction"][...], evaluated, atol=1e-5)
    report = (trained / "report.txt").read_text()
    mean = next(line for line in result.out.splitlines() if "mean of 2: reconstruction" in line)
    assert f"PSNR = {float(mean.split()[4]):.1f}"[:9] in report.replace(" =  ", " = ")


def test_what_training_keeps_beside_the_splits_is_no_scan(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    folder = tmp_path / "datasets" / "brain"
    write_layout(folder / "test" / "a.h5", kspace(anatomy))
    volume = inspect_coils(folder / "test" / "a.h5")
    companion(volume, folder, (24, 10), Espirit(kernel=4))
    result = reconstruct(checkpoint=checkpoint(**TRAINED), input=folder, output="out")
    assert result.code == 0, result.err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["test_a.h5"]

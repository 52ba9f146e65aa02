"""`kdmri export` of networks for several coils."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from kdmri.data.masks import EquispacedLines
from kdmri.export.slices import head_slices
from kdmri.models import load_network
from kdmri.models.trained import open_checkpoint
from kdmri.physics.sense import noise_variance
from tests.data.readers.coils import phased, sensitivities
from tests.export.test_export import QUICK, Run, run_card
from tests.reconstruct.coils import TRAINED, kspace, scale_of, write_layout


@pytest.fixture
def export(run: Run) -> Run:
    def call(**keys: object) -> object:
        words = [f"{key}={value}" for key, value in keys.items()]
        return run("kdmri/export/__main__.py", *QUICK, *words)

    return call


def scan(anatomy: np.ndarray, coils: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One slice of another size than the export saw: k-space and maps (coils, 45, 40), mask."""
    mask = EquispacedLines(3, centre_fraction=0.25)((45, 40))
    maps = sensitivities(coils, (45, 40))
    image = phased(anatomy, slice(9, 10))[0, 3:]
    return (mask * np.fft.fft2(maps * image, norm="ortho")).astype(np.complex64), maps, mask


def by_network(path: Path, values: np.ndarray, maps: np.ndarray, mask: np.ndarray) -> np.ndarray:
    combined = (maps.conj() * np.fft.ifft2(values, norm="ortho")).sum(axis=0)
    parts = np.stack((combined.real, combined.imag)).astype(np.float32)
    inputs = [torch.from_numpy(a)[None] for a in (parts, values.astype(np.complex64))]
    spread = torch.from_numpy(mask)[None, None].float()
    with torch.no_grad():
        return load_network(path).eval()(*inputs, spread, torch.from_numpy(maps)[None]).numpy()


NOISY = {"start": 2, "closing": 3, "noise_floor": True}


@pytest.mark.parametrize(("coils", "settings"), [(1, {}), (6, NOISY)])
def test_onnx_and_its_readme_do_what_the_network_does(
    checkpoint: Callable[..., Path],
    export: Run,
    anatomy: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    coils: int,
    settings: dict[str, object],
) -> None:
    """Checked on files of several coils; run on another number of coils and another size."""
    write_layout(tmp_path / "scan.h5", kspace(anatomy))
    path = checkpoint(**TRAINED)
    stored = torch.load(path, weights_only=True)
    torch.save({**stored, "network": stored["network"] | settings}, path)
    result = export(checkpoint=path, output="out", slices="scan.h5")
    assert result.code == 0, result.err
    values, maps, mask = scan(anatomy, coils)
    noise = np.random.default_rng(0).normal(scale=0.01, size=(*values.shape, 2))
    values += mask * noise.astype(np.float32).view(np.complex64)[..., 0]
    scale = scale_of(values[None], (24, 10))
    wanted = by_network(path, values / scale, maps, mask)
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    names = [item.name for item in session.get_inputs()]
    known = ["noise"] if settings else []
    assert names == ["image", "kspace", "lines", "sensitivities", *known]
    card = (tmp_path / "out" / "README.md").read_text()
    assert "`sensitivities`: float32 (B, 2, coils, H, W)" in card
    assert "`kspace`: float32 (B, 2, coils, H, W)" in card
    assert "fully sampled centre" in card
    monkeypatch.chdir(tmp_path / "out")
    np.save("kspace.npy", 7 * values)
    np.save("sensitivities.npy", maps)
    spread = torch.from_numpy(mask)[None, None].float()
    np.save("noise.npy", 49 * noise_variance(torch.from_numpy(values)[None], spread).item())
    found, wanted = run_card(card), 7 * scale * wanted
    if settings:  # where there is no signal its phase is of no account
        found, wanted = (np.linalg.norm(image, axis=1) for image in (found, wanted))
    np.testing.assert_allclose(found, wanted, atol=1e-4 * 7 * scale)


def test_torch_export_on_simulated_coils_of_the_shipped_head(
    checkpoint: Callable[..., Path],
    export: Run,
    anatomy: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = checkpoint(**TRAINED, data={"name": "x", "title": "X", "slice_size": [72, 64]})
    result = export(checkpoint=path, output="out", format="torch_export")
    assert result.code == 0, result.err
    assert "3 slices of 72x64" in result.out
    values, maps, mask = scan(anatomy, 4)
    scale = scale_of(values[None], (24, 16))
    wanted = by_network(path, values / scale, maps, mask)
    monkeypatch.chdir(tmp_path / "out")
    np.save("kspace.npy", values)
    np.save("sensitivities.npy", maps)
    found = run_card((tmp_path / "out" / "README.md").read_text())
    np.testing.assert_allclose(found, scale * wanted, atol=1e-4 * scale)


def test_undersampled_slices_are_refused(
    checkpoint: Callable[..., Path], export: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    mask = EquispacedLines(3, centre_fraction=0.25)((48, 40))
    write_layout(tmp_path / "scan.h5", np.where(mask, kspace(anatomy), 0))
    result = export(checkpoint=checkpoint(**TRAINED), output="out", slices="scan.h5")
    assert result.code == 2
    assert "scan.h5: is undersampled; slices must be fully sampled" in result.err


def test_slices_of_the_head_show_something_at_the_size_of_the_training(
    checkpoint: Callable[..., Path],
) -> None:
    """Its ends are bright, but not in the middle, which is all that a small size shows."""
    trained = open_checkpoint(checkpoint(**TRAINED, data={"slice_size": [44, 40]}))
    batches = head_slices(trained, 24)
    assert len(batches) == 24
    assert all(batch.data_range > 0.1 for batch in batches)

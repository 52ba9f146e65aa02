"""Networks that come with the package."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.ndimage import zoom

from kdmri.data.masks import VariedLines
from kdmri.data.simulated_coils import draw_sensitivities
from kdmri.errors import ConfigurationError
from kdmri.models.shipped import FOLDER, checkpoint_path, names
from kdmri.models.trained import open_checkpoint
from tests.conftest import ROOT, Result


def test_each_is_small_and_has_a_card() -> None:
    assert "scanner" in names()
    for name in names():
        assert (FOLDER / f"{name}.pt").stat().st_size < 1_000_000
        card = (FOLDER / f"{name}.md").read_text()
        trained = open_checkpoint(f"shipped:{name}")
        assert "no medical device" in card
        assert f"{trained.parameters:,} parameters" in card
        assert "kdmri train experiment=" in card
        page = (ROOT / "docs" / "pages" / "shipped.md").read_text()
        assert f"shipped:{name}" in page


def test_names_are_told_where_there_is_none_of_that_name(tmp_path: Path) -> None:
    assert checkpoint_path("shipped") == checkpoint_path("shipped:scanner") == FOLDER / "scanner.pt"
    assert checkpoint_path("a/b.pt") == Path("a/b.pt")
    with pytest.raises(ConfigurationError, match="there are shipped:scanner"):
        checkpoint_path("shipped:nothing")


def write_cfl(path: Path, values: np.ndarray) -> None:
    """Write k-space (coils, H, W), zero frequency at the corner, as BART does."""
    images = np.fft.ifftshift(np.fft.ifft2(values, norm="ortho"), (1, 2))
    kspace = np.fft.fftshift(np.fft.fft2(images, norm="ortho"), (1, 2))
    centred = np.moveaxis(np.where(np.abs(kspace) > 1e-12, kspace, 0), 0, -1)[:, :, None]
    path.with_suffix(".hdr").write_text("# Dimensions\n" + " ".join(map(str, centred.shape)) + "\n")
    centred.astype(np.complex64).ravel(order="F").tofile(path)


def test_raw_scan_of_a_stranger_is_reconstructed(
    run: Callable[..., Result], tmp_path: Path, anatomy: np.ndarray
) -> None:
    """Better than its zero-filled image, whatever it is scaled by."""
    head = zoom(anatomy[:, :, 18], 3, order=1)
    maps = draw_sensitivities(head.shape, 6, [5])[0].numpy()
    noise = np.random.default_rng(1).normal(scale=0.01, size=(2, *maps.shape))
    turned = head * np.exp(1j * np.linspace(0, 2, head.shape[1]))
    full = 1e-4 * (np.fft.fft2(maps * turned, norm="ortho") + noise[0] + 1j * noise[1])
    measured = np.where(VariedLines(3, centre_lines=20)(head.shape), full, 0)
    write_cfl(tmp_path / "scan.cfl", measured)
    words = ("checkpoint=shipped", "input=scan.cfl", "output=image.h5")
    result = run("kdmri/reconstruct/__main__.py", *words)
    assert result.code == 0, result.err
    with h5py.File(tmp_path / "image.h5") as file:
        (image,) = np.abs(file["reconstruction"][...])
    truth, zero_filled = (
        np.sqrt((np.abs(np.fft.ifft2(k, norm="ortho")) ** 2).sum(axis=0)) for k in (full, measured)
    )
    errors = [
        np.abs(found * (found * truth).sum() / (found**2).sum() - truth)[truth > 0.1 * truth.max()]
        for found in (image, zero_filled)
    ]
    assert errors[0].mean() < 0.8 * errors[1].mean()

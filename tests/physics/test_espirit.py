from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import zoom

from kdmri.data.embedded import find_mni
from kdmri.data.simulated_coils import draw_phase, draw_sensitivities
from kdmri.errors import ConfigurationError, DataError
from kdmri.physics import espirit, fft2, ifft2
from kdmri.physics.coils import combine, expand, root_sum_of_squares
from kdmri.physics.espirit import Espirit, calibration_size, estimate_sensitivities
from tests.physics import bart


def ellipse(size: tuple[int, int]) -> torch.Tensor:
    y, x = (torch.linspace(-1, 1, count) for count in size)
    inside = (y[:, None] / 0.8).square() + (x / 0.75).square() < 1
    return inside * (1 + 0.3 * torch.cos(9 * x) * torch.cos(7 * y[:, None]))


def head() -> torch.Tensor:
    nibabel = pytest.importorskip("nibabel")
    try:
        path = find_mni()
    except DataError as error:
        pytest.skip(str(error))
    volume = np.asarray(nibabel.load(path).dataobj, np.float32)
    image = np.rot90(volume[:, :, volume.shape[2] // 2])
    return torch.from_numpy(np.pad(zoom(image / image.max(), 0.9), 12).astype(np.float32))


def scanned(image: torch.Tensor, items: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """K-space of 8 coils with phase and noise, and the true sensitivities."""
    size = image.shape[0], image.shape[1]
    sensitivities = draw_sensitivities(size, 8, range(items))
    seen = expand(
        torch.polar(image.expand(items, 1, *size), draw_phase(size, range(items))), sensitivities
    )
    noise = torch.randn(seen.shape, dtype=seen.dtype, generator=torch.Generator().manual_seed(0))
    return fft2(seen) + 0.01 * noise, sensitivities


def overlap(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """|<s, b>| of each pixel, both of unit norm, (B, H, W)."""
    parts = root_sum_of_squares(other).clamp_min(1e-20)
    return combine(one, other / parts).abs()[:, 0]


@pytest.mark.parametrize("image", [ellipse((96, 80)), ellipse((65, 51))])
def test_sensitivities_are_the_true_ones_on_the_object(image: torch.Tensor) -> None:
    kspace, sensitivities = scanned(image, items=3)
    found = estimate_sensitivities(kspace)
    inside = (image > 0).expand(3, -1, -1)
    assert overlap(found, sensitivities)[inside].min() > 0.995
    norm = root_sum_of_squares(found)
    torch.testing.assert_close(norm, (norm > 0.5).float(), atol=1e-5, rtol=0)
    assert (norm[:, 0, 0, 0] == 0).all()  # no signal in the corner
    alone = estimate_sensitivities(kspace[1:2] * 1e-7)
    torch.testing.assert_close(alone, found[1:2], atol=1e-3, rtol=0)


def test_combined_image_is_the_object_with_a_smooth_phase() -> None:
    image = ellipse((96, 80))
    kspace, _ = scanned(image)
    combined = combine(ifft2(kspace), estimate_sensitivities(kspace))[0, 0]
    inside = image > 0
    assert (combined.abs() - image)[inside].abs().max() < 0.05
    for axis in (0, 1):
        step = combined * combined.roll(1, axis).conj()
        both = inside & inside.roll(1, axis)
        assert step.angle()[both].abs().max() < 0.6


def test_only_the_centre_is_read() -> None:
    kspace, _ = scanned(ellipse((64, 48)))
    kept = torch.full_like(kspace, torch.nan)
    rows, columns = (torch.arange(-12, 12) % count for count in (64, 48))
    kept[..., rows[:, None], columns] = kspace[..., rows[:, None], columns]
    assert torch.equal(Espirit()(kept, (64, 24)), estimate_sensitivities(kspace))


@pytest.mark.parametrize("lines", [7, 8, 10])
def test_a_narrow_centre_tells_sensitivities_too(lines: int) -> None:
    image = ellipse((112, 96))
    kspace, _ = scanned(image, items=2)
    inside = (image > 0).expand(2, -1, -1)

    def error(found: torch.Tensor) -> float:
        lost = combine(ifft2(kspace), found).abs()[:, 0] - root_sum_of_squares(ifft2(kspace))[:, 0]
        return float(lost[inside].square().mean().sqrt())

    narrow, wide = Espirit()(kspace, (112, lines)), Espirit()(kspace, (112, 24))
    assert error(narrow) < 2.5 * error(wide)  # with whole patches 5 to 2,000 times


def test_interpolated_eigenvectors_are_those_of_each_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    image = ellipse((150, 130))
    kspace, _ = scanned(image)
    quick = estimate_sensitivities(kspace)
    monkeypatch.setattr(espirit, "GRID", 1000)
    exact = estimate_sensitivities(kspace)
    assert (quick - exact)[..., image > 0].abs().max() < 1e-3


def test_nothing_comes_of_an_empty_slice_or_a_dead_coil() -> None:
    kspace, sensitivities = scanned(ellipse((64, 48)), items=2)
    kspace[0] = 0
    kspace[1, 3] = 0
    found = estimate_sensitivities(kspace)
    assert not found[0].any()
    assert not found[1, 3].any()
    left = [coil for coil in range(8) if coil != 3]
    true = sensitivities[1:, left]
    inside = (ellipse((64, 48)) > 0)[None]
    assert overlap(found[1:, left], true)[inside].min() > 0.99


def test_an_empty_slice_alone_has_no_sensitivities() -> None:
    """As a volume of one slice, or where slices are estimated one by one."""
    kspace = torch.zeros(1, 3, 64, 48, dtype=torch.complex64)
    assert not estimate_sensitivities(kspace, (24, 12)).any()


@pytest.mark.parametrize("coils", [1, 8])
@pytest.mark.parametrize("pixels", [1, 3, 20])
def test_slices_with_hardly_any_signal_give_numbers(coils: int, pixels: int) -> None:
    """As those at the end of a volume: where there is none, rounding makes eigenvalues below 0."""
    image = torch.zeros(1, 1, 44, 40, dtype=torch.complex64)
    places = torch.randperm(44 * 40, generator=torch.Generator().manual_seed(pixels))[:pixels]
    image.view(-1)[places] = 1
    kspace = fft2(draw_sensitivities((44, 40), coils, [pixels]) * image)
    for centre in ((24, 24), (24, 10), (24, 6)):
        found = estimate_sensitivities(kspace, centre)
        norm = torch.linalg.vector_norm(found, dim=1)
        assert torch.isfinite(norm).all(), centre
        torch.testing.assert_close(norm, (norm > 0).float(), rtol=0, atol=1e-3)


@pytest.mark.parametrize("coils", [2, 8, 16])
@pytest.mark.parametrize("centre", [(24, 8), (24, 7), (24, 6), (10, 10)])
def test_few_lines_are_enough(coils: int, centre: tuple[int, int]) -> None:
    """Patches of six samples gave zeros in half of the object from 24x7, in all of it from 24x6."""
    image = ellipse((96, 80))
    sensitivities = draw_sensitivities((96, 80), coils, [3])
    kspace = fft2(sensitivities * torch.polar(image, draw_phase((96, 80), [3])[0, 0]))
    found = overlap(estimate_sensitivities(kspace, centre), sensitivities)[0, image > 0]
    assert (found > 0).float().mean() > 0.99
    assert found.mean() > 0.99


@pytest.mark.parametrize("centre", [(3, 24), (24, 0), (24, 49)])
def test_centre_that_is_too_small_is_refused(centre: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"centre of k-space is {centre[0]}x{centre[1]} of 64x48"):
        estimate_sensitivities(torch.zeros(1, 2, 64, 48, dtype=torch.complex64), centre)


@pytest.mark.parametrize(
    "wrong", [{"kernel": 0}, {"calibration": 5}, {"crop": 2.0}, {"threshold": float("nan")}]
)
def test_settings_that_find_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"dataset\.sensitivities\."):
        Espirit(**wrong)


def test_centre_of_masks() -> None:
    assert calibration_size(torch.ones(7, 4)) == (7, 4)
    assert calibration_size(torch.zeros(7, 4)) == (0, 0)
    lines = torch.zeros(32, 20)
    lines[[0, 1, 2, 28, 29, 30, 31, 10, 16]] = 1  # frequencies -4 to 2
    assert calibration_size(lines) == (6, 20)
    lines[3] = 1
    assert calibration_size(lines) == (8, 20)
    assert calibration_size(lines.T) == (20, 8)
    cross = torch.zeros(32, 32)
    cross[0] = 1
    cross[torch.arange(-3, 3)[:, None], torch.arange(-4, 4)] = 1
    assert calibration_size(cross) == (6, 8)


@bart.needed
@pytest.mark.parametrize("of", ["phantom", "head"])
def test_sensitivities_are_those_of_bart(tmp_path: Path, of: str) -> None:
    if of == "phantom":
        bart.run("phantom", "-x128", "-k", "-s8", tmp_path / "kspace")
        bart.run("phantom", "-x128", tmp_path / "object")
        # where the object touches the edge of the image, BART's own maps are off the true ones
        inside = bart.to_corner(bart.read(tmp_path / "object"))[0].abs() > 0.05
        inside &= bart.to_corner(torch.nn.functional.pad(torch.ones(104, 104), (12,) * 4)) > 0
    else:
        image = head()
        bart.write(tmp_path / "kspace", bart.to_middle(scanned(image)[0][0]))
        inside = image > 0.1
    bart.run("ecalib", "-m1", "-c0", "-r24", tmp_path / "kspace", tmp_path / "maps")
    kspace = bart.to_corner(bart.read(tmp_path / "kspace"))[None]
    expected = bart.to_corner(bart.read(tmp_path / "maps"))[None]
    found = estimate_sensitivities(kspace, crop=0)
    assert overlap(found, expected)[0][inside].min() > 0.995

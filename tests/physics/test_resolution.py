import numpy as np
import pytest
import torch
from scipy.ndimage import fourier_shift

from kdmri.data.batch import Slice
from kdmri.errors import ConfigurationError
from kdmri.physics import CentralKspace, magnitude

SIZES = [(16, 16), (17, 12), (16, 13), (15, 21)]


def slices(target: torch.Tensor) -> Slice:
    numbers = torch.arange(len(target))
    return Slice(target, None, torch.ones(len(target)), numbers, numbers)


def anatomical(anatomy: np.ndarray, size: tuple[int, int], channels: int = 1) -> torch.Tensor:
    """Two real slices, (2, channels, H, W)."""
    cut = anatomy[8 : 8 + size[0], 8 : 8 + size[1], 4 : 4 + 2 * channels]
    return torch.from_numpy(cut.transpose(2, 0, 1).astype(np.float32)).view(2, channels, *size)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("centre", [(4, 4), (5, 3), (4, 7), (1, 2)])
@pytest.mark.parametrize("size", SIZES)
def test_kspace_is_the_targets_inside_the_centre_and_zero_outside(
    anatomy: np.ndarray, size: tuple[int, int], centre: tuple[int, int], channels: int
) -> None:
    target = anatomical(anatomy, size, channels)
    batch = CentralKspace(4, centre=centre)(slices(target))
    parts = target.numpy()
    image = parts[:, 0] if channels == 1 else parts[:, 0] + 1j * parts[:, 1]
    full = np.fft.fftshift(np.fft.fft2(image, norm="ortho"), axes=(-2, -1))
    inside = np.zeros(size, dtype=bool)
    rows, columns = (
        slice(n // 2 - kept // 2, n // 2 - kept // 2 + kept)
        for n, kept in zip(size, centre, strict=True)
    )
    inside[rows, columns] = True
    found = np.fft.fftshift(batch.kspace[:, 0].numpy(), axes=(-2, -1))
    np.testing.assert_allclose(found[:, inside], full[:, inside], atol=1e-5)
    assert not found[:, ~inside].any()
    np.testing.assert_array_equal(np.fft.fftshift(batch.mask[0, 0].numpy()) == 1, inside)
    zero_filled = np.fft.ifft2(batch.kspace[:, 0].numpy(), norm="ortho")
    np.testing.assert_allclose(magnitude(batch.image)[:, 0], np.abs(zero_filled), atol=1e-5)


def test_published_centre_is_64_of_256() -> None:
    mask, _ = CentralKspace(4).filters((256, 256))
    frequencies = np.fft.fftfreq(256, 1 / 256)[mask[0, 0, 0].numpy() == 1]
    assert (frequencies.min(), frequencies.max(), len(frequencies)) == (-32, 31, 64)
    assert mask.sum() == 64 * 64


@pytest.mark.parametrize(("size", "kept"), [((256, 256), (64, 64)), ((217, 181), (54, 45))])
def test_scale_gives_the_centre(size: tuple[int, int], kept: tuple[int, int]) -> None:
    assert CentralKspace(4).centre(size) == kept


@pytest.mark.parametrize("window", ["hann", "hamming", ("tukey", 0.5)])
@pytest.mark.parametrize("kept", [(6, 8), (7, 5)])
def test_window_is_even_and_leaves_the_mean_alone(
    anatomy: np.ndarray, window: str | tuple[str, float], kept: tuple[int, int]
) -> None:
    task = CentralKspace(4, centre=kept, window=window)
    mask, weights = task.filters((16, 12))
    weights, mask = weights[0, 0].numpy(), mask[0, 0].numpy()
    assert weights[0, 0] == 1
    assert not weights[mask == 0].any()
    for axis in (0, 1):
        mirrored = np.roll(np.flip(weights, axis), 1, axis)
        both = (mask == 1) & (np.roll(np.flip(mask, axis), 1, axis) == 1)
        np.testing.assert_allclose(weights[both], mirrored[both], atol=1e-6)
    plain, windowed = (
        t(slices(anatomical(anatomy, (16, 12)))) for t in (CentralKspace(4, kept), task)
    )
    torch.testing.assert_close(windowed.kspace, plain.kspace)  # what was measured stays
    blurred = np.abs(np.fft.ifft2(weights * plain.kspace[:, 0].numpy(), norm="ortho"))
    np.testing.assert_allclose(windowed.image[:, 0], blurred, atol=1e-6)
    assert (windowed.image - plain.image).abs().max() > 1e-3


@pytest.mark.parametrize("size", [(48, 40), (45, 39)])
def test_bicubic_image_lies_where_the_target_lies(
    anatomy: np.ndarray, size: tuple[int, int]
) -> None:
    target = torch.zeros(1, 1, *size)
    target[0, 0, : anatomy.shape[0], : anatomy.shape[1]] = torch.from_numpy(
        anatomy[: size[0], : size[1], 10]
    ).float()
    task = CentralKspace(3, window="hann")
    batch = task(slices(target))
    interpolated = task.baselines(batch)["Bicubic"][0, 0].numpy()
    zero_filled = batch.image[0, 0].numpy()
    errors = {}
    for shift in (-1.0, -0.5, 0.0, 0.5, 1.0):
        moved = np.fft.ifft2(fourier_shift(np.fft.fft2(interpolated), (shift, shift))).real
        errors[shift] = np.square(moved - zero_filled)[6:-6, 6:-6].sum()
    assert min(errors, key=errors.__getitem__) == 0.0


def test_bicubic_image_of_a_constant_is_that_constant() -> None:
    target = torch.full((1, 1, 20, 18), 0.7)
    task = CentralKspace(2)
    torch.testing.assert_close(task.baselines(task(slices(target)))["Bicubic"], target)


def test_whole_centre_is_the_target_itself(anatomy: np.ndarray) -> None:
    target = anatomical(anatomy, (17, 12))
    batch = CentralKspace(1)(slices(target))
    torch.testing.assert_close(batch.image, target, atol=1e-5, rtol=0)


def test_patches_are_cut_at_the_same_place_of_input_and_target(anatomy: np.ndarray) -> None:
    target = anatomical(anatomy, (30, 24))
    whole = CentralKspace(2)(slices(target))
    batch = CentralKspace(2, patch_size=(8, 6), patches=5).training_batch(slices(target))
    assert batch.image.shape == batch.target.shape == (10, 1, 8, 6)
    assert batch.volume.tolist() == [0] * 5 + [1] * 5
    places = set()
    for number, (image, cut) in enumerate(zip(batch.image[:, 0], batch.target[:, 0], strict=True)):
        item = number // 5
        windows = target[item, 0].unfold(0, 8, 1).unfold(1, 6, 1)
        ((row, column),) = (windows == cut).flatten(2).all(-1).nonzero().tolist()
        torch.testing.assert_close(image, whole.image[item, 0, row : row + 8, column : column + 6])
        places.add((row, column))
    assert len(places) > 5
    torch.testing.assert_close(CentralKspace(2, patch_size=(8, 6))(slices(target)), whole)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"scale": 0.5}, "scale.factor=0.5"),
        ({"scale": 2, "centre": (3,)}, "task.centre"),
        ({"scale": 2, "patch_size": (0, 4)}, "task.patch_size"),
        ({"scale": 2, "patches": 0}, "task.patches=0"),
        ({"scale": 2, "window": "round"}, "task.window=round"),
        ({"scale": 2, "window": ("tukey", 1, 2, 3)}, "task.window"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        CentralKspace(**options)  # type: ignore[arg-type]


def test_centre_and_patch_larger_than_the_slice_are_named() -> None:
    target = torch.zeros(1, 1, 8, 8)
    with pytest.raises(ConfigurationError, match=r"task.centre=\[9, 4\]"):
        CentralKspace(2, centre=(9, 4))(slices(target))
    with pytest.raises(ConfigurationError, match=r"task.patch_size=\[9, 4\]"):
        CentralKspace(2, patch_size=(9, 4)).training_batch(slices(target))


def test_noise_is_new_in_training_and_the_same_for_a_slice_in_evaluation() -> None:
    clean, task = CentralKspace(2), CentralKspace(2, noise=0.1, patch_size=(16, 12), patches=2)
    given = slices(torch.rand(4, 1, 64, 48))._replace(variant=torch.zeros(4, dtype=torch.long))
    one, again = task(given), task(given)
    torch.testing.assert_close(one.kspace, again.kspace, rtol=0, atol=0)
    inside = one.mask[0, 0].bool()
    noise = (one.kspace - clean(given).kspace)[:, 0]
    assert not noise[:, ~inside].any()
    assert noise[:, inside].abs().square().mean().sqrt() == pytest.approx(0.1, rel=0.1)
    training = task.training_batch(given)
    assert training.variant is None
    assert (training.kspace[::2] - one.kspace).abs().max() > 0.01
    assert "noise of 0.1 times" in task.describe((64, 48))
    with pytest.raises(ConfigurationError, match=r"task\.noise=-1: must be at least 0"):
        CentralKspace(2, noise=-1)

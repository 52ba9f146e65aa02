"""Figures agree with scikit-image, or with an implementation of the papers' formulas in NumPy."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d
from skimage import filters, metrics

from kdmri.metrics import SliceTable
from kdmri.metrics.volumes import VolumeMetrics


@pytest.fixture
def pair(anatomy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Target and a noisy, blurred prediction, (48, 40, 6), with values outside [0, 1]."""
    target = anatomy[:, :, 10:16].astype(np.float32)
    noise = 0.05 * np.random.default_rng(0).standard_normal(target.shape)
    return target, (filters.gaussian(target, 0.7, channel_axis=-1) + noise).astype(np.float32)


def measure(
    target: np.ndarray, prediction: np.ndarray, batches: tuple[int, ...] = (0, 6), repeated: int = 0
) -> SliceTable:
    """Measure slices 0-3 as volume 0, the others as volume 1, in batches as cut."""
    collected = VolumeMetrics(detailed=True)
    p, t = (torch.from_numpy(a).permute(2, 0, 1)[:, None] for a in (prediction, target))
    volume = torch.tensor([0, 0, 0, 0, 1, 1])
    index = torch.tensor([0, 1, 2, 3, 0, 1])
    largest = torch.tensor([target[..., :4].max()] * 4 + [target[..., 4:].max()] * 2)
    for cut in [slice(*edges) for edges in pairwise(batches)] + [np.s_[2:4]] * repeated:
        collected.update(p[cut], t[cut], largest[cut], volume[cut], index[cut])
    return collected.table()


def test_figures_agree_with_scikit_image(pair: tuple[np.ndarray, np.ndarray]) -> None:
    table = measure(*pair)
    for number, cut in enumerate((np.s_[..., :4], np.s_[..., 4:])):
        target, prediction = pair[0][cut].astype(float), pair[1][cut].astype(float)
        largest = target.max()
        expected = {
            "mse": metrics.mean_squared_error(target, prediction),
            "nmse": metrics.normalized_root_mse(target, prediction) ** 2,
            "psnr": metrics.peak_signal_noise_ratio(target, prediction, data_range=largest),
            "ssim": metrics.structural_similarity(
                target, prediction, channel_axis=-1, data_range=largest
            ),
            "l1": np.abs(target - prediction).mean(),
        }
        for name, value in expected.items():
            assert table.measure(name, number) == pytest.approx(value, abs=1e-6, rel=1e-6), name


def test_half_precision_of_a_trainer_changes_no_figure(pair: tuple[np.ndarray, np.ndarray]) -> None:
    expected = measure(*pair)
    with torch.autocast("cpu", torch.bfloat16):
        found = measure(*pair)
    for name, values in expected.columns.items():
        np.testing.assert_array_equal(found.columns[name], values, err_msg=name)


def test_hfn_follows_its_definition(pair: tuple[np.ndarray, np.ndarray]) -> None:
    target, prediction = (array[..., :4].astype(float) for array in pair)
    before = prediction.copy()
    values = []
    for index in range(4):
        detail = filters.laplace(target[..., index])
        found = filters.laplace(np.clip(prediction[..., index], 0, 1))
        values.append(((detail - found) ** 2).sum() / (detail**2).sum())
    assert measure(*pair).measure("hfn", 0) == pytest.approx(np.mean(values), rel=1e-6)
    np.testing.assert_array_equal(prediction, before)


def vif(target: np.ndarray, prediction: np.ndarray, noise: float = 2.0) -> float:
    """Pixel-domain VIF on four scales, written from Sheikh and Bovik 2006, section IV."""
    top = bottom = 0.0
    for scale in range(1, 5):
        taps = 2 ** (5 - scale) + 1
        window = np.exp(-0.5 * ((np.arange(taps) - taps // 2) / (taps / 5)) ** 2)
        window /= window.sum()

        def smooth(image: np.ndarray, window: np.ndarray = window) -> np.ndarray:
            half = len(window) // 2
            for axis in (0, 1):
                image = correlate1d(image, window, axis=axis)
            return image[half:-half, half:-half]

        if scale > 1:
            target, prediction = (smooth(image)[::2, ::2] for image in (target, prediction))
        mean_t, mean_p = smooth(target), smooth(prediction)
        var_t = np.maximum(smooth(target**2) - mean_t**2, 0)
        var_p = np.maximum(smooth(prediction**2) - mean_p**2, 0)
        cov = smooth(target * prediction) - mean_t * mean_p
        gain = cov / (var_t + 1e-10)
        rest = var_p - gain * cov
        flat = var_t < 1e-10
        gain[flat], rest[flat], var_t[flat] = 0, var_p[flat], 0
        still = var_p < 1e-10
        gain[still], rest[still] = 0, 0
        negative = gain < 0
        rest[negative], gain[negative] = var_p[negative], 0
        rest = np.maximum(rest, 1e-10)
        top += np.log10(1 + gain**2 * var_t / (rest + noise)).sum()
        bottom += np.log10(1 + var_t / noise).sum()
    return top / bottom


def test_slices_without_detail_have_no_hfn(pair: tuple[np.ndarray, np.ndarray]) -> None:
    target, prediction = pair[0].copy(), pair[1]
    target[..., 1], target[..., 2] = 0, 0.5
    table = measure(target, prediction)
    assert np.isnan(table.columns["hfn"][1:3]).all()
    others = table.columns["hfn"][[0, 3]]
    assert table.measure("hfn", 0) == pytest.approx(others.mean())
    assert np.isfinite(others).all()


def test_vif_agrees_with_the_papers_formula(anatomy: np.ndarray) -> None:
    target = np.kron(anatomy[:, :, 10:16], np.ones((2, 2, 1))).astype(np.float32)
    noise = 0.05 * np.random.default_rng(0).standard_normal(target.shape)
    prediction = (target + noise).astype(np.float32)
    scale = 255 / target[..., :4].max()
    values = [vif(target[..., n] * scale, prediction[..., n] * scale) for n in range(4)]
    assert measure(target, prediction).measure("vif", 0) == pytest.approx(np.mean(values), abs=1e-4)


@pytest.mark.parametrize("batches", [(0, 1, 2, 3, 4, 5, 6), (0, 5, 6), (0, 3, 6)])
def test_batch_size_changes_nothing(
    pair: tuple[np.ndarray, np.ndarray], batches: tuple[int, ...]
) -> None:
    whole, parts = measure(*pair), measure(*pair, batches)
    for name, values in whole.columns.items():
        np.testing.assert_allclose(parts.columns[name], values, rtol=1e-12, err_msg=name)


def test_slices_that_come_twice_count_once(pair: tuple[np.ndarray, np.ndarray]) -> None:
    once, again = measure(*pair), measure(*pair, repeated=3)
    np.testing.assert_array_equal(once.per_volume("psnr"), again.per_volume("psnr"))


def test_padding_items_count_nowhere() -> None:
    """Whichever comes first, it is the item that counts which is measured."""
    target = torch.rand(3, 1, 16, 12)
    counts, volume = torch.tensor([False, True, True]), torch.zeros(3, dtype=torch.long)
    index, largest = torch.tensor([0, 0, 1]), torch.ones(3)
    prediction = target + torch.tensor([5.0, 0.1, 0.1]).view(3, 1, 1, 1)
    collected = VolumeMetrics()
    collected.update(prediction, target, largest, volume, index, counts)
    assert collected.table().columns["slice"].tolist() == [0, 1]
    assert collected.table().mean("l1") == pytest.approx(0.1, rel=1e-5)


def test_selection_error_weighs_slices_not_batches(pair: tuple[np.ndarray, np.ndarray]) -> None:
    target, prediction = pair
    expected = np.abs(target.astype(float) - prediction).mean()
    found = measure(*pair, batches=(0, 5, 6)).mean_absolute_error()
    assert found == pytest.approx(expected, rel=1e-6)


def test_psnr_is_the_mean_over_volumes_and_not_of_the_pooled_error(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    table = measure(*pair)
    assert table.mean("psnr") == pytest.approx(np.mean([table.measure("psnr", v) for v in (0, 1)]))


def test_perfect_reconstruction(pair: tuple[np.ndarray, np.ndarray]) -> None:
    table = measure(pair[0], pair[0])
    assert table.mean("ssim") == pytest.approx(1)
    assert table.mean("psnr") == np.inf
    assert table.mean("nmse") == 0

from pathlib import Path

import numpy as np
import pytest
import torch

from kdmri.data.batch import Slice
from kdmri.data.masks import DrawnLines, EquispacedLines, GaussianLines, MaskFile, UniformLines
from kdmri.errors import ConfigurationError, DataError
from kdmri.physics import (
    CartesianUndersampling,
    Measurement,
    fft2,
    ifft2,
    magnitude,
    to_channels,
    to_complex,
)
from kdmri.physics.stored import UNDERSAMPLING, build_task, task_settings


def complex_noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.complex64)


def test_transform_is_numpys_orthonormal_one() -> None:
    image = complex_noise(2, 1, 9, 8)
    np.testing.assert_allclose(fft2(image), np.fft.fft2(image.numpy(), norm="ortho"), atol=1e-5)


def test_transform_is_unitary() -> None:
    u, v = complex_noise(9, 8), complex_noise(9, 8)
    assert torch.vdot(fft2(u).flatten(), v.flatten()) == pytest.approx(
        complex(torch.vdot(u.flatten(), ifft2(v).flatten())), abs=1e-5
    )


@pytest.mark.parametrize("channels", [1, 2])
def test_channels_and_complex_images_are_the_same_thing(channels: int) -> None:
    image = torch.randn(3, channels, 5, 4)
    torch.testing.assert_close(to_channels(to_complex(image), channels), image)
    torch.testing.assert_close(to_complex(image).abs(), magnitude(image).abs())


def test_image_of_three_channels_is_refused() -> None:
    with pytest.raises(ValueError, match="this one 3"):
        to_complex(torch.zeros(1, 3, 4, 4))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("size", [(16, 12), (15, 11)])
def test_data_consistency_keeps_measured_samples_and_no_others(
    channels: int, size: tuple[int, int]
) -> None:
    mask = (torch.rand(1, 1, *size) < 0.4).float()  # any mask, no lines
    kspace = mask * complex_noise(2, 1, *size)
    image = torch.randn(2, channels, *size)
    found = fft2(Measurement(kspace, mask).consistent_image(image))
    torch.testing.assert_close(mask * found, kspace, atol=1e-5, rtol=0)
    own = fft2(to_complex(image))
    torch.testing.assert_close((1 - mask) * found, (1 - mask) * own, atol=1e-5, rtol=0)


def test_complex_data_consistency_is_a_projection() -> None:
    mask = (torch.rand(1, 1, 8, 8) < 0.4).float()
    kspace = mask * complex_noise(1, 1, 8, 8)
    measurement = Measurement(kspace, mask)
    once = measurement.impose(torch.randn(1, 2, 8, 8))
    torch.testing.assert_close(measurement.impose(once), once, atol=1e-5, rtol=0)


MASKS = {
    "rows": lambda *size: (torch.rand(size[0], 1, size[2], 1) < 0.4).float().expand(size),
    "columns": lambda *size: (torch.rand(size[0], 1, 1, size[3]) < 0.4).float().expand(size),
    "points": lambda *size: (torch.rand(size) < 0.4).float(),
    "everything": torch.ones,
}


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("masks", [1, 3])
@pytest.mark.parametrize("size", [(16, 12), (15, 11), (9, 14)])
def test_real_data_consistency_is_the_real_part_of_the_complex_one(
    kind: str, masks: int, size: tuple[int, int]
) -> None:
    """In double precision by NumPy, as the paper writes it; and so are its gradients."""
    mask, image = MASKS[kind](masks, 1, *size), torch.randn(3, 1, *size, requires_grad=True)
    kspace, weights = complex_noise(3, 1, *size), torch.randn(3, 1, *size)
    found = Measurement(kspace, mask).impose(image)
    m, y = mask.numpy().astype(float), kspace.numpy().astype(complex)

    def own(values: torch.Tensor) -> np.ndarray:
        return (1 - m) * np.fft.fft2(values.numpy().astype(float), norm="ortho")

    expected = np.fft.ifft2(m * y + own(image.detach()), norm="ortho").real
    np.testing.assert_allclose(found.detach(), expected, atol=2e-6)
    (found * weights).sum().backward()
    adjoint = np.fft.ifft2(own(weights), norm="ortho").real  # the map is its own adjoint
    np.testing.assert_allclose(image.grad, adjoint, atol=2e-6)


def as_slices(target: torch.Tensor, kspace: torch.Tensor | None = None) -> Slice:
    count = torch.arange(len(target))
    return Slice(target, kspace, torch.ones(len(target)), count, count)


def test_undersampling_of_a_magnitude_image(anatomy: np.ndarray) -> None:
    rule = GaussianLines(4)
    target = torch.from_numpy(anatomy[:, :, :3]).permute(2, 0, 1)[:, None].float()
    batch = CartesianUndersampling(rule)(as_slices(target))
    kspace = rule((48, 40)) * np.fft.fft2(anatomy[:, :, 1], norm="ortho")
    np.testing.assert_allclose(batch.kspace[1, 0], kspace, atol=1e-5)
    zero_filled = np.abs(np.fft.ifft2(kspace, norm="ortho"))
    np.testing.assert_allclose(batch.image[1, 0], zero_filled, atol=1e-5)
    torch.testing.assert_close(batch.target, target)


def test_undersampling_of_a_complex_image_keeps_its_phase() -> None:
    target = torch.randn(2, 2, 24, 20)
    batch = CartesianUndersampling(GaussianLines(2))(as_slices(target))
    torch.testing.assert_close(fft2(to_complex(batch.image)), batch.kspace, atol=1e-5, rtol=0)


def test_stored_kspace_goes_before_the_targets_own() -> None:
    kspace = complex_noise(1, 1, 24, 20)
    batch = CartesianUndersampling(GaussianLines(2))(as_slices(torch.rand(1, 1, 24, 20), kspace))
    torch.testing.assert_close(batch.kspace, batch.mask * kspace)
    assert 0 < batch.mask.mean() < 1


def test_training_draws_from_several_masks_and_evaluation_has_the_first(
    anatomy: np.ndarray,
) -> None:
    target = torch.from_numpy(anatomy[None, None, :, :, 10]).float()
    given = Slice(target, None, torch.ones(1), torch.zeros(1).long(), torch.zeros(1).long())
    task = CartesianUndersampling(GaussianLines(4), masks=5)
    drawn = {tuple(task.training_batch(given).mask[0, 0, :, 0].tolist()) for _ in range(60)}
    own = {tuple(GaussianLines(4, seed=42 + n)((48, 40))[:, 0].tolist()) for n in range(5)}
    assert drawn == own
    first = CartesianUndersampling(GaussianLines(4))
    for batch in (task(given), first.training_batch(given)):
        torch.testing.assert_close(batch.mask, first(given).mask)
    batch = task.training_batch(given)
    torch.testing.assert_close(batch.kspace, batch.mask * fft2(to_complex(target)))


def test_file_holds_one_mask() -> None:
    with pytest.raises(ConfigurationError, match=r"augmentation.masks=2: the mask is file m.npy"):
        CartesianUndersampling(MaskFile(Path("m.npy")), masks=2)
    with pytest.raises(ConfigurationError, match="which has no seed to draw others by; give 1"):
        CartesianUndersampling(np.ones, masks=2)


def test_noise_has_the_deviation_asked_for_and_spares_what_is_not_measured() -> None:
    mask = GaussianLines(2)
    target = torch.rand(4, 1, 64, 48)
    slices = as_slices(target)._replace(data_range=torch.tensor([1.0, 2.0, 1.0, 1.0]))
    clean, noisy = (CartesianUndersampling(mask, noise=level)(slices) for level in (0.0, 0.1))
    noise = noisy.kspace - clean.kspace
    measured = clean.mask[0, 0].bool()
    assert not noise[:, 0, ~measured].any()
    deviation = noise[:, 0, measured].abs().square().mean(dim=1).sqrt()
    torch.testing.assert_close(deviation, 0.1 * slices.data_range, rtol=0.1, atol=0)
    torch.testing.assert_close(noisy.target, target)


def test_noise_is_new_in_training_and_the_same_for_a_slice_in_evaluation() -> None:
    task = CartesianUndersampling(GaussianLines(2), noise=0.1)
    slices = as_slices(torch.rand(4, 1, 32, 24))._replace(variant=torch.zeros(4, dtype=torch.long))
    whole, again = task(slices), task(slices)
    torch.testing.assert_close(whole.kspace, again.kspace, rtol=0, atol=0)
    last = Slice(*(None if f is None else f[3:] for f in slices))
    torch.testing.assert_close(task(last).kspace, whole.kspace[3:], rtol=0, atol=0)
    one, two = task.training_batch(slices), task.training_batch(slices)
    assert (one.kspace - two.kspace).abs().max() > 0.01
    assert one.variant is None, "such an input never comes again"


@pytest.mark.parametrize("rule", [GaussianLines, UniformLines, EquispacedLines])
@pytest.mark.parametrize("channels", [1, 2])
def test_what_is_revealed_holds_all_that_was_seen_with_its_noise(
    rule: type[DrawnLines], channels: int
) -> None:
    task = CartesianUndersampling(rule(8), masks=5, noise=0.1)
    fuller = CartesianUndersampling(rule(8), masks=5, noise=0.1, more=rule(2))
    slices = as_slices(torch.rand(3, channels, 160, 150))
    for _ in range(4):
        seen = task.training_batch(slices)
        found = fuller.revealed(seen, training=True)
        assert found.mask.sum() > 3 * seen.mask.sum()
        assert (found.mask >= seen.mask).all()
        torch.testing.assert_close(seen.mask * found.kspace, seen.kspace, rtol=0, atol=0)
        added = (found.mask - seen.mask) * found.kspace
        assert added.abs().square().sum() / (found.mask - seen.mask).sum() > 3 * 0.1**2
    own, revealed = fuller(slices), fuller.revealed(task(slices), training=False)
    for name in ("image", "kspace", "mask", "target"):
        torch.testing.assert_close(getattr(own, name), getattr(revealed, name))
    image = ifft2(own.kspace)
    torch.testing.assert_close(
        own.image, magnitude(to_channels(image, 2)) if channels == 1 else to_channels(image, 2)
    )
    assert f"and {rule(2)}; " in fuller.describe((160, 150))


def test_what_is_revealed_of_stored_kspace_is_simulated() -> None:
    stored = complex_noise(1, 1, 24, 20) * torch.from_numpy(GaussianLines(8)((24, 20)))
    target = torch.rand(1, 1, 24, 20)
    fuller = CartesianUndersampling(GaussianLines(8), more=GaussianLines(2))
    found = fuller(as_slices(target, stored))
    seen = torch.from_numpy(GaussianLines(8)((24, 20)))[None, None].bool()
    more = found.mask.bool() & ~seen
    torch.testing.assert_close(found.kspace[seen], stored[seen])
    torch.testing.assert_close(found.kspace[more], fft2(to_complex(target))[more])


def test_task_that_reveals_lines_is_rebuilt_from_its_checkpoint() -> None:
    rule = {"_target_": "kdmri.data.masks.GaussianLines", "acceleration": 8}
    mask = {"rule": rule, "folder": "nowhere", "acceleration": "8x", "file": None}
    slices = as_slices(torch.rand(2, 1, 24, 20))
    for acceleration in (None, 2):
        more = {"_target_": "kdmri.data.masks.denser", "rule": rule, "acceleration": acceleration}
        sampling = {"_target_": UNDERSAMPLING, "mask": mask, "masks": 1, "noise": 0.0, "more": more}
        found = build_task(task_settings(sampling, (24, 20)))(slices)
        denser = None if acceleration is None else GaussianLines(2)
        expected = CartesianUndersampling(GaussianLines(8), more=denser)(slices)
        torch.testing.assert_close(found.kspace, expected.kspace)


def test_noise_of_measured_kspace_is_its_own() -> None:
    target = torch.rand(1, 1, 16, 12)
    with pytest.raises(ConfigurationError, match="stores k-space"):
        CartesianUndersampling(GaussianLines(2), noise=0.1)(
            as_slices(target, fft2(to_complex(target)))
        )
    with pytest.raises(ConfigurationError, match="at least 0"):
        CartesianUndersampling(GaussianLines(2), noise=-1)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones(8), "its shape is"),
        (np.full((8, 6), 0.5), "other values than 0 and 1"),
        (np.zeros((8, 6)), "the zero frequency"),
    ],
)
def test_rule_that_gives_no_mask_is_told(mask: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        CartesianUndersampling(lambda size: mask).mask((8, 6))

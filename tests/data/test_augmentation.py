import math

import pytest
import torch

from kdmri.data.augmentation import Affine, flipped, free_axes
from kdmri.data.batch import Slice
from kdmri.errors import ConfigurationError
from kdmri.physics import fft2, to_complex


def test_each_slice_is_one_of_its_four_mirror_images_and_all_come() -> None:
    target = torch.rand(40, 2, 4, 3)
    numbers = torch.arange(40)
    slices = Slice(target, None, torch.ones(40), numbers, numbers)
    changed = flipped(slices)
    variants: dict[int, set[int]] = {}
    for before, after, variant in zip(target, changed.target, changed.variant, strict=True):
        images = (before, before.flip(-1), before.flip(-2), before.flip(-1, -2))
        matches = [torch.equal(after, image) for image in images]
        assert matches.count(True) == 1
        variants.setdefault(matches.index(True), set()).add(int(variant))
    assert changed[1:5] == slices[1:5]
    assert sorted(map(sorted, variants.values())) == [[0], [1], [2], [3]], (
        "each image has its own variant"
    )
    assert variants[0] == {0}


@pytest.mark.parametrize(("lines", "free"), [("rows", -1), ("columns", -2)])
def test_stored_kspace_becomes_that_of_the_mirrored_image(lines: str, free: int) -> None:
    mask = torch.zeros(6, 5)
    mask[(slice(None), [0, 2]) if lines == "columns" else [0, 2]] = 1
    assert free_axes(mask) == (free,)
    target = torch.rand(20, 1, 6, 5)
    numbers = torch.arange(20)
    kspace = mask * fft2(to_complex(target))
    changed = flipped(Slice(target, kspace, torch.ones(20), numbers, numbers), free_axes(mask))
    assert changed.kspace is not None
    expected = mask * fft2(to_complex(changed.target))
    torch.testing.assert_close(changed.kspace, expected, rtol=0, atol=1e-6)
    mirrored = [not torch.equal(a, b) for a, b in zip(target, changed.target, strict=True)]
    assert 0 < sum(mirrored) < 20


def test_a_mask_of_points_leaves_no_axis_to_mirror_along() -> None:
    assert free_axes(torch.eye(4)) == ()


def blobs(count: int, row: float, column: float) -> Slice:
    """Round spots of unit width, (count, 1, 64, 40), at a place from the centre."""
    rows, columns = torch.arange(64) - 31.5 - row, torch.arange(40) - 19.5 - column
    image = torch.exp(-(rows[:, None] ** 2 + columns**2) / 8)
    numbers = torch.arange(count)
    return Slice(image.expand(count, 1, 64, 40), None, torch.ones(count), numbers, numbers, numbers)


def centres(images: torch.Tensor) -> torch.Tensor:
    """Centres of mass (B, 2) from the middle: rows, columns."""
    mass = images[:, 0] / images.sum(dim=(-2, -1))[..., None]
    rows = (mass.sum(dim=2) * (torch.arange(64) - 31.5)).sum(dim=1)
    return torch.stack((rows, (mass.sum(dim=1) * (torch.arange(40) - 19.5)).sum(dim=1)), dim=1)


def test_slices_turn_about_their_centre_and_nothing_is_distorted() -> None:
    """Of a slice that is not square; a round spot stays round, at its distance."""
    torch.manual_seed(0)
    slices = blobs(50, 9, -5)
    turned = Affine(share=1, degrees=180, scale=0, shear=0)(slices)
    places = centres(turned.target)
    distances = torch.linalg.vector_norm(places, dim=1)
    torch.testing.assert_close(distances, torch.full((50,), math.hypot(9, 5)), rtol=0, atol=0.05)
    angles = torch.atan2(places[:, 0], places[:, 1])
    assert angles.min() < -2.5 < 2.5 < angles.max()
    middle = blobs(50, 0, 0)
    unmoved = Affine(share=1, degrees=180, scale=0, shear=0)(middle)
    torch.testing.assert_close(unmoved.target, middle.target, rtol=0, atol=0.02)
    assert turned.variant is None, "it never comes again"
    assert turned.target.min() >= 0


def test_sizes_and_angles_stay_within_what_was_asked() -> None:
    torch.manual_seed(0)
    spots = blobs(200, 0, 0)
    scaled = Affine(1, 0, scale=0.3, shear=0)(spots).target
    sizes = scaled.sum(dim=(1, 2, 3)) / spots.target[0].sum()
    assert 0.9 * 0.6 < sizes.log().abs().max() <= 0.6 + 0.01
    assert sizes.min() < 1 < sizes.max()
    places = centres(Affine(1, 0, 0, shear=0.4)(blobs(200, 10, 0)).target)
    torch.testing.assert_close(places[:, 0], torch.full((200,), 10.0), rtol=0, atol=0.05)
    assert 0.9 * 4 < places[:, 1].abs().max() <= 4.05


def test_only_a_share_of_the_slices_is_changed() -> None:
    torch.manual_seed(0)
    slices = blobs(400, 9, -5)
    changed = Affine(0.25, 180, 0.2, 0.2)(slices).target
    same = [torch.equal(a, b) for a, b in zip(slices.target, changed, strict=True)]
    assert 0.65 < sum(same) / 400 < 0.85


def test_complex_slices_are_changed_as_their_parts_are() -> None:
    target = torch.randn(3, 2, 24, 20)
    numbers = torch.arange(3)
    slices = Slice(target, None, torch.ones(3), numbers, numbers)
    change = Affine(1, 30, 0.1, 0.1)
    torch.manual_seed(1)
    changed = change(slices).target
    torch.manual_seed(1)
    doubled = change(slices._replace(target=-2 * target)).target
    torch.testing.assert_close(doubled, -2 * changed)
    assert not torch.allclose(changed, target, atol=0.1)


@pytest.mark.parametrize("numbers", [(0, 1, 0, 0), (1.5, 1, 0, 0), (1, -1, 0, 0), (1, 0, -1, 0)])
def test_numbers_are_checked(numbers: tuple[float, ...]) -> None:
    with pytest.raises(ConfigurationError, match=r"share must be in \(0, 1\]"):
        Affine(*numbers)

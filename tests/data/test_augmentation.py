import pytest
import torch

from kdmri.data.augmentation import flipped, free_axes
from kdmri.data.batch import Slice
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

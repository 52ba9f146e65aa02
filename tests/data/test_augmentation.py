import torch

from kdmri.data.augmentation import flipped
from kdmri.data.batch import Slice


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

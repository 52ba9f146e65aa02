import torch

from kdmri.data.augmentation import flipped
from kdmri.data.batch import Slice


def test_each_slice_is_one_of_its_four_mirror_images_and_all_come() -> None:
    target = torch.rand(40, 2, 4, 3)
    numbers = torch.arange(40)
    slices = Slice(target, None, torch.ones(40), numbers, numbers)
    changed = flipped(slices)
    seen = set()
    for before, after in zip(target, changed.target, strict=True):
        images = (before, before.flip(-1), before.flip(-2), before.flip(-1, -2))
        matches = [torch.equal(after, image) for image in images]
        assert matches.count(True) == 1
        seen.add(matches.index(True))
    assert seen == {0, 1, 2, 3}
    assert changed[1:] == slices[1:]

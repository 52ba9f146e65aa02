"""Photographs as training images."""

import torch
from torch.nn import functional as F

from kdmri.data.photographs import NAMES, draw_photographs, photographs


def test_all_come_with_scikit_image_and_are_grey() -> None:
    found = photographs()
    assert len(found) == len(NAMES)
    for picture in found:
        assert picture.ndim == 2
        assert 256 <= max(picture.shape) <= 512
        assert picture.min() >= 0
        assert picture.max() <= 1
        assert picture.std() > 0.02


def test_pieces_lie_inside_their_field_of_view_and_follow_the_seed() -> None:
    torch.manual_seed(4)
    images = draw_photographs(12, (90, 70))
    assert images.shape == (12, 1, 90, 70)
    assert images.min() >= 0
    assert (images.amax(dim=(1, 2, 3)) - 1).abs().max() < 1e-6
    border = torch.ones(90, 70, dtype=torch.bool)
    border[2:-2, 1:-1] = False
    assert not images[..., border].any()
    covered = (images > 0.02).float().mean(dim=(1, 2, 3))
    assert covered.median() > 0.4
    torch.manual_seed(4)
    assert torch.equal(images, draw_photographs(12, (90, 70)))
    assert len({round(float(one.sum()), 3) for one in images}) == 12


def test_they_hold_detail_of_single_pixels() -> None:
    torch.manual_seed(0)
    images = draw_photographs(24, (96, 96))
    inside = (images > 0.05).float()
    blurred = F.avg_pool2d(images, 3, stride=1, padding=1)
    detail = ((images - blurred) * inside).square().sum() / inside.sum()
    assert detail.sqrt() > 0.03

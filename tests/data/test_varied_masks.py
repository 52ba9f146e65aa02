"""Masks that differ in all that scans differ in."""

import numpy as np
import pytest
import torch

from kdmri.data.masks import VariedLines
from kdmri.physics.espirit import calibration_size
from kdmri.physics.stored import build_task
from tests.reconstruct.coils import SAMPLING


@pytest.mark.parametrize("acceleration", [3, 4, 6])
@pytest.mark.parametrize("axis", [0, 1])
def test_own_mask_has_its_centre_and_as_many_lines_as_asked_for(
    acceleration: int, axis: int
) -> None:
    mask = VariedLines(acceleration, axis=axis)((230, 180))
    lines = mask[:, 0] if axis == 0 else mask[0]
    assert (mask == (lines[:, None] if axis == 0 else lines)).all()
    assert abs(lines.sum() - len(lines) / acceleration) <= 2
    assert lines[:12].all()
    assert lines[-12:].all()
    beside = np.diff(np.flatnonzero(np.fft.fftshift(lines)[: len(lines) // 2 - 12]))
    assert beside.max() - beside.min() <= 1


def test_further_masks_differ_in_all_but_the_least_centre() -> None:
    rule = VariedLines(4)
    assert rule.numbered(0) == rule
    drawn = [rule.numbered(number) for number in range(1, 60)]
    assert {one.axis for one in drawn} == {0, 1}
    assert {one.even for one in drawn} == {one.on_top for one in drawn} == {False, True}
    shares = [one((160, 144)).mean() for one in drawn]
    assert 0.1 < min(shares) < 0.2
    assert 0.4 < max(shares) <= 0.7
    for one in drawn:
        height, width = calibration_size(torch.from_numpy(one((160, 144))))
        assert min(height, width) >= 16
    assert rule.of_volume((97, 98)) != rule.of_volume((97, 99))
    assert rule.numbered(7) == VariedLines(4).numbered(7)


@pytest.mark.parametrize("size", [(20, 18), (26, 24), (7, 200)])
def test_small_images_are_measured_at_least_at_their_centre(size: tuple[int, int]) -> None:
    for number in range(20):
        mask = VariedLines(8).numbered(number)(size)
        assert mask[0, 0] == 1
        assert mask.shape == size


def test_a_checkpoint_may_name_it() -> None:
    rule = {"_target_": "kdmri.data.masks.VariedLines", "acceleration": 4, "seed": 3}
    stored = SAMPLING | {"mask": {"rule": rule, "file": None, "values": None}}
    assert build_task(stored).centre_of((96, 80)) == (96, 24)

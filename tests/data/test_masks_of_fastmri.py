"""Masks of fastMRI's rules, of its package itself and as that gave them (fastmri 0.3.0).

The lists are what its mask functions return for k-space of 96 columns, a centre of 0.04, 8x and the
file file1000001.h5, whose name is the seed as `fastmri.data.transforms` takes it.
"""

from dataclasses import replace

import numpy as np
import pytest

from kdmri.data.masks import Drawn, EquispacedLines, OffsetLines, RegularLines, UniformLines

NAME = tuple(map(ord, "file1000001.h5"))
BY_NAME = {
    "RandomMaskFunc": UniformLines(8, centre_fraction=0.04),
    "EquispacedMaskFractionFunc": EquispacedLines(8, centre_fraction=0.04),
    "EquiSpacedMaskFunc": RegularLines(8, centre_fraction=0.04),
    "MagicMaskFunc": OffsetLines(8, centre_fraction=0.04),
    "MagicMaskFractionFunc": OffsetLines(8, centre_fraction=0.04, keep_number=True),
}
MEASURED = {
    "RandomMaskFunc": [3, 6, 7, 11, 31, 46, 47, 48, 49, 57, 72, 82, 89, 95],
    "EquispacedMaskFractionFunc": [3, 14, 26, 38, 46, 47, 48, 49, 60, 72, 84],
    "EquiSpacedMaskFunc": [3, 11, 19, 27, 35, 43, 46, 47, 48, 49, 51, 59, 67, 75, 83, 91],
    "MagicMaskFunc": [5, 13, 21, 29, 37, 45, 46, 47, 48, 49, 53, 61, 69, 77, 85, 93],
    "MagicMaskFractionFunc": [9, 21, 33, 45, 46, 47, 48, 49, 53, 65, 77, 89],
}


def centred(rule: Drawn, lines: int) -> np.ndarray:
    """Return the columns of a mask with the zero frequency in the middle."""
    mask = rule((4, lines))  # type: ignore[operator]
    assert (mask == mask[0]).all()
    return np.fft.fftshift(mask[0])


@pytest.mark.parametrize("name", BY_NAME)
def test_masks_of_a_file_are_those_that_fastmri_gave(name: str) -> None:
    rule = BY_NAME[name].of_volume(NAME)
    assert np.flatnonzero(centred(rule, 96)).tolist() == MEASURED[name]
    rows = np.fft.fftshift(replace(rule, axis=0)((96, 4))[:, 0])
    assert np.flatnonzero(rows).tolist() == MEASURED[name]


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("lines", [203, 256, 320, 368, 372])
@pytest.mark.parametrize(("acceleration", "fraction"), [(4, 0.08), (8, 0.04), (6, 0.06)])
def test_masks_are_those_of_the_fastmri_package(
    name: str, lines: int, acceleration: int, fraction: float
) -> None:
    subsample = pytest.importorskip("fastmri.data.subsample")
    theirs = getattr(subsample, name)([fraction], [acceleration])
    rule = replace(BY_NAME[name], acceleration=acceleration, centre_fraction=fraction)
    for file in ("file1000001.h5", "file_brain_AXT2_200_2000019.h5", "file1.h5", "a"):
        seed = tuple(map(ord, file))
        mask, _ = theirs((1, 640, lines, 2), seed=seed)
        found = centred(rule.of_volume(seed), lines)
        np.testing.assert_array_equal(found, mask.numpy().reshape(-1))


def test_numbers_of_lines_beside_the_centre_are_as_the_rules_say() -> None:
    """368 columns at 4x: 29 of the centre; 92 asked for, every fourth is 92 by itself."""
    effective = {
        name: np.mean(
            [
                centred(replace(rule, acceleration=4, centre_fraction=0.08, seed=seed), 368).sum()
                for seed in range(40)
            ]
        )
        for name, rule in BY_NAME.items()
    }
    assert abs(effective["RandomMaskFunc"] - 92) < 4
    assert abs(effective["EquispacedMaskFractionFunc"] - 92) <= 1
    assert 113 <= effective["EquiSpacedMaskFunc"] <= 115, "29 + 92, of which 7 lie in the centre"
    assert 113 <= effective["MagicMaskFunc"] <= 115
    assert 85 <= effective["MagicMaskFractionFunc"] <= 86


def test_offset_lines_leave_out_the_mirror_lines_of_what_they_measure() -> None:
    for seed in range(10):
        lines = centred(OffsetLines(4, centre_fraction=0.0, seed=seed), 64)
        frequency = {*(np.flatnonzero(lines) - 32).tolist()} - {0}
        assert not frequency & {-f for f in frequency}
        both = np.sort([abs(f) for f in frequency])
        assert np.ptp(np.diff(both)) == 0, "together they have every second frequency"

from pathlib import Path

import numpy as np
import pytest

from kdmri.data.masks import EquispacedLines, GaussianLines, MaskFile, UniformLines, choose
from kdmri.errors import ConfigurationError, DataError


@pytest.mark.parametrize(
    ("lines", "acceleration", "expected"),
    [(150, 4, 37), (150, 5, 30), (150, 8, 18), (240, 4, 60), (240, 5, 48), (240, 8, 30)],
)
def test_gaussian_rule_takes_the_published_number_of_lines(
    lines: int, acceleration: int, expected: int
) -> None:
    mask = GaussianLines(acceleration)((lines, 7))
    assert mask[:, 0].sum() == expected
    assert (mask == mask[:, :1]).all(), "a mask consists of whole lines"
    centre = np.r_[0:5, lines - 5 : lines]
    assert mask[centre].all(), "lines -5 to +4 around the zero frequency"


def test_gaussian_rule_prefers_low_frequencies() -> None:
    counts = sum(GaussianLines(8, seed=seed)((240, 1)).astype(int)[:, 0] for seed in range(200))
    distance = np.abs(np.fft.fftfreq(240) * 240)
    near = counts[(distance > 5) & (distance < 20)].mean()
    middle = counts[(distance > 40) & (distance < 60)].mean()
    far = counts[distance > 100].mean()
    assert near > 1.5 * middle
    assert middle >= 0.8 * far > 0


def test_uniform_rule_reproduces_the_published_knee_masks() -> None:
    masks = [UniformLines(acceleration)((640, 368)) for acceleration in (4, 5, 8)]
    assert [int(mask[0].sum()) for mask in masks] == [94, 74, 50]
    assert (masks[0] >= masks[1]).all()
    assert (masks[1] >= masks[2]).all()
    frequency = np.rint(np.fft.fftfreq(368) * 368)
    assert masks[2][0, np.abs(frequency) <= 14].all(), "the central 29 columns"


@pytest.mark.parametrize("lines", [150, 240, 368])
@pytest.mark.parametrize(("acceleration", "fraction"), [(2, 0.08), (4, 0.08), (8, 0.04)])
def test_equispaced_rule_has_even_distances_beside_its_centre(
    lines: int, acceleration: int, fraction: float
) -> None:
    for seed in range(20):
        rule = EquispacedLines(acceleration, centre_fraction=fraction, seed=seed)
        measured = np.fft.fftshift(rule((5, lines))[0])
        assert abs(measured.sum() - lines / acceleration) <= 2
        frequency = np.flatnonzero(measured) - lines // 2
        centre = int(lines * fraction / 2) - 1
        assert {*range(-centre, centre)} <= {*frequency}
        for side in (frequency[frequency > centre + 2], -frequency[frequency < -centre - 2]):
            assert np.ptp(np.diff(np.sort(side))) <= 1, "all distances, but for rounding"


def test_equispaced_rule_has_its_centre_alone_where_that_is_enough() -> None:
    mask = EquispacedLines(8, centre_fraction=0.2)((4, 100))
    assert mask[0].sum() == 20


@pytest.mark.parametrize("rule", [GaussianLines, UniformLines, EquispacedLines])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("size", [(64, 48), (53, 65), (181, 217)])
@pytest.mark.parametrize("acceleration", [2, 4, 10])
def test_rules_serve_any_size_and_depend_on_their_seed(
    rule: type, axis: int, size: tuple[int, int], acceleration: int
) -> None:
    masks = [rule(acceleration, axis=axis, seed=seed)(size) for seed in (3, 3, 4, 5)]
    assert masks[0].shape == size
    assert masks[0][0, 0] == 1
    assert (masks[0] == masks[1]).all()
    assert any((masks[0] != other).any() for other in masks[2:]) or acceleration == 10


def save(path: Path, mask: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, mask)
    return path


def test_file_is_used_as_it_is(tmp_path: Path) -> None:
    mask = np.zeros((6, 4))
    mask[[0, 5]] = 1
    path = save(tmp_path / "mask_4x.npy", mask)
    chosen = choose(GaussianLines(4), tmp_path, "4x", None)
    assert chosen == MaskFile(path)
    assert (chosen((6, 4)) == mask).all()
    assert choose(GaussianLines(8), tmp_path, "8x", None) == GaussianLines(8)
    assert choose(GaussianLines(8), tmp_path, "8x", str(path)) == MaskFile(path)


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    good = np.ones((4, 4))
    with pytest.raises(DataError, match=r"mask_a.npy: its shape is \(4, 4\).*\(4, 5\)"):
        MaskFile(save(tmp_path / "mask_a.npy", good))((4, 5))
    with pytest.raises(DataError, match="zero frequency"):
        MaskFile(save(tmp_path / "b.npy", np.roll(np.eye(4)[:1].repeat(4, 0), 2, 1)))((4, 4))
    with pytest.raises(DataError, match="other values than 0 and 1"):
        MaskFile(save(tmp_path / "c.npy", good * 0.5))((4, 4))
    pickled = tmp_path / "d.npy"
    np.save(pickled, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"d.npy: not a readable .npy array"):
        MaskFile(pickled)((4, 4))
    with pytest.raises(ConfigurationError, match=r"task.mask_file=nowhere.npy"):
        choose(GaussianLines(4), tmp_path, "4x", "nowhere.npy")

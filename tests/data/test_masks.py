from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from kdmri.data.mask_convention import looks_shifted
from kdmri.data.masks import (
    EquispacedLines,
    GaussianLines,
    MaskFile,
    OffsetLines,
    PoissonDisc,
    RegularLines,
    UniformLines,
    choose,
)
from kdmri.errors import ConfigurationError, DataError

RULES = [GaussianLines, UniformLines, EquispacedLines, RegularLines, OffsetLines]


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


@pytest.mark.parametrize("lines", [1, 2, 3])
def test_gaussian_rule_draws_nothing_beside_a_centre_that_is_all(lines: int) -> None:
    assert GaussianLines(1)((lines, 7)).all()
    assert GaussianLines(4)((lines, 7))[0].all()


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


@pytest.mark.parametrize("fraction", [0.0, 0.04, 0.99])
@pytest.mark.parametrize("lines", [1, 7, 40])
def test_uniform_rule_measures_the_zero_frequency_in_any_case(lines: int, fraction: float) -> None:
    """It measured nothing of few lines, and ended in a division by zero where all are central."""
    mask = UniformLines(acceleration=100, centre_fraction=fraction)((3, lines))
    assert mask[:, 0].all()
    assert mask.sum(axis=1).tolist() == [max(1, round(lines * fraction))] * 3


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


@pytest.mark.parametrize("rule", RULES)
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
    assert any((masks[0] != other).any() for other in masks[2:]) or acceleration != 4


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
        MaskFile(save(tmp_path / "fields.npy", good.astype([("a", "f8")])))((4, 4))
    with pytest.raises(DataError, match="other values than 0 and 1"):
        MaskFile(save(tmp_path / "c.npy", good * 0.5))((4, 4))
    pickled = tmp_path / "d.npy"
    np.save(pickled, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"d.npy: not a readable .npy array"):
        MaskFile(pickled)((4, 4))
    with pytest.raises(ConfigurationError, match=r"task.mask_file=nowhere.npy"):
        choose(GaussianLines(4), tmp_path, "4x", "nowhere.npy")


def centred_lines() -> np.ndarray:
    """Every fourth column and seven around the middle, as scanners' software shows them."""
    lines = np.zeros(40, np.uint8)
    lines[::4], lines[16:23] = 1, 1
    return lines


def test_centred_file_is_told_by_its_density_though_index_0_is_measured(tmp_path: Path) -> None:
    centred = np.tile(centred_lines(), (48, 1))
    assert centred[0, 0] == 1
    with pytest.raises(DataError, match=r"c.npy: is densest around the middle.*ifftshift"):
        MaskFile(save(tmp_path / "c.npy", centred))((48, 40))
    right = np.fft.ifftshift(centred)
    assert (MaskFile(save(tmp_path / "r.npy", right))((48, 40)) == right).all()
    rows = np.ascontiguousarray(centred.T)
    with pytest.raises(DataError, match="densest around the middle"):
        MaskFile(save(tmp_path / "t.npy", rows))((40, 48))


def points(size: tuple[int, int], seed: int) -> np.ndarray:
    """Draw points whose density falls off from index (0, 0), which is measured."""
    distance = np.hypot(*np.meshgrid(*(np.fft.fftfreq(n) for n in size), indexing="ij"))
    mask = np.random.default_rng(seed).random(size) < 0.1 + 0.8 * np.exp(-8 * distance)
    mask[0, 0] = True
    return mask


@pytest.mark.parametrize("size", [(48, 40), (181, 217), (64, 65)])
def test_density_of_scattered_points_tells_their_origin(size: tuple[int, int]) -> None:
    for seed in range(20):
        mask = points(size, seed)
        assert not looks_shifted(mask)
        for axes in ((0, 1), 0, 1):
            moved = np.fft.fftshift(mask, axes)
            moved[0, 0] = True
            assert looks_shifted(moved)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("acceleration", [4, 8])
def test_drawn_lines_never_look_shifted_and_do_once_they_are(
    rule: type, axis: int, acceleration: int
) -> None:
    for seed in range(40):
        mask = rule(acceleration, axis=axis, seed=seed)((128, 160))
        assert not looks_shifted(mask)
        assert looks_shifted(np.fft.fftshift(mask))


def test_masks_without_evidence_are_taken(tmp_path: Path) -> None:
    even = np.tile(np.arange(40) % 2 == 0, (48, 1))
    for mask in (np.ones((48, 40)), even, np.random.default_rng(1).random((48, 40)) < 2):
        assert (MaskFile(save(tmp_path / "m.npy", mask))((48, 40)) == mask).all()


def test_lines_alone_are_spread_where_it_is_plain_which_they_are(tmp_path: Path) -> None:
    columns = np.fft.ifftshift(centred_lines())
    expected = np.tile(columns, (48, 1))
    for shape in ((40,), (1, 40), (1, 1, 40, 1), (1, 40, 1)):
        path = save(tmp_path / "columns.npy", columns.reshape(shape))
        assert (MaskFile(path)((48, 40)) == expected).all()
        assert MaskFile(path).size is None
    for shape in ((40,), (40, 1)):
        path = save(tmp_path / "rows.npy", columns.reshape(shape))
        assert (MaskFile(path)((40, 48)) == expected.T).all()
    square = MaskFile(save(tmp_path / "square.npy", columns))
    with pytest.raises(DataError, match=r"rows or columns of \(40, 40\).*\(40, 1\).*\(1, 40\)"):
        square((40, 40))
    for shape in ((40, 1, 1), (1, 1, 40)):
        with pytest.raises(DataError, match="its shape is"):
            MaskFile(save(tmp_path / "odd.npy", columns.reshape(shape)))((48, 40))
    fastmri = centred_lines().reshape(1, 1, 40, 1)
    with pytest.raises(DataError, match="ifftshift"):
        MaskFile(save(tmp_path / "fastmri.npy", fastmri))((40, 40))


def test_size_is_refused_with_the_option_of_the_command(tmp_path: Path) -> None:
    path = save(tmp_path / "mask_4x.npy", np.ones((4, 4)))
    with pytest.raises(DataError, match=r"Move the file away .* or give task\.mask_file$"):
        MaskFile(path)((4, 5))
    with pytest.raises(DataError, match=r"or leave mask out to draw it by the rule$"):
        MaskFile(path, option="mask")((4, 5))
    with pytest.raises(DataError, match=r"or leave task\.mask_file out"):
        choose(GaussianLines(4), tmp_path, "8x", str(path))((4, 5))


@pytest.mark.parametrize("rule", [RegularLines, OffsetLines])
def test_distances_of_lines_are_whole(rule: type) -> None:
    with pytest.raises(ConfigurationError, match=r"acceleration.factor=4.5: .* must be whole"):
        rule(4.5)
    assert OffsetLines(4.5, keep_number=True)((8, 90))[0].sum() <= 20


@pytest.mark.parametrize("size", [(218, 170), (181, 64), (96, 97)])
@pytest.mark.parametrize("acceleration", [5, 10])
def test_poisson_disc_has_its_centre_its_number_and_distances(
    size: tuple[int, int], acceleration: float
) -> None:
    rule = PoissonDisc(acceleration, centre_radius=8)
    mask = np.fft.fftshift(rule(size))
    assert mask.sum() == round(mask.size / acceleration)
    rows, columns = (np.arange(n) - n // 2 for n in size)
    radius = np.hypot(rows[:, None], columns)
    assert mask[radius <= 8].all()
    drawn = np.argwhere((mask == 1) & (radius > 9))
    nearest = cKDTree(drawn).query(drawn, k=2)[0][:, 1]
    reach = np.hypot(*((drawn - np.array(size) // 2) / (np.array(size) / 2)).T)
    edge, inner = nearest[reach > 0.8], nearest[reach < 0.5]
    assert edge.mean() > 1.2 * inner.mean(), "density falls off"
    random = np.argwhere(np.random.default_rng(0).random(size) < len(drawn) / mask.size)
    by_chance = cKDTree(random).query(random, k=2)[0][:, 1]
    assert nearest.min() >= 1.4, "no two samples side by side"
    assert nearest.mean() > 1.2 * by_chance.mean()
    assert not looks_shifted(rule(size))
    assert (rule(size) == rule(size)).all()
    assert (rule(size) != rule.numbered(1)(size)).any()
    assert (rule(size) != rule.of_volume((102, 105))(size)).any()


def test_poisson_disc_has_its_centre_alone_where_that_is_enough() -> None:
    mask = PoissonDisc(10, centre_radius=16)((48, 40))
    expected = np.hypot(*np.meshgrid(*(np.fft.fftfreq(n) * n for n in (48, 40)), indexing="ij"))
    np.testing.assert_array_equal(mask, expected <= 16 + 1e-9)
    assert PoissonDisc(1)((40, 30)).all()


@pytest.mark.parametrize("acceleration", [1.2, 2, 3, 4.5, 20])
def test_poisson_disc_measures_as_many_samples_as_asked_for(acceleration: float) -> None:
    for seed in range(3):
        rule = PoissonDisc(acceleration, centre_radius=4, falloff=3, seed=seed)
        assert rule((81, 64)).sum() == round(81 * 64 / acceleration)

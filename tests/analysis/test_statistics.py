import numpy as np
import pytest

from kdmri.analysis.statistics import GapBootstrap, GapShare, Resampling, interval
from kdmri.analysis.tables import Table
from kdmri.metrics import SliceTable


def table(psnr: np.ndarray, slices: int = 20) -> SliceTable:
    """Volumes whose slices all have the PSNR given, with a little noise of their own."""
    volume = np.repeat(np.arange(len(psnr)), slices)
    noise = 0.2 * np.random.default_rng(1).standard_normal(volume.size)
    error = 1000 * 10 ** (-(psnr[volume] + noise) / 10)
    return SliceTable(
        {
            "volume": volume.astype(float),
            "slice": np.tile(np.arange(slices), len(psnr)).astype(float),
            "data_range": np.ones(volume.size),
            "pixels": np.full(volume.size, 1000.0),
            "squared_error": error,
        }
    )


def shares(
    student: np.ndarray, teacher: np.ndarray, method: np.ndarray, by_block: bool = False
) -> GapShare:
    """Share of volumes' PSNR that 20 slices each, in blocks of 5, give."""
    resampling = Resampling(table(student), by_block, 5, 200)
    student, teacher, method = (resampling.figures(table(v)) for v in (student, teacher, method))
    return GapBootstrap(resampling, student, teacher).share(method)


SUBJECTS = 30 + np.random.default_rng(0).standard_normal(12)


@pytest.mark.parametrize("by_block", [False, True])
def test_share_is_exact_where_all_volumes_agree(by_block: bool) -> None:
    share = shares(SUBJECTS, SUBJECTS + 2, SUBJECTS + 1.5, by_block)
    assert share.value == pytest.approx(0.75)
    assert share.low == pytest.approx(0.75)
    assert share.high == pytest.approx(0.75)
    assert shares(SUBJECTS, SUBJECTS + 2, SUBJECTS + 3, by_block).value == pytest.approx(1.5)


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(2)
    covered = 0
    for _ in range(100):
        subjects = 30 + generator.standard_normal(20)
        gain = 0.5 + 0.4 * generator.standard_normal(20)
        share = shares(subjects, subjects + 1, subjects + gain)
        covered += share.low <= 0.5 <= share.high
    assert 85 <= covered <= 99


@pytest.mark.parametrize(
    ("gain", "description"),
    [(2, {"student": "0 %", "teacher": "100 %", "kd": "50 % (50 to 50)"}), (-1, {})],
)
def test_student_and_teacher_are_ends_of_a_gap_that_is_there(
    gain: float, description: dict[str, str]
) -> None:
    resampling = Resampling(table(SUBJECTS), False, 5, 200)
    levels = {"student": 0, "teacher": gain, "kd": 1}
    figures = {s: resampling.figures(table(SUBJECTS + v)) for s, v in levels.items()}
    gap = GapBootstrap(resampling, figures["student"], figures["teacher"])
    for stage, values in figures.items():
        assert gap.cell(stage, values) == description.get(stage, "no gap")


def test_gap_that_may_be_none_gives_no_interval() -> None:
    teacher = SUBJECTS + np.where(np.arange(12) % 2, 1.0, -0.9)
    share = shares(SUBJECTS, teacher, SUBJECTS)
    assert share.value == pytest.approx(0)
    assert np.isnan(share.low)


def test_few_subjects_are_resampled_by_blocks() -> None:
    assert Resampling(table(SUBJECTS[:4]), False, 5, 10).by_block
    assert not Resampling(table(SUBJECTS), False, 5, 10).by_block
    assert Resampling(table(SUBJECTS), False, 5, 10, ["one", "two", "three"] * 4).by_block


@pytest.mark.parametrize("metric", ["psnr", "ssim"])
def test_volumes_of_a_subject_are_drawn_together(metric: str) -> None:
    measured = table(SUBJECTS)
    measured.columns["ssim"] = np.sin(np.arange(len(measured.columns["volume"])))
    values = measured.per_volume(metric)
    paired = Resampling(measured, False, 5, 300, [f"patient-{v // 2}" for v in range(12)])
    figures = paired.figures(measured, metric)
    assert figures[0] == pytest.approx(values.mean())
    possible = values.reshape(6, 2).mean(axis=1)
    draws = np.random.default_rng(0).integers(6, size=(300, 6))
    np.testing.assert_allclose(figures[1:], possible[draws].mean(axis=1))


@pytest.mark.parametrize("metric", ["psnr", "ssim"])
def test_blocks_make_up_whole_volumes(metric: str) -> None:
    measured = table(SUBJECTS[:3])
    measured.columns["ssim"] = np.sin(np.arange(len(measured.columns["volume"])))
    figures = Resampling(measured, True, 5, 50).figures(measured, metric)
    assert figures[0] == pytest.approx(measured.mean(metric))
    assert np.ptp(figures[1:]) > 0


def test_table_is_escaped_for_latex() -> None:
    shown = Table("T", ["a_b", "c"], [["x", "5 % ± 1"], ["–", "&"]], ["note"])
    latex = shown.to_latex()
    assert r"a\_b & c \\" in latex
    assert r"x & 5 \% $\pm$ 1 \\" in latex
    assert r"-- & \& \\" in latex
    assert "| x | 5 % ± 1 |" in shown.to_markdown()


def test_slices_in_files_of_their_own_are_drawn_in_blocks_of_neighbours() -> None:
    """As those of the original project's knees: who they show is not told."""
    psnr = 30 + np.repeat(np.random.default_rng(0).standard_normal(5), 5)
    alone = table(psnr, slices=1)
    resampling = Resampling(alone, False, 5, 2000, subjects=["unknown"] * 25)
    assert resampling.by_block
    assert [group.tolist() for group in resampling.groups] == np.arange(25).reshape(5, 5).tolist()
    figures = resampling.figures(alone)
    per_volume = alone.per_volume("psnr")
    assert figures[0] == pytest.approx(per_volume.mean())
    blocks = per_volume.reshape(5, 5).mean(axis=1)
    assert figures[1:].std() == pytest.approx(blocks.std() / 5**0.5, rel=0.1)


@pytest.mark.parametrize(("volumes", "slices"), [(4, 7), (1, 22), (1, 6)])
def test_too_few_blocks_tell_no_interval(volumes: int, slices: int) -> None:
    """A volume that is one block is drawn whole each time, which would look certain."""
    psnr = 30 + np.arange(volumes) / 10
    resampling = Resampling(table(psnr, slices=slices), True, 5, 100)
    figures = [resampling.figures(table(psnr + gain, slices=slices)) for gain in (0, 1, 2)]
    assert np.isfinite(figures[0][0])
    assert np.isnan(figures[0][1:]).all()
    assert "unsure" in str(GapBootstrap(resampling, figures[0], figures[2]).share(figures[1]))


@pytest.mark.parametrize("count", [5, 10])
def test_interval_of_few_subjects_has_the_coverage_that_is_stated(count: int) -> None:
    generator = np.random.default_rng(5)
    draws = 400
    held = 0
    for _ in range(draws):
        gain = table(generator.standard_normal(count))
        resampling = Resampling(gain, False, 5, 400)
        low, high = interval(resampling.figures(gain))
        held += low <= 0 <= high
    spread = (0.85 * 0.15 / draws) ** 0.5
    assert held / draws == pytest.approx(resampling.coverage, abs=3 * spread)
    assert (
        f"{count} subjects (so few that the interval's actual coverage is" in resampling.describe(5)
    )


def test_many_subjects_are_told_without_a_warning() -> None:
    measured = table(30 + np.random.default_rng(0).standard_normal(30))
    assert Resampling(measured, False, 5, 10).describe(5) == "30 subjects"


def test_volume_of_one_block_beside_long_ones_tells_no_interval() -> None:
    """It counts as much as the others, but would be drawn whole each time."""
    volume = np.repeat([0.0, 1.0], [25, 6])
    measured = table(np.zeros(1), slices=31)
    measured.columns["volume"] = volume
    resampling = Resampling(measured, True, 5, 50)
    assert resampling.units == 6
    assert np.isnan(resampling.figures(measured)[1:]).all()

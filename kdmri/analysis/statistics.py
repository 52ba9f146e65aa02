"""How much of the teacher-student gap a method recovers, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kdmri.metrics import SliceTable

FEWEST_SUBJECTS = 5
"""With fewer subjects than this, resampling them says nothing; blocks of slices are resampled."""

FEWEST_BLOCKS = 5
"""With fewer blocks than this nothing is resampled, and intervals are unknown."""

ONE_SUBJECT = "One subject, splits apart in space: no statement about other people."
"""Said where all slices are of one subject."""

FEW_SUBJECTS = f"Fewer than {FEWEST_SUBJECTS} subjects: no statement about other people."
"""Said where blocks of slices are drawn, though the slices are of several subjects."""

FEWEST_FOR_COVERAGE = 20
"""With fewer units than this tables give the actual coverage of an interval, below 95 %."""


@dataclass(frozen=True)
class GapShare:
    """Share of the PSNR gap between student and teacher, 0 at the student and 1 at the teacher.

    Attributes:
        value: from the figures as measured; NaN where the teacher is not better than the student.
        low: lower end of the 95 % interval; NaN where more than 1 in 40 resamples have no gap.
        high: upper end.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if np.isnan(self.value):
            return "no gap"
        unsure = np.isnan(self.low)
        ends = "unsure" if unsure else f"{self.low * 100:.0f} to {self.high * 100:.0f}"
        return f"{self.value * 100:.0f} % ({ends})"


class Resampling:
    """Draws of the evaluation slices, the same for every table of them (a paired bootstrap).

    Whole subjects are drawn where they are independent; where all volumes show one subject, or
    there are few, blocks of neighbouring slices are drawn within each volume, or of neighbouring
    volumes where each is but a slice.

    Attributes:
        by_block: whether blocks are drawn.
        units: how many subjects or blocks there are to draw from.
        enough: whether there are as many as an interval needs: a volume of one block, which
            counts as much as any other, would never vary.
        groups: indices of the volumes of each subject, or of each block where they are slices.
    """

    def __init__(
        self,
        table: SliceTable,
        by_block: bool,
        block: int,
        resamples: int,
        subjects: Sequence[str] | None = None,
    ) -> None:
        """Draw; the seed is fixed.

        Args:
            table: slices of any method.
            by_block: draw blocks of slices instead of subjects.
            block: neighbouring slices of a block.
            resamples: number of draws.
            subjects: of each volume; None where each shows another.
        """
        volumes = table.volumes
        names = subjects if subjects is not None else [str(v) for v in volumes]
        self.groups = [
            np.flatnonzero([name == other for name in names]) for other in dict.fromkeys(names)
        ]
        self.by_block = by_block or len(self.groups) < FEWEST_SUBJECTS
        self._rows = [np.flatnonzero(table.columns["volume"] == v) for v in volumes]
        self._whole = not self.by_block
        if self.by_block and all(len(rows) == 1 for rows in self._rows):
            self._whole = True
            self.groups = np.array_split(
                np.arange(len(volumes)), max(1, round(len(volumes) / block))
            )
        self._blocks = [np.array_split(r, max(1, round(len(r) / block))) for r in self._rows]
        drawn_from = [self.groups] if self._whole else self._blocks
        sizes = [len(units) for units in drawn_from]
        self.units = sum(sizes)
        self.enough = self.units >= FEWEST_BLOCKS and min(sizes) > 1
        generator = np.random.default_rng(0)
        counts = [len(self.groups)] if self._whole else [len(b) for b in self._blocks]
        drawn = [[generator.integers(n, size=n) for n in counts] for _ in range(resamples)]
        # For each volume, or once: (1 + resamples, units), the data as measured first.
        self._draws = [
            np.stack([np.arange(n), *(draw[number] for draw in drawn)])
            for number, n in enumerate(counts)
        ]

    @property
    def coverage(self) -> float:
        """Actual coverage: how often such intervals hold the truth, where units are independent.

        An interval of percentiles is that of a normal distribution, and of the spread within the
        sample, in the place of Student's t: of 5 units it holds 85 %, of 10 90 %, not 95.
        """
        from scipy.stats import norm, t  # loads much of SciPy

        ends = norm.ppf(0.975) * np.sqrt((self.units - 1) / self.units)
        return float(2 * t.cdf(ends, self.units - 1) - 1)

    def describe(self, block: int) -> str:
        """Say what is drawn, and what intervals of few of them cover."""
        plural = "" if self.units == 1 else "s"
        unit = f"block{plural} of {block} neighbouring slices" if self.by_block else "subjects"
        if not self.enough or self.units >= FEWEST_FOR_COVERAGE:
            return f"{self.units} {unit}"
        most = "at most " if self.by_block else ""  # neighbours are alike
        coverage = f"{most}{100 * self.coverage:.0f} %"
        return f"{self.units} {unit} (so few that the interval's actual coverage is {coverage})"

    def figures(self, table: SliceTable, metric: str = "psnr") -> np.ndarray:
        """Measure the mean over volumes: as measured, then on each resample.

        Args:
            table: the same slices of a method.
            metric: "psnr" (dB, over each volume at once) or "ssim" (mean over its slices).

        Returns:
            (1 + resamples,); resamples are NaN where there are too few blocks.
        """
        found = self._resampled(table, metric)
        if not self.enough:
            found[1:] = np.nan
        return found

    def _resampled(self, table: SliceTable, metric: str) -> np.ndarray:
        if not self._whole:
            parts = zip(self._rows, self._blocks, self._draws, strict=True)
            return np.mean([_drawn(table, metric, r, b, d) for r, b, d in parts], axis=0)
        per_volume = table.per_volume(metric)
        sums = np.array([per_volume[group].sum() for group in self.groups])
        sizes = np.array([len(group) for group in self.groups])
        (draws,) = self._draws
        return sums[draws].sum(axis=1) / sizes[draws].sum(axis=1)


def _drawn(
    table: SliceTable, metric: str, rows: np.ndarray, blocks: list[np.ndarray], draws: np.ndarray
) -> np.ndarray:
    """Measure one volume put together of drawn blocks, (1 + resamples,)."""

    def total(values: np.ndarray) -> np.ndarray:
        return np.array([values[block].sum() for block in blocks])[draws].sum(axis=1)

    c = table.columns
    if metric == "ssim":
        return total(c["ssim"]) / total(np.ones_like(c["ssim"]))
    largest = c["data_range"][rows[0]]
    return 10 * np.log10(largest**2 * total(c["pixels"]) / total(c["squared_error"]))


def subject_notes(one_subject: bool, by_block: bool) -> list[str]:
    """Return what a table has to say of whom its slices show.

    Args:
        one_subject: whether all slices are of one subject.
        by_block: whether blocks of slices were drawn, see `Resampling`.
    """
    if one_subject:
        return [ONE_SUBJECT]
    return [FEW_SUBJECTS] if by_block else []


ENDS = {"student": "0 %", "teacher": "100 %"}
"""Shares of the stages that the gap lies between, which are no estimates."""


class GapBootstrap:
    """The PSNR gap between student and teacher on each resample."""

    def __init__(self, resampling: Resampling, student: np.ndarray, teacher: np.ndarray) -> None:
        """Take figures of student and teacher, (1 + resamples,), see `Resampling.figures`."""
        self.resampling = resampling
        self._student, self._teacher = student, teacher

    def share(self, figures: np.ndarray) -> GapShare:
        """Compare a method's figures on the same resamples with student and teacher."""
        gap = self._teacher - self._student
        if gap[0] <= 0:
            return GapShare(np.nan, np.nan, np.nan)
        shares = (figures - self._student)[gap > 0] / gap[gap > 0]
        if np.mean(~(gap > 0)) > 0.025:
            return GapShare(float(shares[0]), np.nan, np.nan)
        return GapShare(float(shares[0]), *interval(shares))

    def cell(self, stage: str, figures: np.ndarray) -> str:
        """Write the share of a stage for a table; student and teacher are the ends of a gap."""
        share = self.share(figures)
        return str(share) if np.isnan(share.value) else ENDS.get(stage, str(share))


def gap_note(resampling: Resampling, block: int) -> str:
    """Say what the gap is, and what its interval is drawn from."""
    return (
        "Gap recovered: share of the PSNR between student and teacher, 95 % interval by bootstrap "
        f"over {resampling.describe(block)}."
    )


def interval(figures: np.ndarray) -> tuple[float, float]:
    """Return the ends of the 95 % interval; the first figure is as measured, no resample."""
    low, high = np.percentile(figures[1:], (2.5, 97.5))
    return float(low), float(high)

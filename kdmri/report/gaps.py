"""The share of the gap that each stage of an experiment recovers, with its interval."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from kdmri.analysis.experiments import Figures, Run
from kdmri.analysis.statistics import GapBootstrap, GapShare, Resampling
from kdmri.errors import CheckpointError
from kdmri.metrics import SliceTable

ROUNDING = 5e-3
"""PSNR in dB by which a table of slices may miss the figures, else it is of another evaluation."""


def gap_shares(
    runs: Sequence[Run], figures: Figures, block: int, resamples: int
) -> tuple[dict[str, GapShare], Resampling | None]:
    """Compare all that was measured together with its student and teacher.

    Args:
        runs: stages of the experiment.
        figures: of its comparison.
        block: neighbouring slices of a block, where one subject is all there is.
        resamples: draws behind an interval.

    Returns:
        The share of each stage, none where there is no gap; and what its interval is drawn from,
        None where the slices of student or teacher are not at hand: then no interval is known.
    """
    psnr = {
        name: float(np.mean([v["psnr"] for v in volumes.values() if "psnr" in v] or [np.nan]))
        for name, volumes in figures.items()
    }
    gap = psnr.get("teacher", math.nan) - psnr.get("student", math.nan)
    if not gap > 0:
        return {}, None
    values = {name: (value - psnr["student"]) / gap for name, value in psnr.items()}
    values = {name: value for name, value in values.items() if math.isfinite(value)}
    tables = _tables(runs, psnr)
    shares = {name: GapShare(value, math.nan, math.nan) for name, value in values.items()}
    if not {"student", "teacher"} <= tables.keys():
        return shares, None
    student = next(run.evaluation for run in runs if run.stage == "student")
    assert student is not None
    measured, volumes = student.measured, len(student.table.volumes)
    resampling = Resampling(
        student.table,
        by_block=measured.one_subject,
        block=block,
        resamples=resamples,
        subjects=measured.subjects if len(measured.subjects) == volumes else None,
    )
    drawn = {name: resampling.figures(table) for name, table in tables.items()}
    bootstrap = GapBootstrap(resampling, drawn["student"], drawn["teacher"])
    for name in shares.keys() & drawn.keys():
        share = bootstrap.share(drawn[name])
        shares[name] = GapShare(values[name], share.low, share.high)
    return shares, resampling


def _tables(runs: Sequence[Run], psnr: Mapping[str, float]) -> dict[str, SliceTable]:
    """Find the slices of each stage, as far as they are those of the figures and of the student."""
    found: dict[str, SliceTable] = {}
    for run in sorted(runs, key=lambda run: run.stage != "student"):
        if run.evaluation is None or run.stage not in psnr:
            continue
        try:
            table = run.evaluation.table
        except CheckpointError:
            continue  # an earlier version, or damaged: the figures are there all the same
        with np.errstate(all="ignore"):
            same = abs(table.mean("psnr") - psnr[run.stage]) < ROUNDING
        if same and table.is_of_same_slices(found.get("student", table)):
            found[run.stage] = table
    return found

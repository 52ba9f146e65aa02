"""Where the zero frequency lies: of a mask where it is dense, of k-space where it is strong."""

import numpy as np

CENTRED, SURELY_CENTRED = 2.0, 6.0
"""Evidence for a centred mask of lines: minus the logarithm of the chance that it is none."""

DENSER = 4.0
"""The same for other masks: standard deviations between two densities."""


def looks_shifted(mask: np.ndarray) -> bool:
    """Tell whether a mask is densest around the middle of an axis, not around index (0, 0).

    Every sensible mask is densest around the zero frequency. Masks of lines are compared by the run
    of measured lines through index 0 and through N//2, others by the density around each and by how
    it changes along an axis. A mask that is as dense everywhere gives no evidence.

    Args:
        mask: 0 or 1, (H, W), meant to have the zero frequency at index (0, 0).
    """
    rows, columns = (np.asarray(mask.any(axis=axis)) for axis in (1, 0))
    if np.array_equal(mask > 0, rows[:, None] & columns):
        return _has_central_run(rows) or _has_central_run(columns)
    if any(_leans_outwards(mask, axis) for axis in (0, 1)):
        return True
    corner = _density(mask, (0, 0))
    middle = [n // 2 for n in mask.shape]
    others = [(middle[0], middle[1]), (middle[0], 0), (0, middle[1])]
    return any(_differ(_density(mask, place), corner, float(mask.mean())) for place in others)


def is_centred(kspace: np.ndarray) -> bool | None:
    """Tell whether a slice of k-space (H, W) has its zero frequency in the middle, by its energy.

    Returns:
        Whether it is strong around N//2, or around index 0; None where it is around neither.
    """
    energy = np.abs(kspace).astype(np.float64) ** 2
    if not np.isfinite(energy).all():
        return None  # what is wrong is said when slices are checked
    reach = [max(1, n // 8) for n in energy.shape]
    around = []
    for centre in ((0, 0), (energy.shape[0] // 2, energy.shape[1] // 2)):
        moves = [r - c for r, c in zip(reach, centre, strict=True)]
        turned = np.roll(energy, moves, axis=(0, 1))
        around.append(float(turned[: 2 * reach[0] + 1, : 2 * reach[1] + 1].sum()))
    corner, middle = around
    if max(around) <= max(energy.sum() / 2, 5 * min(around)):
        return None
    return middle > corner


def _has_central_run(lines: np.ndarray) -> bool:
    """Tell whether lines (N,) are measured in a run around N//2 that is no chance.

    Chance is that of so many lines more than around index 0, each measured as often as all are. It
    has to be smaller where index 0 has measured neighbours, as the zero frequency always has.
    """
    share = float(lines.mean())
    if share in (0, 1):
        return False
    longer = _run(np.roll(lines, -(len(lines) // 2))) - _run(lines)
    evidence = -longer * np.log(share)
    has_neighbours = bool(lines[-1] and lines[1 % len(lines)])
    return bool(evidence > (SURELY_CENTRED if has_neighbours else CENTRED))


def _run(lines: np.ndarray) -> int:
    """Count measured lines in a row, through index 0 and round the end."""
    if lines.all():
        return len(lines)
    after = int(np.argmin(lines))
    return after + int(np.argmin(lines[::-1])) if after else 0


def _leans_outwards(mask: np.ndarray, axis: int) -> bool:
    """Tell whether the half of an axis far from index 0 is denser than drawing explains."""
    places = 2 * np.pi * np.arange(mask.shape[axis]) / mask.shape[axis]
    share = float(mask.mean())
    nearness = float((np.asarray(mask.mean(axis=1 - axis)) * np.cos(places)).sum())
    deviation = (share * (1 - share) * mask.shape[axis] / 2 / mask.shape[1 - axis]) ** 0.5
    return nearness < -DENSER * deviation


def _density(mask: np.ndarray, place: tuple[int, int]) -> tuple[float, int]:
    """Return the share of measured samples around an index, round the ends, and their number."""
    reach = [max(1, n // 12) for n in mask.shape]
    turned = np.roll(mask, [r - p for r, p in zip(reach, place, strict=True)], axis=(0, 1))
    around = turned[: 2 * reach[0] + 1, : 2 * reach[1] + 1]
    return float(around.mean()), around.size


def _differ(one: tuple[float, int], other: tuple[float, int], share: float) -> bool:
    """Tell whether one place is denser than another by more than drawing samples explains."""
    deviation = (share * (1 - share) * (1 / one[1] + 1 / other[1])) ** 0.5
    return one[0] - other[0] > DENSER * deviation

"""What is to be said of scans of several coils: their masks, and what they are measured against."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from kdmri.data.coils import OF_COILS, OF_FILE, CoilVolume
from kdmri.data.explained import DOUBTFUL, REASONS
from kdmri.data.task import Scan, Task
from kdmri.errors import DataError


def check_readout(task: Task, scan: Scan, path: Path, way_out: str | None = None) -> None:
    """See that a mask leaves out nothing along the readout, which scanners sample whole.

    Args:
        task: whose mask it is.
        scan: that is undersampled by it.
        path: of the scan.
        way_out: what to give for another mask, in place of the words of `train`.

    Raises:
        DataError: it does.
    """
    words = task.undersampled_readout(scan)
    if words is not None:
        lines = "rows" if scan.readout == 0 else "columns"
        raise DataError(
            f"{path}: was read out along its {lines} (axis {scan.readout}), which no scan leaves "
            f"samples out of, but the mask does ({task.describe(scan.size)}); give "
            f"{way_out or words}"
        )


def a_mask_file(readout: int | None) -> str:
    """Say which mask a scan can be undersampled by, where a command takes one from a file."""
    lines = "columns" if readout == 0 else "rows"
    return f"mask=FILE.npy, a mask (H, W) of whole {lines}"


TRUTHS = {
    OF_FILE: "the files' reconstruction_rss",
    OF_COILS: "the root sum of squares of all coils",
    "": "their combined image",
}
"""What volumes of several coils are measured against, in words."""


def compared_with(volumes: Sequence[CoilVolume]) -> str:
    """Say what volumes are measured against, with numbers of volumes where that differs."""
    found = Counter(volume.against for volume in volumes)
    if len(found) == 1:
        return TRUTHS[next(iter(found))]
    return ", ".join(f"{TRUTHS[key]} ({count} volume(s))" for key, count in found.items())


def doubted(volumes: Sequence[CoilVolume], unexplained: Sequence[float], folder: Path) -> list[str]:
    """Say in a sentence which volumes of a data set have sensitivities that are to be doubted.

    Args:
        volumes: of several coils.
        unexplained: see `kdmri.data.companions.Companion`, of each.
        folder: of the data set.

    Returns:
        None or one.
    """
    pairs = [(v, u) for v, u in zip(volumes, unexplained, strict=True) if u > DOUBTFUL]
    if not pairs:
        return []
    worst, most = max(pairs, key=lambda pair: pair[1])
    return [
        f"{folder}: sensitivities of {len(pairs)} of {len(volumes)} volumes explain less than "
        f"{1 - DOUBTFUL:.0%} of the centre of their k-space, where 99 % is usual (worst "
        f"{worst.path.relative_to(folder)}, {1 - most:.1%}): {REASONS}; such volumes teach wrong "
        "images"
    ]

"""Pictures of reconstructions beside their targets."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from kdmri.files import written_aside


@dataclass(frozen=True)
class Pane:
    """One method's image of one slice.

    Attributes:
        label: name of the method.
        image: magnitude (H, W), in units of the volume's largest target value.
        figures: PSNR and SSIM of the slice as text; empty for the target.
    """

    label: str
    image: np.ndarray
    figures: str = ""


@dataclass(frozen=True)
class SliceRow:
    """All methods' images of one slice.

    Attributes:
        title: which slice it is.
        panes: the target among them, labelled "Target".
    """

    title: str
    panes: Sequence[Pane]


def save_comparison(path: Path, rows: Sequence[SliceRow], title: str) -> None:
    """Draw each slice as two rows: images, then error maps (absolute) on one common scale.

    Args:
        path: PNG file to write.
        rows: slices, all with the same methods.
        title: one line on top.
    """
    columns = len(rows[0].panes)
    height, width = rows[0].panes[0].image.shape
    targets = [next(p.image for p in row.panes if p.label == "Target") for row in rows]
    errors = [
        [np.abs(pane.image - target) for pane in row.panes]
        for row, target in zip(rows, targets, strict=True)
    ]
    # The worst half percent of the zero-filled error map would leave the others black.
    limit = float(np.percentile(np.concatenate([e.ravel() for row in errors for e in row]), 99.5))

    pane_width = 2.0
    pane_height = pane_width * height / width
    figure = Figure(
        figsize=(columns * pane_width + 0.9, len(rows) * (2 * pane_height + 0.55) + 0.45),
        layout="constrained",
    )
    figure.suptitle(title, fontsize=10)
    grid = figure.subplots(2 * len(rows), columns, squeeze=False)
    shown = None
    for number, (row, row_errors) in enumerate(zip(rows, errors, strict=True)):
        for column, (pane, error) in enumerate(zip(row.panes, row_errors, strict=True)):
            above, below = grid[2 * number, column], grid[2 * number + 1, column]
            above.imshow(pane.image, cmap="gray", vmin=0, vmax=1)
            above.set_title(f"{pane.label}\n{pane.figures}".strip(), fontsize=8)
            if pane.label == "Target":
                below.text(
                    0.5, 0.5, f"{row.title}\n\nerror map", ha="center", va="center", fontsize=8
                )
            else:
                shown = below.imshow(error, cmap="inferno", vmin=0, vmax=limit)
            for axes in (above, below):
                axes.set_axis_off()
    assert shown is not None, "a comparison has at least one method beside the target"
    bar = figure.colorbar(shown, ax=grid[:, -1], shrink=0.6, pad=0.04)
    bar.set_label("|reconstruction - target| / largest target value", fontsize=7)
    bar.ax.tick_params(labelsize=7)
    with written_aside(path) as aside:
        figure.savefig(aside, format="png", dpi=130)

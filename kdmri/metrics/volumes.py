"""Sums over slices, gathered over batches and processes."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from kdmri.metrics.slices import high_frequency_norm, structural_similarity, visual_fidelity
from kdmri.metrics.table import COLUMNS, SliceTable


class VolumeMetrics(Metric):
    """Collects one row of sums for each slice; `table` gives a `SliceTable`.

    Magnitude images are compared; memory grows by a few numbers a slice, not by images. A slice
    that a distributed sampler repeats counts once.
    """

    full_state_update = False
    rows: list[Tensor]

    def __init__(self, detailed: bool = False) -> None:
        """Choose the columns.

        Args:
            detailed: also measure HFN and VIF, which cost more than all others together.
        """
        super().__init__()
        self._detailed = detailed
        self.add_state("rows", default=[], dist_reduce_fx="cat")

    def update(
        self,
        prediction: Tensor,
        target: Tensor,
        data_range: Tensor,
        volume: Tensor,
        slice: Tensor,
        counts: Tensor | None = None,
    ) -> None:
        """Add a batch.

        Args:
            prediction: magnitude, float (B, 1, H, W).
            target: magnitude, float (B, 1, H, W).
            data_range: largest value of each item's target volume, (B,).
            volume: index of each item's volume, (B,).
            slice: index of each item's slice, (B,).
            counts: whether each item counts, bool (B,), see `kdmri.data.batch`; None: all.
        """
        p, t, largest = prediction[:, 0].double(), target[:, 0].double(), data_range.double()
        error = p - t
        unknown = torch.full_like(largest, torch.nan)
        values = (
            volume.double(),
            slice.double(),
            largest,
            torch.full_like(largest, error[0].numel()),
            error.abs().sum(dim=(1, 2)),
            error.square().sum(dim=(1, 2)),
            t.square().sum(dim=(1, 2)),
            structural_similarity(p, t, largest),
            high_frequency_norm(p, t) if self._detailed else unknown,
            visual_fidelity(p, t, largest) if self._detailed else unknown,
            torch.ones_like(largest) if counts is None else counts.double(),
        )
        self.rows.append(torch.stack(values, dim=1))

    def compute(self) -> Tensor:
        """Gather the rows of all processes, (N, columns + 1) float64, in no order.

        The last column says whether a row counts.
        """
        rows: Sequence[Tensor] | Tensor = self.rows  # one tensor after a reduction over processes
        return rows if isinstance(rows, Tensor) else torch.cat(list(rows))

    def table(self) -> SliceTable:
        """Order all processes' rows by volume and slice, without repetitions and padding items."""
        rows = self.compute().cpu().numpy()
        rows = rows[rows[:, -1] > 0, :-1]
        _, first = np.unique(rows[:, :2], axis=0, return_index=True)
        return SliceTable(dict(zip(COLUMNS, rows[first].T, strict=True)))

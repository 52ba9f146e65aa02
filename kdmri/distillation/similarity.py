"""Similarity preserving: samples that the teacher finds alike are alike for the student."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from kdmri.distillation.base import DistillationLoss, aligned


def similarity(activation: Tensor) -> Tensor:
    """Correlate the samples of a batch (Tung and Mori 2019, eq. 1 and 2).

    Args:
        activation: (B, C, H, W).

    Returns:
        (B, B), rows of L2 norm 1; neither the scale nor an orthogonal change of all activations
        matters.
    """
    flat = activation.flatten(start_dim=1)
    return F.normalize(flat @ flat.T, dim=1)


class SimilarityPreserving(DistillationLoss):
    """Mean over taps of ||G_T - G_S||_F^2 / B^2 (Tung and Mori 2019, eq. 4)."""

    smallest_batch = 2

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """Compare; see `DistillationLoss.forward`. The value is at least 0."""
        pairs = aligned(student, teacher)
        return torch.stack([F.mse_loss(similarity(s), similarity(t)) for s, t in pairs]).mean()

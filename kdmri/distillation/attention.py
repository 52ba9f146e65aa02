"""Attention transfer: the student learns where its teacher's activations are large."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from kdmri.distillation.base import DistillationLoss, aligned, reduced
from kdmri.errors import ConfigurationError


def attention_map(activation: Tensor) -> Tensor:
    """Sum the squared activations over channels and normalise per sample.

    Args:
        activation: (B, C, H, W).

    Returns:
        (B, H*W), each row of L2 norm 1 (0 where all activations are 0); the scale of the activation
        does not matter (Zagoruyko and Komodakis 2017, section 3.1).
    """
    return F.normalize(activation.square().sum(dim=1).flatten(start_dim=1), dim=1)


class AttentionTransfer(DistillationLoss):
    """Weighted mean over taps of the mean over samples of ||Q_T - Q_S||_2 (KD-MRI, eq. 3).

    Q are the attention maps; channels of student and teacher may differ.
    """

    by_sample = True

    def __init__(self, weights: Sequence[float] | None = None) -> None:
        """Take the weights of the taps.

        Args:
            weights: one for each tap, at least 0; None weighs all alike, as published.

        Raises:
            ConfigurationError: one is below 0.
        """
        super().__init__()
        if weights is not None and min(weights, default=0) < 0:
            raise ConfigurationError(
                f"distillation.loss.weights={list(weights)}: must be at least 0"
            )
        self._weights = None if weights is None else torch.tensor(list(weights))

    def condense(
        self, teacher: Sequence[Tensor], sizes: Sequence[tuple[int, int]]
    ) -> Sequence[Tensor]:
        """Return images of one channel that have the teacher's attention maps, (B, 1, H', W')."""
        return [
            torch.linalg.vector_norm(reduced(activation.float(), size), dim=1, keepdim=True)
            for activation, size in zip(teacher, sizes, strict=True)
        ]

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """Compare; see `DistillationLoss.forward`. The value lies in [0, sqrt(2)]."""
        distances = torch.stack(
            [
                torch.linalg.vector_norm(attention_map(s) - attention_map(t), dim=1).mean()
                for s, t in aligned(student, teacher)
            ]
        )
        if self._weights is None:
            return distances.mean()
        if len(self._weights) != len(distances) or not self._weights.sum() > 0:
            raise ConfigurationError(
                f"distillation.loss.weights={self._weights.tolist()}: give one for each of the "
                f"{len(distances)} taps, not all 0"
            )
        return distances @ (self._weights / self._weights.sum()).to(distances)

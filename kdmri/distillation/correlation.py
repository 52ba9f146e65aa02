"""Correlation congruence: samples correlate for the student as for its teacher, by a kernel."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from kdmri.distillation.base import DistillationLoss, aligned
from kdmri.errors import ConfigurationError


class CorrelationCongruence(DistillationLoss):
    """Mean over taps of ||C_T - C_S||_F^2 / B^2 (Peng et al. 2019, eq. 5).

    C_ij = exp(-2 gamma) sum_p (2 gamma)^p / p! (f_i . f_j)^p, p = 0 .. order: the Taylor series of
    the Gaussian kernel between unit vectors f, the flattened activations (eq. 8).
    """

    smallest_batch = 2

    def __init__(self, gamma: float = 0.4, order: int = 2) -> None:
        """Take the kernel's parameters.

        Args:
            gamma: of exp(-gamma ||f_i - f_j||^2), above 0.
            order: of the series, at least 1.

        Raises:
            ConfigurationError: one is out of its range.
        """
        super().__init__()
        if not gamma > 0:
            raise ConfigurationError(f"distillation.loss.gamma={gamma}: must be above 0")
        if order < 1:
            raise ConfigurationError(f"distillation.loss.order={order}: must be at least 1")
        self._gamma, self._order = gamma, order

    def correlation(self, activation: Tensor) -> Tensor:
        """Correlate the samples of a batch: (B, C, H, W) to (B, B)."""
        unit = F.normalize(activation.flatten(start_dim=1), dim=1)
        cosine = unit @ unit.T
        terms = [(2 * self._gamma) ** p / math.factorial(p) * cosine**p for p in self._powers]
        return math.exp(-2 * self._gamma) * (1 + torch.stack(terms).sum(dim=0))

    @property
    def _powers(self) -> range:
        return range(1, self._order + 1)

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """Compare; see `DistillationLoss.forward`. The value is at least 0."""
        distances = [
            F.mse_loss(self.correlation(s), self.correlation(t))
            for s, t in aligned(student, teacher)
        ]
        return torch.stack(distances).mean()

"""Variational information distillation: what the student's activations tell of its teacher's."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdmri.distillation.base import DistillationLoss, aligned, paired
from kdmri.errors import ConfigurationError

SMALLEST_VARIANCE = 1e-5


class VariationalInformation(DistillationLoss):
    """Mean over taps, samples and elements of -log q(F_T | F_S), less a constant.

    q is a Gaussian of mean mu(F_S), 1x1 convolutions with ReLU between them, and a learnt variance
    for each channel: log sigma + (F_T - mu)^2 / (2 sigma^2) (Ahn et al. 2019, eq. 4 to 6).
    """

    by_sample = True

    def __init__(self, variance: float = 5.0) -> None:
        """Take the variance to begin with, above 1e-5.

        Raises:
            ConfigurationError: it is not.
        """
        super().__init__()
        if not variance > SMALLEST_VARIANCE:
            raise ConfigurationError(
                f"distillation.loss.variance={variance}: must be above {SMALLEST_VARIANCE:g}"
            )
        self._variance = variance

    def adapt(self, student: Sequence[int], teacher: Sequence[int]) -> None:
        """Build mu and the variances; see `DistillationLoss.adapt`."""
        channels = list(paired(student, teacher))
        self.means = nn.ModuleList(
            nn.Sequential(nn.Conv2d(s, 2 * t, 1), nn.ReLU(), nn.Conv2d(2 * t, t, 1))
            for s, t in channels
        )
        start = torch.tensor(self._variance - SMALLEST_VARIANCE)
        raw = start + torch.log(-torch.expm1(-start))  # softplus gives it back
        self.raw_variances = nn.ParameterList(raw.repeat(t) for _, t in channels)

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """Compare; see `DistillationLoss.forward`. The value has no lower bound."""
        terms = []
        for mean, raw, (s, t) in zip(
            self.means, self.raw_variances, aligned(student, teacher), strict=True
        ):
            variance = (F.softplus(raw) + SMALLEST_VARIANCE).view(1, -1, 1, 1)
            terms.append((variance.log() / 2 + (t - mean(s)).square() / (2 * variance)).mean())
        return torch.stack(terms).mean()

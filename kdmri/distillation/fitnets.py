"""FitNets: the student's activations themselves come close to its teacher's."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from kdmri.distillation.base import DistillationLoss, adapters, aligned


class FitNets(DistillationLoss):
    """Mean over taps of mean((r(F_S) - F_T)^2) / 2 (Romero et al. 2015, eq. 3, per element).

    r is a 1x1 convolution where the numbers of channels differ, else the identity.
    """

    by_sample = True

    def adapt(self, student: Sequence[int], teacher: Sequence[int]) -> None:
        """Build r where it is needed; see `DistillationLoss.adapt`."""
        self.regressors = adapters(student, teacher)

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """Compare; see `DistillationLoss.forward`. The value is at least 0."""
        pairs = zip(self.regressors, aligned(student, teacher), strict=True)
        return torch.stack([F.mse_loss(r(s), t) / 2 for r, (s, t) in pairs]).mean()

"""Flow of the solution procedure: how the teacher gets from one layer to the next."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from kdmri.distillation.base import DistillationLoss, adapters, aligned
from kdmri.errors import ConfigurationError


def flow(first: Tensor, second: Tensor) -> Tensor:
    """Return the FSP matrix of two layers (Yim et al. 2017, eq. 1).

    Args:
        first: activation (B, M, H, W).
        second: activation (B, N, H, W).

    Returns:
        (B, M, N), products of channels, mean over pixels; blind to where in the image they lie.
    """
    height, width = first.shape[-2:]
    return torch.einsum("bmhw,bnhw->bmn", first, second) / (height * width)


class FSP(DistillationLoss):
    """Mean over pairs of taps and samples of ||G_T - G_S||_F^2 (Yim et al. 2017, eq. 2).

    Taps come two by two: the first and the last activation of each cascade. The paper's networks
    are equally wide; here a 1x1 convolution of the student's activations makes them so where they
    are not.
    """

    by_sample = True

    def adapt(self, student: Sequence[int], teacher: Sequence[int]) -> None:
        """See `DistillationLoss.adapt`."""
        if len(student) % 2:
            raise ConfigurationError(
                f"distillation=fsp compares pairs of taps; there are {len(student)} of each "
                "network. Choose an even number, such as distillation.taps.student=ends "
                "distillation.taps.teacher=ends"
            )
        self.adapters = adapters(student, teacher)

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """Compare; see `DistillationLoss.forward`. The value is at least 0."""
        pairs = zip(self.adapters, aligned(student, teacher), strict=True)
        layers = [(adapter(s), t) for adapter, (s, t) in pairs]
        distances = []
        for first, second in zip(layers[::2], layers[1::2], strict=True):
            (student_flow, teacher_flow) = (flow(first[n], second[n]) for n in (0, 1))
            distances.append(F.mse_loss(student_flow, teacher_flow, reduction="sum"))
        return torch.stack(distances).mean() / len(student[0])

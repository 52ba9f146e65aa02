"""Relational knowledge distillation: distances and angles between samples."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from kdmri.distillation.base import DistillationLoss, aligned
from kdmri.errors import ConfigurationError

SAME = 1e-12
"""Share of the largest squared distance below which two samples are the same, but for rounding."""


def distances(activation: Tensor) -> Tensor:
    """Return the distances of all pairs of samples over their mean (Park et al. 2019, eq. 5).

    Args:
        activation: (B, C, H, W).

    Returns:
        (B (B - 1) / 2,); scale, shift and rotation of all activations together do not matter.
    """
    squares = _products(activation).diagonal(dim1=1, dim2=2)
    first, second = torch.triu_indices(len(squares), len(squares), offset=1)
    found = squares[first, second].clamp_min(1e-12).sqrt().to(activation.dtype)
    return found / found.mean().clamp_min(1e-6)


def angles(activation: Tensor) -> Tensor:
    """Return the cosines of the angles in all triplets of samples (Park et al. 2019, eq. 9).

    Args:
        activation: (B, C, H, W).

    Returns:
        (B, B, B), of (i - j, k - j) at [j, i, k], 0 where two of them are the same; as little
        affected as `distances`.
    """
    products = _products(activation)
    squares = products.diagonal(dim1=1, dim2=2)
    apart = squares > SAME * squares.max()
    lengths = torch.where(apart, squares, 1).sqrt()
    cosines = products / (lengths[:, :, None] * lengths[:, None, :])
    return (cosines * (apart[:, :, None] & apart[:, None, :])).to(activation.dtype)


def _products(activation: Tensor) -> Tensor:
    """Return the scalar products of (i - j) and (k - j) at [j, i, k], float64 (B, B, B).

    They are made of the products of samples, without all differences in memory.
    """
    flat = activation.flatten(start_dim=1).double()
    centred = flat - flat.mean(dim=0)
    gram = centred @ centred.T
    return gram[None] - gram[:, :, None] - gram[:, None, :] + gram.diagonal()[:, None, None]


class Relational(DistillationLoss):
    """Mean over taps of Huber losses between distances and between angles (Park et al. 2019)."""

    smallest_batch = 3

    def __init__(self, distance: float = 1.0, angle: float = 2.0) -> None:
        """Take the weights of the two losses, 1 and 2 as in section 4 of the paper.

        Raises:
            ConfigurationError: one is below 0, or both are 0.
        """
        super().__init__()
        if min(distance, angle) < 0 or max(distance, angle) == 0:
            raise ConfigurationError(
                f"distillation.loss.distance={distance}, distillation.loss.angle={angle}: must be "
                "at least 0, and one of them above"
            )
        self._distance, self._angle = distance, angle

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """Compare; see `DistillationLoss.forward`. The value is at least 0."""
        if len(student[0]) < 2:  # a last batch of one sample has no relations
            return torch.stack([s.sum() * 0 for s in student]).sum()
        terms = [
            self._distance * F.smooth_l1_loss(distances(s), distances(t))
            + self._angle * F.smooth_l1_loss(angles(s), angles(t))
            for s, t in aligned(student, teacher)
        ]
        return torch.stack(terms).mean()

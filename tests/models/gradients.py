"""Two ways to compute the same, forwards and backwards."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def assert_same(found: Tensor, expected: Tensor, learnt: Sequence[Tensor]) -> None:
    """Compare values, and gradients of `learnt`, in double precision."""
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    weight = torch.randn_like(expected)
    wanted = torch.autograd.grad((F.relu(expected) * weight).sum(), learnt)
    given = torch.autograd.grad((F.relu_(found) * weight).sum(), learnt)  # in place, as networks do
    for one, other in zip(given, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)

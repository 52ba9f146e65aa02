"""Gradients slice by slice: a step of several slices then keeps the activations of one alone."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from kdmri.data.batch import Batch

Loss = Callable[[Batch], Tensor]


def mean_loss(loss: Loss, parameters: Sequence[nn.Parameter], batch: Batch) -> Tensor:
    """Compute a batch's loss as the mean of its slices' losses, gradients at once.

    The gradients are there before `backward` is called, which hands them on. Loss and gradients are
    those of the whole batch to rounding.

    Args:
        loss: of a batch, the mean over its items of what each gives by itself.
        parameters: whose gradients are wanted; the loss depends on nothing else that has any.
        batch: of several items.

    Returns:
        A scalar.
    """
    return _BySlice.apply(loss, batch, *parameters)


class _BySlice(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loss: Loss, batch: Batch, *parameters: nn.Parameter) -> Tensor:
        count = len(batch.volume)
        total = torch.zeros((), device=batch.image.device)
        sums: list[Tensor | None] = [None] * len(parameters)
        for item in range(count):
            with torch.enable_grad():
                share = loss(batch.select(slice(item, item + 1))) / count
                found = torch.autograd.grad(share, parameters, allow_unused=True)
            total += share.detach()
            sums = [
                new if old is None else old if new is None else old.add_(new)
                for old, new in zip(sums, found, strict=True)
            ]
        ctx.gradients = sums
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weight: Tensor) -> tuple[Tensor | None, ...]:
        gradients, ctx.gradients = ctx.gradients, None
        return None, None, *(None if g is None else g.mul_(weight) for g in gradients)

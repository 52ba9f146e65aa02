"""Learning-rate schedules that PyTorch lacks."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def warmup_cosine(optimizer: Optimizer, warmup: int, epochs: int) -> LambdaLR:
    """Rise linearly to the optimiser's rate, then fall to 0 along half a cosine.

    Args:
        optimizer: whose rates are scheduled.
        warmup: epochs of the rise; the first one has the rate / (warmup + 1).
        epochs: of the whole schedule; afterwards the rate stays 0.

    Raises:
        ValueError: the rise takes the whole schedule.
    """
    if not 0 <= warmup < epochs:
        raise ValueError(f"warmup={warmup} must be at least 0 and less than epochs={epochs}")

    def factor(epoch: int) -> float:
        if epoch < warmup:
            return (epoch + 1) / (warmup + 1)
        share = min((epoch - warmup) / (epochs - warmup), 1)
        return (1 + math.cos(math.pi * share)) / 2

    return LambdaLR(optimizer, factor)

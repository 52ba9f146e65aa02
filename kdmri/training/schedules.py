"""Schedules of learning rates, and of how much a teacher counts: their length, and two of them."""

import math
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from kdmri.config.identity import LENGTH


def pace(config: DictConfig, stage: str) -> float:
    """Return the epochs of a stage in which its schedule moves on once.

    A schedule that does not follow the length of training, such as one that counts epochs, is
    written for a stage of `trainer.max_epochs`; it is stretched to one that is longer.
    """
    definition = config.stage.plan[stage]
    every = float(definition.method.scheduler_every)
    if LENGTH in str(OmegaConf.to_container(config.scheduler, resolve=False)):
        return every
    return max(every, definition.max_epochs / config.trainer.max_epochs)


def schedule_of(config: DictConfig, stage: str) -> dict[str, Any]:
    """Return `config.scheduler` for the length of a stage: how often it moves on.

    Args:
        config: with its interpolations, which tell what follows the length of training.
        stage: its name.
    """
    steps = math.ceil(config.stage.plan[stage].max_epochs / pace(config, stage))
    changed = OmegaConf.merge(config, {"trainer": {"max_epochs": steps}})
    return cast(dict[str, Any], OmegaConf.to_container(changed.scheduler, resolve=True))


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
        return fall((epoch - warmup) / (epochs - warmup))

    return LambdaLR(optimizer, factor)


def one_cycle(optimizer: Optimizer, epochs: int, rise: float) -> LambdaLR:
    """Rise from a 25th of the optimiser's rate to it, then fall to 0, along half cosines.

    After Smith and Topin, "Super-convergence", 2018.

    An epoch has the rate of its middle, so that none is wasted on a rate of 0, however few there
    are. Momentum stays as it is.

    Args:
        optimizer: whose rates are scheduled.
        epochs: of the whole schedule, at least 1; afterwards the rate stays 0.
        rise: share of the rise, at least 0 and less than 1.

    Raises:
        ValueError: there are no epochs, or the rise takes all of them.
    """
    if epochs < 1 or not 0 <= rise < 1:
        raise ValueError(
            f"epochs={epochs} must be at least 1, rise={rise} at least 0 and less than 1"
        )

    def factor(epoch: int) -> float:
        share = (epoch + 0.5) / epochs
        if share < rise:
            return 1 / 25 + 24 / 25 * fall(1 - share / rise)
        return fall((share - rise) / (1 - rise))

    return LambdaLR(optimizer, factor)


def fall(share: float) -> float:
    """Half a cosine from 1 at a share of 0 to 0 at a share of 1, which it stays."""
    return (1 + math.cos(math.pi * min(share, 1))) / 2

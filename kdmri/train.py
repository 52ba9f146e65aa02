"""Train the stages of a distillation, then measure them: `kdmri train --help`."""

import math

from omegaconf import DictConfig

from kdmri.collect import SweepTable
from kdmri.config.checks import CHECKS
from kdmri.config.entry import entry_point
from kdmri.launch.command import Command, command_line
from kdmri.launch.tasks import find_tasks, follow, leading
from kdmri.loading import loading


@entry_point("config", CHECKS)
def train(config: DictConfig) -> float:
    """Train what is not done yet and report; returns the figure that a sweeper maximises.

    It is the validation PSNR of the last stage's best weights, in dB; minus its loss where the
    stage learns activations alone; NaN in the tasks that another one leads.
    """
    tasks = find_tasks()
    if not tasks.leads:
        follow(tasks)
        return math.nan
    # Importing PyTorch takes seconds, for which a mistyped word need not wait.
    with loading():
        from kdmri.experiment.evaluate import measure_stages
        from kdmri.experiment.plan import make_plan
        from kdmri.experiment.train import train_stages
        from kdmri.hardware import keep_freed_memory

    keep_freed_memory()
    with leading(tasks):
        plan = make_plan(config)
        best = train_stages(plan, command_line("train"))
        measure_stages(plan)
    reported = plan.asked[-1].definition.reported
    return best["metrics"]["val/psnr"] if reported else -best["score"]


def main() -> None:
    """Run the command; what a sweep starts belongs to it."""
    Command.this()
    try:
        train()
    finally:
        SweepTable.show_rest()


if __name__ == "__main__":
    main()

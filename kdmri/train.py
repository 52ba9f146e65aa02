"""Train the stages of a distillation, then measure them: `kdmri train --help`."""

import math

from omegaconf import DictConfig

from kdmri import evaluation, processes, running
from kdmri.collect import SweepTable
from kdmri.command import Command, command_line
from kdmri.configuration import CHECKS
from kdmri.console import entry_point
from kdmri.execution import keep_freed_memory
from kdmri.planning import make_plan


@entry_point("config", CHECKS)
def train(config: DictConfig) -> float:
    """Train what is not done yet and report; returns the figure that a sweeper maximises.

    It is the validation PSNR of the last stage's best weights, in dB; minus its loss where the
    stage learns activations alone; NaN in the tasks that another one leads.
    """
    tasks = processes.find_tasks()
    if not tasks.leads:
        processes.follow(tasks)
        return math.nan
    keep_freed_memory()
    with processes.leading(tasks):
        plan = make_plan(config)
        best = running.train(plan, command_line("train"))
        evaluation.measure_stages(plan)
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

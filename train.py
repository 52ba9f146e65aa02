"""Train the stages of a distillation, then measure them: `python train.py --help`."""

import math
import shlex
import sys

from omegaconf import DictConfig

from kdmri import configuration, evaluation, processes, running, stages
from kdmri.collect import SweepTable
from kdmri.command import Command
from kdmri.console import entry_point
from kdmri.execution import keep_freed_memory
from kdmri.training.rehearsal import rehearse

configuration.register_resolvers()


@entry_point("config", configuration.CHECKS)
def main(config: DictConfig) -> float:
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
        configuration.check(config)
        plan = stages.plan(config, configuration.shipped(config))
        rehearse(config)
        evaluation.check(config)
        best = running.run(config, plan, command=shlex.join(["python", *sys.argv]))
        evaluation.report(config, plan)
    reported = config.stage.plan[config.stage.run[-1]].reported
    return best["metrics"]["val/psnr"] if reported else -best["score"]


if __name__ == "__main__":
    Command.this()  # what a sweep starts belongs to this command
    try:
        main()
    finally:
        SweepTable.show_rest()

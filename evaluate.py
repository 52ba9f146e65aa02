"""Measure trained stages without training: `python evaluate.py --help`."""

from omegaconf import DictConfig

from kdmri import configuration, evaluation, stages
from kdmri.console import entry_point
from kdmri.execution import keep_freed_memory

configuration.register_resolvers()


@entry_point("config", configuration.CHECKS)
def main(config: DictConfig) -> None:
    """Measure the finished stages of a plan, by default those of `stage=all`."""
    keep_freed_memory()
    configuration.check(config)
    plan = stages.plan(config, configuration.shipped(config))
    evaluation.report(config, plan)


if __name__ == "__main__":
    main()

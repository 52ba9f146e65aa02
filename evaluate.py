"""Measure trained stages without training: `python evaluate.py --help`."""

from omegaconf import DictConfig

from kdmri import configuration, evaluation, stages
from kdmri.composition import check_words
from kdmri.console import entry_point
from kdmri.execution import keep_freed_memory

configuration.register_resolvers()


@entry_point("config", check_words)
def main(config: DictConfig) -> None:
    """Measure all finished stages that `stage` names; by default all there are."""
    keep_freed_memory()
    configuration.check(config)
    plan = stages.plan(config, configuration.shipped(config))
    evaluation.report(config, plan)


if __name__ == "__main__":
    main()

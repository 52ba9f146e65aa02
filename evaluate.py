"""Measure trained stages without training: `python evaluate.py --help`."""

import sys

import hydra
from omegaconf import DictConfig

from kdmri import configuration, evaluation, stages
from kdmri.console import one_line_composition, one_line_errors
from kdmri.execution import keep_freed_memory

configuration.register_resolvers()


@one_line_composition
@hydra.main(version_base="1.3", config_path="configs", config_name="config")
@one_line_errors
def main(config: DictConfig) -> None:
    """Measure all finished stages that `stage` names; by default all there are."""
    keep_freed_memory()
    configuration.check(config)
    plan = stages.plan(config, configuration.shipped(config))
    evaluation.report(config, plan)


if __name__ == "__main__":
    one_line_errors(configuration.check_words)(sys.argv[1:])
    main()

"""Measure trained stages without training: `kdmri evaluate --help`."""

from omegaconf import DictConfig

from kdmri import evaluation
from kdmri.configuration import CHECKS
from kdmri.console import entry_point
from kdmri.execution import keep_freed_memory
from kdmri.planning import make_plan


@entry_point("config", CHECKS)
def main(config: DictConfig) -> None:
    """Measure the finished stages of a plan, by default those of `stage=all`."""
    keep_freed_memory()
    evaluation.measure_stages(make_plan(config))


if __name__ == "__main__":
    main()

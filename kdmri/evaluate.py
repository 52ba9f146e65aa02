"""Measure trained stages without training: `kdmri evaluate --help`."""

from omegaconf import DictConfig

from kdmri.config.checks import CHECKS
from kdmri.config.entry import entry_point
from kdmri.loading import loading


@entry_point("config", CHECKS)
def main(config: DictConfig) -> None:
    """Measure the finished stages of a plan, by default those of `stage=all`."""
    # Importing PyTorch takes seconds, for which a mistyped word need not wait.
    with loading():
        from kdmri.experiment.evaluate import measure_stages
        from kdmri.experiment.plan import make_plan
        from kdmri.hardware import keep_freed_memory

    keep_freed_memory()
    measure_stages(make_plan(config))


if __name__ == "__main__":
    main()

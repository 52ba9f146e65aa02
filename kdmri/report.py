"""Show a tree of experiments in one HTML file: `kdmri report --help`."""

from pathlib import Path

from omegaconf import DictConfig

from kdmri.console import console, entry_point
from kdmri.errors import ConfigurationError
from kdmri.files import write_text
from kdmri.reporting.html.collect import collect
from kdmri.reporting.html.page import render
from kdmri.reporting.statistics import check_draws

SMALLEST_MIB = 0.25


@entry_point("report")
def main(config: DictConfig) -> None:
    """Write the report and say what is in it."""
    limit = config.limit_mib
    if isinstance(limit, bool) or not isinstance(limit, int | float) or limit < SMALLEST_MIB:
        raise ConfigurationError(f"limit_mib={limit}: must be a number, at least {SMALLEST_MIB}")
    check_draws(config.block, config.resamples)
    datasets = None if config.datasets is None else Path(config.datasets)
    collection = collect(Path(config.experiments), datasets, config.block, config.resamples)
    output = Path(config.output)
    write_text(output, render(collection, int(limit * 2**20)))
    stages = sum(row["stage"] is not None for row in collection.rows)
    console().print(
        f"{output}: {len(collection.experiments)} experiments, {stages} stages, "
        f"{output.stat().st_size / 2**20:.1f} MiB",
        highlight=False,
        soft_wrap=True,
    )
    for note in collection.notes:
        console().print(note, highlight=False, markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()

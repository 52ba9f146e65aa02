"""Show a tree of experiments in one HTML file: `kdmri report --help`."""

from pathlib import Path

from omegaconf import DictConfig

from kdmri.config.entry import entry_point
from kdmri.config.values import COUNT, TEXT, number, or_null
from kdmri.console import console
from kdmri.files import write_text
from kdmri.loading import loading

SMALLEST_MIB = 0.25


@entry_point(
    "report",
    {
        "experiments": TEXT,
        "output": TEXT,
        "datasets": or_null(TEXT),
        "limit_mib": number(least=SMALLEST_MIB),
        "block": COUNT,
        "resamples": COUNT,
    },
)
def main(config: DictConfig) -> None:
    """Write the report and say what is in it."""
    # PyTorch takes seconds to load, for which help and a mistyped word need not wait.
    with loading():
        from kdmri.report.collect import collect
        from kdmri.report.page import render

    datasets = None if config.datasets is None else Path(config.datasets)
    collection = collect(Path(config.experiments), datasets, config.block, config.resamples)
    output = Path(config.output)
    write_text(output, render(collection, int(config.limit_mib * 2**20)))
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

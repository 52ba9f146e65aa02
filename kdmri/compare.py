"""Compare methods over seeds, fairly: `kdmri compare experiments=DIR`."""

from pathlib import Path

from omegaconf import DictConfig

from kdmri.analysis.experiments import find_records
from kdmri.analysis.paired import compare_methods
from kdmri.analysis.sweeps import SweepSummary
from kdmri.config.entry import entry_point
from kdmri.config.values import COUNT, TEXT
from kdmri.console import console
from kdmri.errors import CheckpointError
from kdmri.files import write_text


@entry_point(
    "compare", {"experiments": TEXT, "reference": TEXT, "block": COUNT, "resamples": COUNT}
)
def main(config: DictConfig) -> None:
    """Print a table for each data set and task, and write them below the directory."""
    show(Path(config.experiments), config.reference, config.block, config.resamples)


class MethodComparison(SweepSummary):
    """Shows the comparison of what a sweep measured at its end."""

    def __init__(self, experiments: str, reference: str, block: int, resamples: int) -> None:
        """See `configs/compare.yaml`."""
        super().__init__(experiments)
        self._settings = (reference, block, resamples)

    def show(self) -> None:
        """Print and write the tables, where any job ended well."""
        if find_records(self.root, self.began):
            show(self.root, *self._settings, since=self.began)


def show(root: Path, reference: str, block: int, resamples: int, since: float = 0.0) -> None:
    """Print the tables and write them as `methods.md` and `methods.tex`.

    Args:
        root: directory of the experiments.
        reference: stage or directory that all are compared with.
        block: neighbouring slices of a block, where one subject is all there is.
        resamples: draws behind an interval.
        since: leaves out what was measured before, in seconds since the epoch.

    Raises:
        CheckpointError: nothing was measured there, something is damaged, or what belongs into a
            table was measured on different slices; other tables are printed all the same, but no
            file is written.
    """
    records = find_records(root, since)
    if not records:
        raise CheckpointError(f"{root}: nothing was measured there; run train.py or evaluate.py")
    tables, errors = compare_methods(records, reference, block, resamples)
    for table in tables:
        console().print(table.to_rich())
    if errors:
        raise CheckpointError(f"{'; '.join(errors)}; {root / 'methods.md'} was left as it is")
    write_text(root / "methods.md", "\n".join(table.to_markdown() for table in tables))
    write_text(root / "methods.tex", "\n".join(table.to_latex() for table in tables))


if __name__ == "__main__":
    main()

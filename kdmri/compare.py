"""Compare methods over seeds, fairly: `python -m kdmri.compare experiments=DIR`."""

import time
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from kdmri.console import console, entry_point
from kdmri.errors import CheckpointError
from kdmri.files import write_text
from kdmri.processes import find_tasks
from kdmri.reporting.paired import compare
from kdmri.reporting.records import find_records
from kdmri.values import COUNT, TEXT


@entry_point(
    "compare", {"experiments": TEXT, "reference": TEXT, "block": COUNT, "resamples": COUNT}
)
def main(config: DictConfig) -> None:
    """Print a table for each data set and task, and write them below the directory."""
    show(Path(config.experiments), config.reference, config.block, config.resamples)


class MethodComparison(Callback):
    """Shows the comparison of what a sweep measured at its end."""

    def __init__(self, experiments: str, reference: str, block: int, resamples: int) -> None:
        """See `configs/compare.yaml`."""
        self._root, self._began = Path(experiments), 0.0
        self._settings = (reference, block, resamples)

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Remember when the sweep began; what it measures is written later."""
        self._began = time.time()

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Print and write the tables of what the jobs measured, where any ended well."""
        if not find_tasks().leads:
            return
        if find_records(self._root, self._began):
            show(self._root, *self._settings, since=self._began)


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
    tables, errors = compare(records, reference, block, resamples)
    for table in tables:
        console().print(table.to_rich())
    if errors:
        raise CheckpointError(f"{'; '.join(errors)}; {root / 'methods.md'} was left as it is")
    write_text(root / "methods.md", "\n".join(table.to_markdown() for table in tables))
    write_text(root / "methods.tex", "\n".join(table.to_latex() for table in tables))


if __name__ == "__main__":
    main()

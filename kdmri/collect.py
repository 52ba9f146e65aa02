"""One table of all that was measured: `kdmri collect experiments=DIR`."""

from pathlib import Path
from typing import Any, ClassVar

from omegaconf import DictConfig

from kdmri.analysis.collection import summarise, tabulate, to_csv
from kdmri.analysis.experiments import find_records
from kdmri.analysis.provenance import doubts
from kdmri.analysis.records import Record
from kdmri.analysis.sweeps import SweepSummary
from kdmri.config.entry import entry_point
from kdmri.config.values import TEXT
from kdmri.console import console
from kdmri.errors import CheckpointError
from kdmri.files import write_text


@entry_point("collect", {"experiments": TEXT})
def main(config: DictConfig) -> None:
    """Print the table and write it below the directory, as Markdown, LaTeX and CSV."""
    root = Path(config.experiments)
    found = find_records(root)
    if not found:
        raise CheckpointError(f"{root}: nothing was measured there; run train.py or evaluate.py")
    _show(found, root)


class SweepTable(SweepSummary):
    """Shows one table of all cells at the end of a sweep, whichever launcher ran its jobs."""

    _open: ClassVar[list["SweepTable"]] = []

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Remember when the sweep began, and that its table is still to be shown."""
        super().on_multirun_start(config)
        SweepTable._open.append(self)

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Print and write the table of what the jobs measured."""
        SweepTable._open.remove(self)
        super().on_multirun_end(config)

    @classmethod
    def show_rest(cls) -> None:
        """Show the tables of sweeps that Hydra did not end, since a job of theirs failed."""
        for table in list(cls._open):
            table.on_multirun_end(DictConfig({}))

    def show(self) -> None:
        """Print and write the table, where any job ended well."""
        found = find_records(self.root, since=self.began)
        if found:
            _show(found, self.root)


def _show(records: list[Record], root: Path) -> None:
    found = summarise(records)
    table = tabulate(found, doubts(records))
    write_text(root / "table.md", table.to_markdown())
    write_text(root / "table.tex", table.to_latex())
    write_text(root / "table.csv", to_csv(found))
    console().print(table.to_rich())


if __name__ == "__main__":
    main()

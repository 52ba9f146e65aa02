"""All measured methods side by side: a table, a row a volume in a file, and a picture."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from kdmri.analysis.figures import Pane, SliceRow, save_comparison
from kdmri.analysis.statistics import GapBootstrap, Resampling, gap_note, subject_notes
from kdmri.analysis.tables import Table, with_deviation
from kdmri.classical import Chosen
from kdmri.data.batch import collate
from kdmri.data.datamodule import MRIDataModule
from kdmri.data.layout import Volume, subjects
from kdmri.data.reconstructions import read_reconstruction
from kdmri.errors import ConfigurationError
from kdmri.files import write_text
from kdmri.metrics import ALL_METRICS, FORMATS, MAIN_METRICS, SliceTable
from kdmri.physics import seen, truth


@dataclass(frozen=True)
class MeasuredMethod:
    """A method and how well it did.

    Attributes:
        label: its name for a reader.
        stage: name of the stage, or "baseline".
        parameters: of its network, 0 without one.
        table: one row a slice.
        results: directory of its reconstructed volumes, None for a baseline.
    """

    label: str
    stage: str
    parameters: int
    table: SliceTable
    results: Path | None


def report_line(table: SliceTable) -> str:
    """Write the original project's line: means over volumes +/- two standard deviations."""
    figures = ((name, table.per_volume(name)) for name in ("hfn", "mse", "nmse", "psnr", "ssim"))
    return " ".join(f"{n.upper()} = {v.mean():.4g} +/- {2 * v.std():.4g}" for n, v in figures)


class Comparison:
    """Measured methods of one data set and task."""

    def __init__(
        self,
        config: DictConfig,
        data: MRIDataModule,
        methods: Sequence[MeasuredMethod],
        classical: Sequence[Chosen] = (),
    ) -> None:
        """Take what was measured, and what makes images again of classical methods among it.

        Nothing is written before `save`.
        """
        self.methods, self._classical = methods, classical
        self._config, self._data = config, data

    @cached_property
    def table(self) -> Table:
        """The table of all methods."""
        by_stage = {method.stage: method for method in self.methods}
        volumes = len(self.methods[0].table.volumes)
        bootstrap = None
        if {"teacher", "student"} <= by_stage.keys():
            options = self._config.evaluation
            resampling = Resampling(
                by_stage["student"].table,
                by_block=self._config.dataset.one_subject,
                block=options.block,
                resamples=options.bootstrap,
                subjects=subjects(self._data.dataset("evaluation").volumes),
            )
            figures = (resampling.figures(by_stage[s].table) for s in ("student", "teacher"))
            bootstrap = GapBootstrap(resampling, *figures)
        metrics = FORMATS if self._config.evaluation.detailed else MAIN_METRICS
        rows = []
        for method in self.methods:
            cells = [method.label, f"{method.parameters:,}" if method.parameters else "–"]
            cells += [_cell(m, method.table.per_volume(m)) for m in metrics]
            if bootstrap is not None:
                cells.append(_gap_cell(bootstrap, method))
            rows.append(cells)
        names = [FORMATS[metric].label for metric in metrics]
        header = ["", "parameters", *names, *(["gap recovered"] if bootstrap else [])]
        return Table(self.title, header, rows, self._notes(volumes, bootstrap))

    @property
    def title(self) -> str:
        """Data set and task in one line."""
        config = self._config
        return f"{config.dataset.title}, {config.task.title}"

    def save(self, folder: Path) -> None:
        """Write `metrics.csv`, `table.md`, `table.tex` and `comparison.png`."""
        write_text(folder / "metrics.csv", self._csv())
        write_text(folder / "table.md", self.table.to_markdown())
        write_text(folder / "table.tex", self.table.to_latex())
        save_comparison(folder / "comparison.png", self._rows(), self.title)

    def _notes(self, volumes: int, bootstrap: GapBootstrap | None) -> list[str]:
        slices = len(self.methods[0].table.columns["slice"])
        spread = " ± one standard deviation" if volumes > 1 else ""
        notes = [
            f"Mean over {volumes} volume(s), {slices} slices{spread}; {self._data.splits.note}."
        ]
        notes.append(f"{self._data.describe_sampling('evaluation')}.")
        if self._classical:
            told = ", ".join(one.description for one in self._classical)
            notes.append(f"Weights of regularisation, chosen on selection slices: {told}.")
        if (
            np.isnan(self.methods[0].table.columns["vif"]).all()
            and self._config.evaluation.detailed
        ):
            notes.append("VIF needs slices of at least 41 pixels along each axis.")
        by_block = bootstrap is not None and bootstrap.resampling.by_block
        notes += subject_notes(self._config.dataset.one_subject, by_block)
        if bootstrap is not None:
            notes.append(gap_note(bootstrap.resampling, self._config.evaluation.block))
        return notes

    def _csv(self) -> str:
        volumes = self._data.dataset("evaluation").volumes
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["stage", "volume", "slices", *ALL_METRICS])
        for method in self.methods:
            for number in method.table.volumes:
                figures = [f"{method.table.measure(m, number):.8g}" for m in ALL_METRICS]
                volume = volumes[number]
                name = method.label if method.stage == "baseline" else method.stage
                writer.writerow([name, volume.name, volume.shape[2], *figures])
        return text.getvalue()

    def _rows(self) -> list[SliceRow]:
        """The slices to show, with every method's image."""
        return [self._row(title, row) for title, row in self._chosen()]

    def _row(self, title: str, row: int) -> SliceRow:
        columns = self.methods[0].table.columns
        volume, index = int(columns["volume"][row]), int(columns["slice"][row])
        largest = columns["data_range"][row]
        dataset = self._data.dataset("evaluation")
        batch = self._data.task(collate([dataset[row]]))
        name = dataset.volumes[volume].name
        images = {
            k: seen(v, batch)[0, 0].numpy()
            for k, v in (
                self._data.task.baselines(batch) | {c.label: c(batch) for c in self._classical}
            ).items()
        }
        target = truth(batch)[0, 0].numpy()
        panes = []
        for method in self.methods:
            if method.results is None:
                image = images[method.label]
            else:
                image = np.abs(read_reconstruction(method.results / f"{name}.h5")[index])
            one = method.table.select(np.array([row]))
            psnr, ssim = (f"{one.mean(m):{FORMATS[m].spec}}" for m in ("psnr", "ssim"))
            panes.append(Pane(method.label, image / largest, f"{psnr} dB, {ssim}"))
        baselines = sum(method.results is None for method in self.methods)
        panes.insert(baselines, Pane("Target", target / largest))
        return SliceRow(f"volume {name}\nslice {index}\n{title}".strip(), panes)

    def _chosen(self) -> list[tuple[str, int]]:
        """Title and row of each slice to show.

        "telling" shows the slice on which the networks differ most, and the one whose zero-filled
        error is the median.
        """
        columns = self.methods[0].table.columns
        wanted = self._config.evaluation.slices
        if wanted == "telling":
            networks = [m.table for m in self.methods if m.results is not None]
            errors = np.stack([t.columns["squared_error"] for t in networks])
            order = np.argsort(columns["squared_error"], kind="stable")
            telling, typical = int(np.ptp(errors, axis=0).argmax()), int(order[len(order) // 2])
            return [("(differs most)", telling), ("(typical)", typical)]
        rows = []
        for volume, index in find_slices(wanted, self._data.dataset("evaluation").volumes):
            at = (columns["volume"] == volume) & (columns["slice"] == index)
            rows.append(("", int(np.flatnonzero(at)[0])))
        return rows


def find_slices(wanted: Iterable[str], volumes: Sequence[Volume]) -> list[tuple[int, int]]:
    """Find the slices that a user asks to see.

    Args:
        wanted: each as "volume:slice".
        volumes: of the evaluation data.

    Returns:
        Numbers of the volume and of the slice within it.

    Raises:
        ConfigurationError: one is not there.
    """
    names, found = [volume.name for volume in volumes], []
    for text in wanted:
        name, _, index = str(text).rpartition(":")
        number = names.index(name) if name in names else None
        if number is None or not (index.isdigit() and int(index) < volumes[number].shape[2]):
            raise ConfigurationError(
                f'evaluation.slices: "{text}" is no slice of the evaluation data; write '
                f'"volume:slice", volume one of {", ".join(names[:8])}, slice from 0, or use '
                "evaluation.slices=telling"
            )
        found.append((number, int(index)))
    return found


def _cell(metric: str, values: np.ndarray) -> str:
    """Write the mean over volumes, with one standard deviation where the metric shows it."""
    if np.isnan(values).all():
        return "–"
    written = FORMATS[metric]
    if written.spread:
        return with_deviation(values, written.spec)
    return f"{values.mean():{written.spec}}"


def _gap_cell(bootstrap: GapBootstrap, method: MeasuredMethod) -> str:
    if method.stage == "baseline":
        return "–"
    return bootstrap.cell(method.stage, bootstrap.resampling.figures(method.table))

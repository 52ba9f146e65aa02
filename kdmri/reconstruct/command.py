"""What `kdmri reconstruct` does once its words were read."""

import sys
import time
from pathlib import Path

import torch
from hydra import compose
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.markup import escape
from rich.progress import Progress

from kdmri.analysis.tables import Table
from kdmri.console import console, print_notes
from kdmri.data.readers.base import Reader
from kdmri.data.readers.detect import detect, find_volumes
from kdmri.errors import ConfigurationError, DataError
from kdmri.files import sha256, write_text
from kdmri.metrics import FORMATS, MAIN_METRICS
from kdmri.models.trained import Trained, open_checkpoint
from kdmri.reconstruct.pipeline import Done, reconstruct_volumes
from kdmri.reconstruct.runtime import deployed
from kdmri.reconstruct.scan_page import ScanPage
from kdmri.reconstruct.writing import Target, check_free, targets

ROWS = 12
"""Volumes that a table lists; beyond them it gives the mean alone."""


def reconstruct(config: DictConfig) -> None:
    """Reconstruct what a configuration names; the exit code is 2 where a volume cannot be used."""
    for key in ("input", "output"):
        if config[key] is None:
            raise ConfigurationError(f"{key}: is missing, {key}=FILE or {key}=DIR")
    trained = open_checkpoint(config.checkpoint, config.mask, config.sr_scale)
    trained = deployed(trained, config.runtime, config.exported, config.device)
    device = choose_device(config.device if config.runtime == "torch" else "cpu")
    padded = None if config.image_size is None else (config.image_size[0], config.image_size[1])
    source, output = Path(config.input), Path(config.output)
    reader = find_reader(config.format, source)
    volumes = find_volumes(reader, source)
    print_notes(note for volume in volumes for note in volume.notes)
    found = targets(output, config.write, reader, volumes, trained.estimate is not None)
    check_free(found, config.overwrite)
    if config.anonymous and any(target.kind != "dicom" for target in found):
        raise ConfigurationError(
            "anonymous=true: is for write=dicom; other files hold what their formats need alone, "
            "and NIfTI the header of its source"
        )

    page = None if config.page is None else ScanPage()
    if config.page is not None:
        check_page(Path(config.page), found, config.overwrite)
    began, terminal = time.monotonic(), console()
    with Progress(console=terminal, transient=True) as bar:
        task = bar.add_task("", total=None)

        def progress(name: str, done: int, total: int) -> None:
            bar.update(task, description=escape(name), completed=done, total=total)

        done = reconstruct_volumes(
            trained,
            reader,
            found,
            config.batch_size,
            padded,
            device,
            progress,
            config.anonymous,
            page,
        )
    seconds = time.monotonic() - began
    if not done.names:
        raise DataError("; ".join(done.errors))
    if page is not None:
        write_text(Path(config.page), page_of(page, trained, done))
    print_summary(trained, done, output, seconds)
    if page is not None:
        console().print(f"page: {config.page}", highlight=False, soft_wrap=True)
    if done.errors:
        sys.exit(2)


def find_reader(config: DictConfig | None, source: Path) -> Reader:
    """Return the reader that the user chose (`format`), else the one that the files ask for."""
    if not source.exists():
        raise DataError(f"input={source}: there is no such file or directory")
    if config is not None and not OmegaConf.is_missing(config, "_target_"):
        return instantiate(config)
    return instantiate(compose("reconstruct", overrides=[f"format={detect(source)}"]).format)


def choose_device(name: str) -> torch.device:
    """Return the device that a configuration names; "auto" is the GPU where there is one."""
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise ConfigurationError("device=cuda: PyTorch finds no GPU here; use device=cpu")
    return torch.device("cuda" if there and name != "cpu" else "cpu")


def check_page(path: Path, found: list[Target], overwrite: bool) -> None:
    """Refuse a page that cannot be written, or would replace something, before any work.

    Raises:
        ConfigurationError: its name is none of a page, is one of an output, or is taken.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise ConfigurationError(f"page={path}: must end in .html")
    if path.is_dir() or (path.exists() and not overwrite):
        raise ConfigurationError(
            f"page={path}: exists; name another, or replace it with overwrite=true"
        )
    if any(target.path.resolve() in (place := path.resolve(), *place.parents) for target in found):
        raise ConfigurationError(f"page={path}: lies where a volume is written; name another")


def page_of(page: ScanPage, trained: Trained, done: Done) -> str:
    """Return the page of the volumes that were written."""
    digest = sha256(trained.path)[:16]
    summary = f"{trained.label()} \u00b7 {trained.path.name}, SHA-256 {digest}"
    notes = [f"{count} volume(s): {note}" for note, count in done.notes.items()]
    return page.render(summary, notes, _table(trained, done) if done.metrics else None)


def print_summary(trained: Trained, done: Done, output: Path, seconds: float) -> None:
    """Print what was done, and how good it is where there are targets."""
    terminal = console()
    for error in done.errors:
        terminal.print(f"[red]left out[/]: {escape(error)}", highlight=False, soft_wrap=True)
    for note, count in done.notes.items():
        text = f"{count} volume(s): {note}"
        terminal.print(escape(text), highlight=False, soft_wrap=True)
    if done.metrics:
        terminal.print(_table(trained, done).to_rich())
    terminal.print(
        f"{output}: {len(done.names)} volumes, {done.slices} slices, "
        f"{done.slices / seconds:.1f} a second",
        highlight=False,
        soft_wrap=True,
    )


def _table(trained: Trained, done: Done) -> Table:
    measured = {label: metrics.table() for label, metrics in done.metrics.items()}
    known = [v for v in measured["Input"].volumes if v in done.names]
    rows = []
    for volume in known if len(known) <= ROWS else []:
        for label, table in measured.items():
            cells = [f"{table.measure(m, volume):{FORMATS[m].spec}}" for m in MAIN_METRICS]
            rows.append([f"{done.names[volume]}: {label.lower()}", *cells])
    if len(known) > 1:
        for label, table in measured.items():
            means = {m: sum(table.measure(m, v) for v in known) / len(known) for m in MAIN_METRICS}
            cells = [f"{means[m]:{FORMATS[m].spec}}" for m in MAIN_METRICS]
            rows.append([f"mean of {len(known)}: {label.lower()}", *cells])
    return Table(
        title=trained.label(),
        header=["", *(FORMATS[metric].label for metric in MAIN_METRICS)],
        rows=rows,
        notes=["Against the fully sampled images; data range: largest magnitude of each volume"],
    )

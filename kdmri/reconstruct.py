"""Reconstruct scans with a trained network: `python -m kdmri.reconstruct --help`."""

import sys
import time
from pathlib import Path

import torch
from hydra import compose
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.markup import escape
from rich.progress import Progress

from kdmri.console import console, entry_point
from kdmri.data.prepare.source import Reader
from kdmri.data.prepare.who import describe
from kdmri.errors import ConfigurationError, DataError
from kdmri.inference.checkpoint import Trained, open_checkpoint
from kdmri.inference.pipeline import Done, reconstruct
from kdmri.inference.sources import detect, find_volumes
from kdmri.inference.writing import check_free, targets
from kdmri.reporting.tables import Table

ROWS = 12
"""Volumes that a table lists; beyond them it gives the mean alone."""


@entry_point("reconstruct")
def main(config: DictConfig) -> None:
    """Reconstruct; the exit code is 2 where a volume cannot be used."""
    for key in ("input", "output"):
        if config[key] is None:
            raise ConfigurationError(f"{key}: is missing, {key}=FILE or {key}=DIR")
    batch_size = config.batch_size
    if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
        raise ConfigurationError(f"batch_size={batch_size}: must be a whole number, at least 1")
    trained = open_checkpoint(config.checkpoint, config.mask, config.sr_scale)
    device, padded = choose_device(config.device), _size(config.image_size)
    source, output = Path(config.input), Path(config.output)
    reader = find_reader(config.format, source)
    volumes, left_out = find_volumes(reader, source)
    found = targets(output, config.write, reader, volumes)
    check_free(found, config.overwrite)

    began, terminal = time.monotonic(), console()
    if left_out:
        text = f"left out by their names: {describe(left_out, source)}"
        terminal.print(escape(text), highlight=False, soft_wrap=True)
    with Progress(console=terminal, transient=True) as bar:
        task = bar.add_task("", total=None)

        def progress(name: str, done: int, total: int) -> None:
            bar.update(task, description=escape(name), completed=done, total=total)

        done = reconstruct(trained, reader, found, batch_size, padded, device, progress)
    seconds = time.monotonic() - began
    if not done.names:
        raise DataError("; ".join(done.errors))
    report(trained, done, output, seconds)
    if done.errors:
        sys.exit(2)


def find_reader(config: DictConfig | None, source: Path) -> Reader:
    """Give the reader that the user chose (`format`), else the one that the files ask for."""
    if not source.exists():
        raise DataError(f"input={source}: there is no such file or directory")
    if config is not None and not OmegaConf.is_missing(config, "_target_"):
        return instantiate(config)
    return instantiate(compose("reconstruct", overrides=[f"format={detect(source)}"]).format)


def choose_device(name: str) -> torch.device:
    """Give the device that a configuration names; "auto" is the GPU where there is one."""
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise ConfigurationError("device=cuda: PyTorch finds no GPU here; use device=cpu")
    if name not in ("auto", "cpu", "cuda"):
        raise ConfigurationError(f"device={name}: must be auto, cpu or cuda")
    return torch.device("cuda" if there and name != "cpu" else "cpu")


def _size(value: object) -> tuple[int, int] | None:
    if value is None:
        return None
    plain = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
    if isinstance(plain, list) and len(plain) == 2 and all(isinstance(n, int) for n in plain):
        return plain[0], plain[1]
    raise ConfigurationError(f"image_size={value}: must be null or [H,W]")


def report(trained: Trained, done: Done, output: Path, seconds: float) -> None:
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
            cells = [f"{table.measure(m, volume):.{d}f}" for m, d in METRICS.items()]
            rows.append([f"{done.names[volume]}: {label.lower()}", *cells])
    if len(known) > 1:
        for label, table in measured.items():
            means = {m: sum(table.measure(m, v) for v in known) / len(known) for m in METRICS}
            cells = [f"{means[m]:.{d}f}" for m, d in METRICS.items()]
            rows.append([f"mean of {len(known)}: {label.lower()}", *cells])
    return Table(
        title=trained.label(),
        header=["", "PSNR dB", "SSIM", "NMSE"],
        rows=rows,
        notes=["Against the fully sampled images; data range: largest magnitude of each volume"],
    )


METRICS = {"psnr": 2, "ssim": 4, "nmse": 4}
"""Metrics of the table and their decimals."""


if __name__ == "__main__":
    main()

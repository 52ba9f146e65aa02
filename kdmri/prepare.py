"""Bring MR data to the h5 layout: `python -m kdmri.prepare --help`."""

import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.markup import escape
from rich.progress import track

from kdmri.configuration import COUNT, NAME, Check, check_values, is_number, is_whole
from kdmri.console import console, entry_point
from kdmri.data.masks import MaskFile, MaskRule
from kdmri.data.prepare.checking import check
from kdmri.data.prepare.pipeline import Outcome, Preparation, prepare, store_undersampled
from kdmri.data.prepare.simulation import Simulation
from kdmri.data.prepare.writing import Form
from kdmri.errors import ConfigurationError, KdmriError

SPLITS = ("train", "validation", "test")


def _is_truth(value: object) -> bool:
    return isinstance(value, bool)


def _are_ratios(value: object) -> bool:
    if value is None:
        return True
    return (
        isinstance(value, Mapping)
        and set(map(str, value)) <= set(SPLITS)
        and all(is_number(share) and share >= 0 for share in value.values())
        and any(value.values())
    )


CHECKS: dict[str, Check] = {
    "image_size": (
        lambda v: (
            v is None
            or (OmegaConf.is_list(v) and len(v) == 2 and all(is_whole(n) and n >= 1 for n in v))
        ),
        "null or [H,W]",
    ),
    "ratios": (_are_ratios, "null or such as 'ratios={train: 0.8, validation: 0.1, test: 0.1}'"),
    "seed": (lambda v: is_whole(v) and v >= 0, "a whole number, at least 0"),
    "processes": COUNT,
    "strict": (_is_truth, "true or false"),
    "store_undersampled": (_is_truth, "true or false"),
    "simulation.phase": (_is_truth, "true or false"),
    "simulation.snr": (lambda v: v is None or (is_number(v) and v > 0), "null or above 0"),
}
"""Which values are allowed, by key."""


@entry_point("prepare")
def main(config: DictConfig) -> None:
    """Prepare a data set, or check one; the exit code is 2 where a file cannot be used."""
    check_values(config, CHECKS)
    failed = run(config) if config.check is None else report_check(Path(config.check))
    if failed:
        sys.exit(2)


def run(config: DictConfig) -> int:
    """Write what is missing; returns the number of volumes that could not be used."""
    preparation = _preparation(config)
    began = time.monotonic()
    count, outcomes = prepare(preparation)
    done: list[Outcome] = []
    terminal = console()
    shown = track(outcomes, "preparing", total=count, console=terminal, transient=True)
    for outcome in shown:
        done.append(outcome)
        if outcome.error:
            terminal.print(f"[red]left out[/]: {escape(outcome.error)}", soft_wrap=True)
    seconds = time.monotonic() - began
    _print_notes(done)
    written = [outcome for outcome in done if outcome.entry and not outcome.known]
    failed = sum(not outcome.entry for outcome in done)
    slices = sum(outcome.slices for outcome in written)
    terminal.print(
        f"{preparation.folder}: {len(written)} volumes written ({slices} slices, "
        f"{slices / seconds:.0f} a second), {sum(o.known for o in done)} there before, "
        f"{failed} left out",
        highlight=False,
        soft_wrap=True,
    )
    if config.store_undersampled:
        _store_undersampled(config, preparation.folder)
    return failed


def _print_notes(done: list[Outcome]) -> None:
    """Print what the user should know of volumes, a line for each sentence and one of its files."""
    about: dict[str, list[str]] = {}
    for outcome in done:
        for note in outcome.entry.notes if outcome.entry else []:
            about.setdefault(note, []).append(outcome.name)
    for note, names in about.items():
        text = f"{len(names)} volume(s), such as {names[0]}: {note}"
        console().print(f"[yellow]note[/]: {escape(text)}", highlight=False, soft_wrap=True)


def report_check(folder: Path) -> int:
    """Print a line for each h5 file below a directory; returns the number that are wrong."""
    terminal, wrong, sizes = console(), 0, Counter[str]()
    for path, found in check(folder):
        if isinstance(found, str):
            wrong += 1
            verdict = f"[red]{escape(found)}[/]"
        else:
            height, width, slices = found
            sizes[f"{height}x{width}"] += 1
            verdict = f"[green]good[/], {slices} slices of {height}x{width}"
        terminal.print(f"{path}: {verdict}", highlight=False, soft_wrap=True)
    terminal.print(f"{sizes.total() + wrong} files, {wrong} wrong", highlight=False)
    if len(sizes) > 1:
        told = ", ".join(f"{size} ({count} files)" for size, count in sizes.most_common())
        terminal.print(
            f"Slices of {len(sizes)} sizes, {told}: train with dataset.image_size=[H,W], which "
            "crops or pads them",
            highlight=False,
        )
    return wrong


def _preparation(config: DictConfig) -> Preparation:
    if config.source is None:
        raise ConfigurationError("source: name the file or directory to read, source=DIR")
    if OmegaConf.is_missing(config.format, "_target_"):
        raise ConfigurationError("format: say which one, such as format=nifti (see --help)")
    folder = Path(config.paths.datasets) / _name(config)
    size = config.image_size
    ratios = config.ratios
    return Preparation(
        reader=instantiate(config.format),
        source=Path(config.source),
        folder=folder,
        form=Form(
            image_size=None if size is None else (int(size[0]), int(size[1])),
            simulation=Simulation(config.simulation.phase, config.simulation.snr, config.seed),
        ),
        ratios=None if ratios is None else {str(k): float(v) for k, v in ratios.items()},
        seed=config.seed,
        processes=config.processes,
        strict=config.strict,
    )


def _name(config: DictConfig) -> str:
    if config.name is not None:
        if not isinstance(config.name, str) or not config.name:
            raise ConfigurationError(f"name={config.name}: must be {NAME}")
        return config.name
    if OmegaConf.is_missing(config.dataset, "name"):
        raise ConfigurationError("name: give the data set a name, name=mystudy")
    return config.dataset.name


def _store_undersampled(config: DictConfig, folder: Path) -> None:
    rule: MaskRule = instantiate(config.dataset.mask)
    if config.mask is not None:
        if not Path(config.mask).is_file():
            raise ConfigurationError(f"mask={config.mask}: there is no such file")
        rule = MaskFile(Path(config.mask), option="mask")
    name = config.acceleration.name
    mask_path = Path(config.paths.masks) / folder.name / f"mask_{name}.npy"
    count = store_undersampled(folder, rule, name, mask_path)
    if not count:
        raise KdmriError(f"{folder}: no volumes to undersample")
    console().print(f"{count} undersampled copies in {folder}/*/acc_{name}, mask {mask_path}")


if __name__ == "__main__":
    main()

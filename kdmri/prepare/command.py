"""What `kdmri prepare` does once its words were read."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.markup import escape
from rich.progress import track

from kdmri.console import console, print_notes
from kdmri.data.masks import MaskFile, MaskRule, mask_path
from kdmri.data.readers.who import check_option, describe
from kdmri.data.simulation import Simulation
from kdmri.errors import ConfigurationError, KdmriError
from kdmri.prepare.checking import check
from kdmri.prepare.pipeline import Outcome, Plan, Preparation, plan, store_undersampled, write
from kdmri.prepare.writing import Form

SHOWN = 8
"""So many subjects of a split are named; the others are counted."""


def run(config: DictConfig) -> int:
    """Write what is missing; returns the number of volumes that could not be used."""
    preparation = _preparation(config)
    began = time.monotonic()
    planned = plan(preparation)
    done: list[Outcome] = []
    terminal = console()
    print_notes(note for volume in planned.found.volumes for note in volume.notes)
    for line in tell_subjects(planned):
        terminal.print(escape(line), highlight=False, soft_wrap=True)
    count = len(planned.found.volumes)
    outcomes = track(write(planned), "preparing", total=count, console=terminal, transient=True)
    for outcome in outcomes:
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
    shares = [o.entry.nan for o in done if o.entry and o.entry.nan]
    if shares:
        terminal.print(
            f"format.nan=zero: NaN is 0 now in {len(shares)} volumes, {min(shares):.1%} to "
            f"{max(shares):.1%} of their values",
            highlight=False,
            soft_wrap=True,
        )
    _tell_coils(config.coils, done)
    if config.store_undersampled:
        _store_undersampled(config, preparation.folder)
    return failed


def _tell_coils(count: int | None, done: list[Outcome]) -> None:
    """Say how much of the energy virtual coils keep."""
    if count is None:
        return
    found = [o.entry.coils for o in done if o.entry and o.entry.coils]
    shares = [coils["energy"] for coils in found] or [1.0]
    several = sorted({int(coils["acquired"]) for coils in found})
    console().print(
        f"coils={count}: {len(found)} volumes of {', '.join(map(str, several)) or 'more'} coils "
        f"are compressed to {count} virtual ones, which keep {min(shares):.2%} to "
        f"{max(shares):.2%} of their energy; {sum(o.entry is not None for o in done) - len(found)} "
        "had no more",
        highlight=False,
        soft_wrap=True,
    )


def tell_subjects(planned: Plan) -> Iterator[str]:
    """Say, in few lines, who goes into which split and what is left out."""
    found = planned.found
    if found.left_out:
        source = planned.preparation.source
        yield f"left out by their names: {describe(found.left_out, source)}"
    others = "" if planned.preparation.subjects else " (subjects=... chooses another way)"
    yield f"subjects found by {found.rule}{others}"
    nobody = "no subjects"
    if planned.preparation.ratios is None:
        nobody += "; 'ratios={train: 0.8, validation: 0.1, test: 0.1}' splits all anew"
    for split, names in planned.subjects().items():
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        who = f"{len(names)} subject(s): {', '.join(names[:SHOWN])}{more}"
        yield f"{split}: {who if names else nobody}"
    yield from found.notes
    yield from (f"note: {line}" for line in planned.manifest.changes(found.volumes))


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
        counted = ", ".join(f"{size} ({count} files)" for size, count in sizes.most_common())
        terminal.print(
            f"Slices of {len(sizes)} sizes, {counted}: train with dataset.image_size=[H,W], "
            "which crops or pads images; k-space of several coils stays as it is",
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
    check_option(config.subjects)
    return Preparation(
        reader=instantiate(config.format),
        source=Path(config.source),
        folder=folder,
        form=Form(
            image_size=None if size is None else (int(size[0]), int(size[1])),
            simulation=Simulation(config.simulation.phase, config.simulation.snr, config.seed),
            coils=config.coils,
        ),
        ratios=None if ratios is None else {str(k): float(v) for k, v in ratios.items()},
        seed=config.seed,
        subjects=config.subjects,
        processes=config.processes,
        strict=config.strict,
    )


def _name(config: DictConfig) -> str:
    if config.name is not None:
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
    mask = mask_path(Path(config.paths.masks) / folder.name, name)
    count = store_undersampled(folder, rule, name, mask)
    if not count:
        raise KdmriError(f"{folder}: no volumes to undersample")
    console().print(f"{count} undersampled copies in {folder}/*/acc_{name}, mask {mask}")

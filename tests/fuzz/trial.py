"""One case: a valid source is damaged, both commands run on it, and what they leave is judged."""

import contextlib
import copy
import io
import logging
import resource
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from kdmri.config import checks
from kdmri.config.entry import one_line_errors
from kdmri.prepare.command import run as prepare
from kdmri.reconstruct.__main__ import main as reconstruct
from tests.fuzz import blind, headers, trees
from tests.fuzz.judging import Ended, Finding, Verdict, judge_prepared, judge_reconstructed, where
from tests.fuzz.odd import pick
from tests.fuzz.samples import FORMATS, NETWORKS

GIGABYTES = 4
"""A case may take so much address space beyond what its process has when it begins."""


def format_of(case: int) -> str:
    """Name the format of a case."""
    return list(FORMATS)[case % len(FORMATS)]


class Trials:
    """Runs cases in this process.

    Attributes:
        seed: of all cases; each draws from (seed, case).
        templates: what `samples.write_all` wrote.
        scratch: a folder for each case is made in it; it stays where there are findings.
    """

    def __init__(self, seed: int, templates: Path, scratch: Path) -> None:
        self.seed, self.templates, self.scratch = seed, templates, scratch
        self._composed: dict[tuple[str, str | None], DictConfig] = {}
        torch.set_num_threads(1)
        logging.disable()  # nibabel says at length what it mends
        checks.register_resolvers()
        initialize_config_dir(str(checks.CONFIGS), version_base="1.3").__enter__()

    def __call__(self, case: int) -> Verdict:
        """Run a case."""
        rng = np.random.default_rng((self.seed, case))
        verdict = Verdict(case, format_of(case))
        folder = self.scratch / f"case-{case}"
        shutil.rmtree(folder, ignore_errors=True)  # of a first try that took too long
        shutil.copytree(self.templates / verdict.format, folder)
        victim = damaged(folder, FORMATS[verdict.format].victim, rng)
        before = _contents(folder)
        source = folder / "input"
        if victim.is_relative_to(source) and rng.random() < 0.2:
            source = victim
        with limited_memory():
            self._prepare(verdict, folder, source, rng)
            self._reconstruct(verdict, folder, source, rng)
        if {path: before.get(path) for path in before} != {
            path: data for path, data in _contents(folder).items() if path in before
        }:
            verdict.findings.append(Finding("exit", "input was changed"))
        verdict.findings = [
            Finding(kind, text.replace(str(folder), "")) for kind, text in verdict.findings
        ]
        if not verdict.findings:
            shutil.rmtree(folder)
        return verdict

    def _config(self, command: str, reader: str | None) -> DictConfig:
        key = command, reader
        if key not in self._composed:
            words = [] if reader is None else [f"format={reader}"]
            self._composed[key] = compose(command, overrides=words)
        return copy.deepcopy(self._composed[key])

    def _prepare(
        self, verdict: Verdict, folder: Path, source: Path, rng: np.random.Generator
    ) -> None:
        one, mask = FORMATS[verdict.format], folder / "mask.npy"
        if one.victim == "checkpoint.pt":
            return
        config = self._config("prepare", one.reader)
        for key, values in one.options.items():
            config.format[key] = pick(rng, values)
        config.source, config.name, config.processes = str(source), "fuzz", 0
        config.paths.datasets, config.paths.masks = str(folder / "sets"), str(folder / "masks")
        config.ratios = {"train": 1} if rng.random() < 0.85 else None
        config.strict = bool(rng.random() < 0.1)
        config.store_undersampled = bool(rng.random() < 0.1) or mask.exists()
        if mask.exists():
            config.mask = str(mask)
        elif rng.random() < 0.15:
            config.image_size = pick(rng, ([16, 16], [33, 18]))
        if rng.random() < 0.1:
            config.simulation.phase, config.simulation.snr = True, 20
        ended = self._run("prepare", _prepared, config, verdict)
        if ended is not None:
            judge_prepared(verdict, ended, folder)

    def _reconstruct(
        self, verdict: Verdict, folder: Path, source: Path, rng: np.random.Generator
    ) -> None:
        one, mask = FORMATS[verdict.format], folder / "mask.npy"
        description = rng.random() < 0.8 or one.reader == "knee"
        config = self._config("reconstruct", one.reader if description else None)
        for key, values in one.options.items() if description else ():
            config.format[key] = pick(rng, values)
        checkpoint = folder / "checkpoint.pt"
        if not checkpoint.exists():
            checkpoint = self.templates / pick(rng, NETWORKS)
        config.checkpoint, config.input = str(checkpoint), str(source)
        config.output = str(folder / pick(rng, ("out", "out", "out", "out.h5", "out.nii.gz")))
        config.write = None if "." in Path(config.output).name else pick(rng, WRITTEN)
        config.mask = str(mask) if mask.exists() else None
        config.batch_size, config.device = pick(rng, (1, 2, 8)), "cpu"
        config.image_size = [32, 32] if rng.random() < 0.1 else None
        ended = self._run("reconstruct", reconstruct.__wrapped__, config, verdict)
        if ended is not None:
            judge_reconstructed(verdict, ended, Path(config.output))

    def _run(
        self,
        name: str,
        main: Callable[[DictConfig], Any],
        config: DictConfig,
        verdict: Verdict,
    ) -> Ended | None:
        """Run what is behind a command as the command does; None where it ended in a traceback."""
        command = one_line_errors(main)
        out, err, code = io.StringIO(), io.StringIO(), 0
        try:
            with (
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
                warnings.catch_warnings(),
            ):
                warnings.simplefilter("ignore")
                command(config)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        except MemoryError as error:
            verdict.findings.append(Finding("memory", f"{name}: {where(error)}"))
            return None
        except Exception as error:
            verdict.findings.append(Finding("traceback", f"{name}: {where(error)}"))
            return None
        return Ended(code, out.getvalue(), err.getvalue())


WRITTEN = (None, None, "h5", "nifti", "png")


def _prepared(config: DictConfig) -> None:
    """Do what the command does, whose checks want a process for what is written in this one."""
    if prepare(config):
        sys.exit(2)


def damaged(folder: Path, victim: str | None, rng: np.random.Generator) -> Path:
    """Damage one file of a case once, twice or three times; returns it."""
    files = sorted(path for path in (folder / "input").rglob("*") if path.is_file())
    path = pick(rng, files) if victim is None else folder / victim
    sound = True
    for _ in range(int(pick(rng, (1, 1, 1, 2, 3)))):
        # HDF5 may crash where it writes to a file whose bytes are damaged already.
        if rng.random() < 0.5 and sound:
            try:
                _knowing(path, rng)
                continue
            except Exception:  # what writes it refuses to
                pass
        blind.damage(path, rng)
        sound = False
    if victim is None and rng.random() < 0.03:
        before = set(files)
        blind.rename(path, rng)
        path = next(
            (p for p in (folder / "input").rglob("*") if p.is_file() and p not in before), path
        )
    return path


def _knowing(path: Path, rng: np.random.Generator) -> None:
    if h5py.is_hdf5(path):
        trees.hdf5(path, rng)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            headers.BY_ENDING[path.suffix](path, rng)


def _contents(folder: Path) -> dict[Path, bytes]:
    """Read the damaged source and what lies beside it."""
    beside = [p for p in folder.iterdir() if p.suffix in (".npy", ".pt")]
    files = [p for p in (folder / "input").rglob("*") if p.is_file()]
    return {path: path.read_bytes() for path in [*beside, *files]}


@contextlib.contextmanager
def limited_memory() -> Any:
    """Let this process take `GIGABYTES` of address space more than it has."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + GIGABYTES * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)

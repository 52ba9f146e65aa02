"""How the cost of a slice grows with coils, matrix and number of volumes: `works=[scaling]`.

An exponent p is the slope of log(cost) over log(size): cost grows as size^p. Of coils it is
about 1 where transforms rule, below where convolutions do; of the matrix's pixels about 1 (the
Fourier transform adds a logarithm); of volumes at most 1. Costs are the CPU's seconds, of all
threads: they hardly depend on what else the machine does.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
from rich.table import Table

from kdmri.benchmark.coil_evaluation import CoilEvaluation
from kdmri.benchmark.coil_steps import SuiteCoilStep
from kdmri.benchmark.coils import SuiteImage
from kdmri.benchmark.many_volumes import OPENED, cost
from kdmri.benchmark.scan import Size
from kdmri.benchmark.setting import Setting
from kdmri.benchmark.works import Work
from kdmri.hardware import keep_freed_memory

COILS = (1, 4, 8, 16, 32)
MATRICES = (128, 256, 384, 512, 640)
VOLUMES = (10, 100, 1000)
FIXED_COILS, FIXED_MATRIX = 8, 192
REPEATS = 3


class Measured(NamedTuple):
    """A row of the table.

    Attributes:
        what: is done.
        of: what grows.
        sizes: of it.
        costs: for each of them.
        unit: of the costs.
        power: of `of` that is one of what the exponent is of: 2 for pixels of a matrix.
    """

    what: str
    of: str
    sizes: tuple[int, ...]
    costs: list[float]
    unit: str
    power: int = 1

    def cells(self) -> list[str]:
        """Write the row."""
        pairs = zip(self.sizes, self.costs, strict=True)
        cells = [f"{size}: {_written(value)}" for size, value in pairs]
        power = f"{exponent(self.sizes, self.costs) / self.power:.2f}"
        cells += [""] * (len(COILS) - len(cells))
        told = f"{power} (pixels)" if self.power > 1 else power
        return [self.what, self.of, self.unit, *cells, told]


def _written(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def exponent(sizes: tuple[int, ...], costs: list[float]) -> float:
    """Return the slope of a line through log(costs) over log(sizes), by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def table() -> Table:
    """Measure everything, in one process."""
    keep_freed_memory()  # as commands do
    title = f"CPU time, {torch.get_num_threads()} threads, median of {REPEATS}"
    found = Table(title=title)
    for column in ("what", "of", "unit", *[""] * len(COILS)):
        found.add_column(column, justify="left" if column else "right")
    found.add_column("exponent", justify="right")
    for row in _measured():
        found.add_row(*row.cells())
    return found


def _measured() -> Iterator[Measured]:
    kinds: dict[str, Callable[[Size, Path], Work]] = {
        "train": _step,
        "evaluate": CoilEvaluation,
        "reconstruct": lambda size, folder: SuiteImage(size),
    }
    for what, kind in kinds.items():
        of_coils = [_milliseconds(kind, (n, FIXED_MATRIX, FIXED_MATRIX)) for n in COILS]
        yield Measured(what, "coils", COILS, of_coils, "ms a slice")
        of_matrix = [_milliseconds(kind, (FIXED_COILS, n, n)) for n in MATRICES]
        yield Measured(what, "matrix", MATRICES, of_matrix, "ms a slice", power=2)
    for what in OPENED:
        seconds, mib = _opening(what)
        yield Measured(f"{what} start", "volumes", VOLUMES, seconds, "ms")
        yield Measured(f"{what} start", "volumes", VOLUMES, mib, "MiB")


def _step(size: Size, folder: Path) -> Work:
    setting = Setting({}, size[1:], 1, 1, "cpu", "32-true", 0)
    return SuiteCoilStep(setting, folder, taught=False, size=size)


def _milliseconds(kind: Callable[[Size, Path], Work], size: Size) -> float:
    """Return the CPU's time for one slice."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        work = kind(size, Path(folder))
        for number in range(REPEATS + 1):
            work.prepare()
            began = time.process_time()
            work.run()
            if number:  # the first one warms up
                found.append(1e3 * (time.process_time() - began) / work.slices)
    return median(found)


def _opening(what: str) -> tuple[list[float], list[float]]:
    """Return milliseconds and MiB that opening data sets of each number of volumes takes."""
    found = [cost(what, count, REPEATS) for count in VOLUMES]
    return [1e3 * seconds for seconds, _ in found], [mib for _, mib in found]

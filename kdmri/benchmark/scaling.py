"""How the cost of a slice grows with coils, matrix and number of volumes: `works=[scaling]`.

An exponent p is the slope of log(seconds) over log(size): cost grows as size^p. Of coils it is
about 1 where transforms rule, below where convolutions do; of the matrix's pixels about 1 (the
Fourier transform adds a logarithm); of volumes at most 1.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import torch
from rich.table import Table

from kdmri.benchmark.coil_steps import SuiteCoilStep
from kdmri.benchmark.coils import SuiteImage
from kdmri.benchmark.scan import Size
from kdmri.benchmark.setting import Setting
from kdmri.benchmark.works import Work
from kdmri.data.dataset import SliceDataset
from kdmri.data.layout import inspect, write_volume

COILS = (1, 4, 8, 16, 32)
MATRICES = (128, 256, 384, 512, 640)
VOLUMES = (10, 100, 1000)
FIXED_COILS, FIXED_MATRIX = 8, 192
TINY = (32, 32, 4)
"""Of volumes, whose number is what counts."""

REPEATS = 3


def exponent(sizes: tuple[int, ...], seconds: list[float]) -> float:
    """Return the slope of a line through log(seconds) over log(sizes), by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def table() -> Table:
    """Measure everything, in one process."""
    found = Table(title=f"CPU, {torch.get_num_threads()} threads, median of {REPEATS}, ms")
    for column in ("what", "of", *("", "", "", "", "")):
        found.add_column(column, justify="left" if column else "right")
    found.add_column("exponent", justify="right")
    for what, of, sizes, seconds in _measured():
        cells = [f"{size}: {1e3 * value:,.3g}" for size, value in zip(sizes, seconds, strict=True)]
        pixels = 2 if of == "matrix" else 1
        power = exponent(sizes, seconds) / pixels
        cells += [""] * (5 - len(cells))
        found.add_row(what, of, *cells, f"{power:.2f}{' of pixels' if pixels == 2 else ''}")
    return found


def _measured() -> Iterator[tuple[str, str, tuple[int, ...], list[float]]]:
    """Yield what is measured, over what, the sizes and seconds of a slice or of a volume."""
    kinds: dict[str, Callable[[Size], Work]] = {"train": _step, "reconstruct": SuiteImage}
    for what, kind in kinds.items():
        of_coils = [(n, FIXED_MATRIX, FIXED_MATRIX) for n in COILS]
        yield what, "coils", COILS, [_seconds(kind(size)) for size in of_coils]
        of_matrix = [(FIXED_COILS, n, n) for n in MATRICES]
        yield what, "matrix", MATRICES, [_seconds(kind(size)) for size in of_matrix]
    yield "open a data set", "volumes", VOLUMES, [_opening(count) for count in VOLUMES]


def _step(size: Size) -> Work:
    setting = Setting({}, size[1:], 1, 1, "cpu", "32-true", 0)
    return SuiteCoilStep(setting, Path(), taught=False, size=size)


def _seconds(work: Work) -> float:
    found = []
    for number in range(REPEATS + 1):
        work.prepare()
        began = time.perf_counter()
        work.run()
        if number:  # the first one warms up
            found.append(time.perf_counter() - began)
    return median(found)


def _opening(count: int) -> float:
    """Return the seconds that a folder of volumes takes to be scanned, checked and read once."""
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder) / "0.h5"
        write_volume(first, np.random.default_rng(0).random(TINY, dtype=np.float32), {})
        for number in range(1, count):
            first.with_name(f"{number}.h5").write_bytes(first.read_bytes())
        began = time.perf_counter()
        volumes = [inspect(path, 1) for path in sorted(Path(folder).glob("*.h5"))]
        dataset = SliceDataset(volumes)
        _ = dataset[len(dataset) - 1]
        return time.perf_counter() - began

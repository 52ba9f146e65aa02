"""What a data set of many small volumes costs before work begins: CPU time, memory.

Each command finds and checks all files first: `train` and `evaluate` their splits, `reconstruct`
its input, whose every volume it surveys.
"""

import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np

from kdmri.data.datamodule import MRIDataModule
from kdmri.data.layout import write_volume
from kdmri.data.masks import GaussianLines
from kdmri.data.readers.detect import detect, find_volumes
from kdmri.data.readers.layout_files import LayoutFiles
from kdmri.physics import CartesianUndersampling
from kdmri.reconstruct.survey import survey
from kdmri.reconstruct.writing import check_free, targets

TINY = (32, 32, 4)
"""Of volumes, whose number is what counts."""

SELECTION = 0.1
SPLITS = ("train", "validation")


@contextmanager
def data_set(count: int) -> Iterator[Path]:
    """Make a data set with as many volumes in each of two splits; gone afterwards."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = folder / "first.h5"
        write_volume(first, np.random.default_rng(0).random(TINY, dtype=np.float32), {})
        for split in SPLITS:
            (folder / split).mkdir()
            for number in range(count):
                (folder / split / f"{number}.h5").write_bytes(first.read_bytes())
        first.unlink()
        yield folder


def opened_to_train(folder: Path) -> object:
    """Find the splits, check all volumes that training needs, and read its first batch."""
    data = _module(folder)
    data.setup("fit")
    return data, next(iter(data.train_dataloader()))


def opened_to_evaluate(folder: Path) -> object:
    """Find the splits, check all volumes that are evaluated, and read the first batch."""
    data = _module(folder)
    return data, next(iter(data.test_dataloader()))


def opened_to_reconstruct(folder: Path) -> object:
    """Find the format, the volumes and their places, and survey each volume."""
    source = folder / SPLITS[0]
    assert detect(source) == "layout"
    reader = LayoutFiles()
    volumes = find_volumes(reader, source)
    found = targets(folder / "output", None, reader, volumes, False)
    check_free(found, overwrite=False)
    return volumes, found, [survey(volume) for volume in volumes]


def _module(folder: Path) -> MRIDataModule:
    task = CartesianUndersampling(GaussianLines(4))
    return MRIDataModule(task, folder, None, batch_size=4, seed=0, selection=SELECTION, cache_gib=0)


OPENED: dict[str, Callable[[Path], object]] = {
    "train": opened_to_train,
    "evaluate": opened_to_evaluate,
    "reconstruct": opened_to_reconstruct,
}


def cost(what: str, count: int, repeats: int) -> tuple[float, float]:
    """Return what opening so many volumes takes.

    Args:
        what: a key of `OPENED`.
        count: of volumes in each split.
        repeats: openings whose times are taken.

    Returns:
        Seconds of the CPU, the median; MiB of objects and arrays that stay in memory.
    """
    with data_set(2) as warm:
        OPENED[what](warm)
    with data_set(count) as folder:
        tracemalloc.start()
        kept = OPENED[what](folder)
        mib = tracemalloc.get_traced_memory()[0] / 2**20
        tracemalloc.stop()
        del kept
        return median(_seconds(OPENED[what], folder) for _ in range(repeats)), mib


def _seconds(opened: Callable[[Path], object], folder: Path) -> float:
    began = time.process_time()
    opened(folder)
    return time.process_time() - began

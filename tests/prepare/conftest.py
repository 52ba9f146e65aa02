"""A study in NumPy files, and `python -m kdmri.prepare` on it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kdmri.prepare import pipeline
from tests.conftest import Result

Run = Callable[..., Result]
SCRIPT = "kdmri/prepare/__main__.py"
NUMPY = ("format=numpy", "format.axis=0")
SUBJECTS = ("ann", "bob", "cid", "dan", "eve")


@pytest.fixture(autouse=True)
def _writers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write volumes in a thread, except in tests of the processes: each takes seconds to start."""

    def thread(count: int, context: Any, *begin: Any) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1, "writer", *begin)

    if request.node.get_closest_marker("processes") is None:
        monkeypatch.setattr(pipeline, "ProcessPoolExecutor", thread)


@pytest.fixture
def source(tmp_path: Path, anatomy: np.ndarray) -> Path:
    """Five subjects of two volumes each, 8 and 4 slices, in units of their own."""
    folder = tmp_path / "study"
    for number, subject in enumerate(SUBJECTS):
        (folder / subject).mkdir(parents=True)
        for name, slices in (("one", slice(4, 12)), ("two", slice(20, 24))):
            values = np.moveaxis(anatomy[:, :, slices], -1, 0) * (100 + number)
            np.save(folder / subject / f"{subject}_{name}.npy", values.astype(np.float32))
    return folder


@pytest.fixture
def prepare(run: Run, source: Path) -> Run:
    def call(*overrides: str) -> Result:
        return run(SCRIPT, "name=study", f"source={source}", *(overrides or NUMPY))

    return call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "datasets" / "study"


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.read_bytes())
        for p in sorted(folder.rglob("*.h5"))
    }

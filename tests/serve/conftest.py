from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdmri.serve.choices import open_choices
from kdmri.serve.server import Server
from kdmri.serve.session import Settings
from tests.conftest import LINES
from tests.reconstruct.coils import TRAINED
from tests.serve.scans import Raw, scan_of

CPU = torch.device("cpu")
SETTINGS = Settings(
    by_volume=False, integers=False, most_bytes=2**28, timeout=20, batch_size=8, device=CPU
)

Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server of a checkpoint or a folder; stopped after the test."""
    with ExitStack() as stack:

        def start(
            source: Path, clients: int = 8, mask: Path | None = None, **settings: Any
        ) -> Server:
            choices = open_choices(str(source), CPU, None if mask is None else str(mask))
            chosen = replace(SETTINGS, **settings)
            return stack.enter_context(Server(choices, chosen, "127.0.0.1", 0, clients))

        yield start


@pytest.fixture
def student(checkpoint: Callable[..., Path]) -> Path:
    """One that was trained on several coils."""
    return checkpoint("student.pt", **TRAINED)


@pytest.fixture
def of_one_coil(checkpoint: Callable[..., Path]) -> Path:
    return checkpoint("single.pt", LINES, channels=2)


@pytest.fixture
def scan(anatomy: np.ndarray) -> Raw:
    """One slice of four coils."""
    return scan_of(anatomy)

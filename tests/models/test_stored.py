"""Checkpoints are whole or not there, and a full disk is told as one."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from kdmri.errors import KdmriError
from kdmri.models.stored import write_checkpoint


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let files of this process have no more bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("room", [100, 10_000])
def test_checkpoint_without_room_is_told_and_the_one_before_stays(
    tmp_path: Path, room: int
) -> None:
    """PyTorch's own writer ends in a RuntimeError, wherever in its file the room ends."""
    path = tmp_path / "best_model.pt"
    write_checkpoint(path, {"weights": {"a": torch.ones(3)}, "epoch": 1})
    weights = {"weights": {"a": torch.zeros(50_000)}, "epoch": 2}
    with largest_file(room), pytest.raises(KdmriError, match=r"best_model\.pt: cannot be written"):
        write_checkpoint(path, weights)
    assert [found.name for found in tmp_path.iterdir()] == ["best_model.pt"]
    assert torch.load(path, weights_only=True)["epoch"] == 1
    write_checkpoint(path, weights)
    assert torch.equal(torch.load(path, weights_only=True)["weights"]["a"], weights["weights"]["a"])

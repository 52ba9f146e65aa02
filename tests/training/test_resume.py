"""A training that is cut off anywhere ends with the weights of one that is not, bit for bit."""

import csv
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pytorch_lightning.callbacks import Timer

from kdmri.data.batch import Slice
from kdmri.data.datamodule import MRIDataModule
from kdmri.physics import CentralKspace
from kdmri.training.callbacks import StageCheckpoint
from tests.conftest import Result

Train = Callable[..., Result]
LENGTH = ("stage=student", "trainer.max_epochs=4", "scheduler.step_size=1", "scheduler.gamma=0.5")


def final(name: str) -> dict:
    """Return all that the last checkpoint of a stage says of its weights and its schedule."""
    (path,) = Path("experiments").rglob(f"{name}_student*/model.pt")
    stored = torch.load(path, weights_only=True)
    return stored["state_dict"] | {
        "step": torch.tensor(stored["global_step"]),
        "rate": torch.tensor(stored["lr_schedulers"][0]["_last_lr"]),
    }


def logged(name: str) -> list[str]:
    """Return each epoch's validation figure as `logger=csv` left it."""
    (path,) = Path("experiments").rglob(f"{name}_student*/summary/metrics.csv")
    with path.open(newline="") as file:
        return [row["val/psnr"] for row in csv.DictReader(file) if row["val/psnr"]]


def assert_same(name: str, other: str) -> None:
    found, expected = final(name), final(other)
    assert found.keys() == expected.keys()
    for key, value in found.items():
        assert torch.equal(value, expected[key]), key


@pytest.mark.parametrize(
    "words",
    [
        ("weight_averaging=0.9",),
        ("batch_size=2", "+trainer.accumulate_grad_batches=3"),
    ],
    ids=" ".join,
)
def test_killed_after_any_save(
    train: Train, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """A run that saves as often as it can is cut off at its fourth save."""
    words = (*LENGTH, *words, "checkpoint_minutes=0", "logger=csv")
    assert train(*words, "name=whole").code == 0
    save, saves = StageCheckpoint.save_last, []

    def killed(self: StageCheckpoint, trainer: object) -> None:
        save(self, trainer)  # type: ignore[arg-type]
        saves.append(trainer)
        if len(saves) == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(StageCheckpoint, "save_last", killed)
        assert "interrupted" in train(*words, "name=cut").err
    assert train(*words, "name=cut").code == 0
    assert_same("cut", "whole")
    assert logged("cut") == logged("whole")


@pytest.mark.parametrize(("batches", "epochs"), [(5, 1), (6, 2), (11, 3)])
def test_time_that_ends_within_an_epoch(
    train: Train, monkeypatch: pytest.MonkeyPatch, batches: int, epochs: int
) -> None:
    """An epoch has three batches; the one that is cut off is neither counted nor compared."""
    assert train(*LENGTH, "name=whole").code == 0
    count = SimpleNamespace(done=0)
    step = MRIDataModule.on_after_batch_transfer

    def counted(self: MRIDataModule, batch: Slice, dataloader_idx: int) -> object:
        count.done += self.trainer is not None and self.trainer.training
        return step(self, batch, dataloader_idx)

    with monkeypatch.context() as patch:
        patch.setattr(MRIDataModule, "on_after_batch_transfer", counted)
        patch.setattr(Timer, "time_elapsed", lambda *_: 60.0 * (count.done >= batches))
        result = train(*LENGTH, "name=cut", "+trainer.max_time={seconds: 60}")
    assert result.code == 2
    assert f"trainer.max_time is over after {epochs} of 4 epochs" in " ".join(result.err.split())
    assert count.done == batches
    assert train(*LENGTH, "name=cut").code == 0
    assert_same("cut", "whole")


def test_processes_draw_different_numbers(own: Path) -> None:
    """Each draws by its own slices, whatever was drawn before; one process goes on as it is."""
    data = MRIDataModule(CentralKspace(2), own, "4x", batch_size=2, seed=7, flips=True)
    image = torch.arange(16 * 12.0).reshape(1, 1, 16, 12).expand(8, 1, 16, 12)

    def variants(first: int, processes: int = 2, epoch: int = 0) -> list[int]:
        trainer = SimpleNamespace(training=True, world_size=processes, current_epoch=epoch)
        data.trainer = trainer  # type: ignore[assignment]
        number = torch.full((8,), first)
        batch = data.on_after_batch_transfer(Slice(image, None, torch.ones(8), number, number), 0)
        assert batch.variant is not None
        return batch.variant.tolist()

    state = torch.get_rng_state()
    one, other = variants(1), variants(2)
    assert one != other
    assert variants(1, epoch=1) != one
    assert torch.equal(torch.get_rng_state(), state), "the common generator is left alone"
    torch.rand(3)
    assert variants(1) == one
    assert not np.array_equal(variants(1, processes=1), variants(1, processes=1))

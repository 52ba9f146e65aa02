"""What happens beside the training steps: checkpoints, progress, pictures."""

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, Checkpoint, RichProgressBar, Timer
from pytorch_lightning.callbacks.progress.rich_progress import ProcessingSpeedColumn
from pytorch_lightning.loggers import TensorBoardLogger, WandbLogger
from pytorch_lightning.strategies import FSDPStrategy
from rich import get_console
from rich.progress import BarColumn, ProgressColumn

from kdmri.config.identity import BEST, companion_file
from kdmri.console import console
from kdmri.data.batch import collate
from kdmri.data.datamodule import MRIDataModule
from kdmri.files import written_aside
from kdmri.metrics import FORMATS
from kdmri.models.stored import write_checkpoint
from kdmri.physics import seen, truth
from kdmri.training.base import TrainingMethod

LAST = "model.pt"
ROOMY = 130
"""Columns of a terminal from which on a progress bar has room for speed and all figures."""


class StageCheckpoint(Checkpoint):
    """Keeps the best weights in `best_model.pt` and all that a resume needs in `model.pt`.

    Both are written aside and renamed, and open with `torch.load(..., weights_only=True)`.
    `best_model.pt` holds `network` (plain settings), `weights`, `epoch`, `score`, `metrics`, and
    what a lone file has to tell to be used on a scan (`facts`).

    Attributes:
        best: epoch, score and metrics of the best weights.
        began: whether whatever was to be resumed has been.
        measured: whether the figure that marks the best weights was ever there.
        is_cut_off: whether the trainer's time ended within an epoch, which then does not count.
    """

    def __init__(
        self,
        directory: Path,
        monitor: str,
        network: Mapping[str, Any],
        facts: Mapping[str, Any],
        companions: Mapping[str, Mapping[str, Any]],
        minutes: float | None = None,
    ) -> None:
        """Say what to keep.

        Args:
            directory: of the stage.
            monitor: logged figure whose lowest value marks the best weights.
            network: settings that rebuild the network.
            facts: plain values that join each of them; see `kdmri.training.facts`.
            companions: settings of networks trained beside it, kept in `best_{name}.pt`.
            minutes: between two saves of `model.pt` within an epoch; None saves at its end alone.
        """
        self._seconds = math.inf if minutes is None else 60 * minutes
        self._saved = self._started = time.monotonic()
        self._earlier = 0.0
        self._directory, self._monitor, self._facts = directory, monitor, dict(facts)
        self._network, self._companions = dict(network), companions
        self.best: dict[str, Any] = {"score": float("inf")}
        self.began = self.measured = self.is_cut_off = False

    @property
    def seconds(self) -> float:
        """Wall time of the training in all its turns, up to now or to what they saved."""
        return self._earlier + time.monotonic() - self._started

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Know that whatever was to be resumed has been."""
        self.began = True

    def state_dict(self) -> dict[str, Any]:
        """Remember the best figures and the time over a resume."""
        return {
            "best": json.dumps(self.best),
            "seconds": self.seconds,
            "measured": self.measured,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the best figures and the time."""
        self.best = json.loads(state_dict["best"])
        self._earlier = state_dict.get("seconds", 0.0)  # earlier versions did not keep it
        self.measured = state_dict.get("measured", True)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare with the best, then save; an epoch that was cut off is left to a resume."""
        over = trainer.should_stop and not _is_last_batch(trainer)
        self.is_cut_off = over and trainer.strategy.broadcast(is_time_over(trainer))
        if self.is_cut_off:
            return
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.measured |= self._monitor in figures
        score = figures.get(self._monitor, math.inf)  # no measures yet, where epochs go without
        if score < self.best["score"]:
            self.best = {"score": score, "epoch": trainer.current_epoch + 1, "metrics": figures}
            self._save_best(trainer, pl_module)
        self.save_last(trainer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        """Save all that a resume needs when it is time; the first process's clock decides.

        It is time, too, when training is told to stop. Gradients that a later batch of the same
        step would add to are not saved, so a save waits for the step.
        """
        progress = trainer.fit_loop.epoch_loop.batch_progress
        ends_step = progress.current.ready % trainer.accumulate_grad_batches == 0
        never = math.isinf(self._seconds) and not trainer.should_stop
        if _is_last_batch(trainer) or not ends_step or never:
            return
        due = trainer.should_stop or time.monotonic() - self._saved >= self._seconds
        if trainer.world_size > 1:
            clock = torch.tensor(due and trainer.is_global_zero, device=pl_module.device)
            due = bool(trainer.strategy.reduce(clock.float(), reduce_op="sum"))
        if due:
            self.save_last(trainer)

    def save_last(self, trainer: pl.Trainer) -> None:
        """Write `model.pt`, in which all processes take part."""
        self._saved = time.monotonic()
        if trainer.is_global_zero:
            with written_aside(self._directory / LAST) as aside:
                trainer.save_checkpoint(aside)
        else:
            trainer.save_checkpoint(self._directory / LAST)  # takes part, but writes nothing

    def _save_best(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, TrainingMethod)
        state = trainer.strategy.lightning_module_state_dict()  # gathered where it is sharded
        if not trainer.is_global_zero:
            return
        names = {part: name for name, part in module.named_modules()}
        for name, companion in module.companions.items():
            path = self._directory / companion_file(name)
            self._save(path, self._companions[name], state, names[companion])
        self._save(self._directory / BEST, self._network, state, names[module.measured_network])

    def _save(
        self, path: Path, settings: Mapping[str, Any], state: Mapping[str, Any], network: str
    ) -> None:
        start = f"{network}."
        weights = {k.removeprefix(start): v.cpu() for k, v in state.items() if k.startswith(start)}
        kept = {**self._facts, "network": dict(settings), "weights": weights, **self.best}
        write_checkpoint(path, kept)


def is_time_over(trainer: pl.Trainer) -> bool:
    """Whether `trainer.max_time` has passed."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    left = [c.time_remaining() for c in callbacks if isinstance(c, Timer)]
    return any(seconds is not None and seconds <= 0 for seconds in left)


def _is_last_batch(trainer: pl.Trainer) -> bool:
    return trainer.fit_loop.epoch_loop.batch_progress.is_last_batch


class StageProgressBar(RichProgressBar):
    """A progress bar that names the stage; a narrow terminal gets what fits into one line."""

    def __init__(self) -> None:
        super().__init__(leave=False)
        self.stage = ""
        self._narrow = get_console().width < ROOMY  # the one that Lightning prints to

    def configure_columns(self, trainer: pl.Trainer) -> list[ProgressColumn]:
        """Choose the columns: without the speed, with a short bar where there is little room."""
        columns = super().configure_columns(trainer)
        if not self._narrow:
            return columns
        for column in columns:
            if isinstance(column, BarColumn):
                column.bar_width = 6
        return [column for column in columns if not isinstance(column, ProcessingSpeedColumn)]

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """Choose the figures: the validation PSNR alone where there is little room."""
        metrics: dict[str, Any] = super().get_metrics(trainer, pl_module)
        if not self._narrow:
            return metrics
        return {name: value for name, value in metrics.items() if name == "val/psnr"}

    def description(self, current_epoch: int, max_epochs: int | None) -> str:
        """Name the stage and the epoch, which is counted from 0."""
        epoch = "" if self._narrow else "epoch "
        return f"{self.stage}: {epoch}{current_epoch + 1}/{max_epochs}"

    def _get_train_description(self, current_epoch: int) -> str:
        return self.description(current_epoch, self.trainer.max_epochs)


class Pictures(Callback):
    """Shows input, reconstruction, target and error map of some selection slices in the logger."""

    def __init__(self, count: int, every_epochs: int) -> None:
        """Say how many and how often.

        Args:
            count: selection slices shown, evenly spaced.
            every_epochs: epochs between two pictures; the last epoch always has one.
        """
        self._count, self._every = count, every_epochs

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log a picture of each slice, four panes wide, the error map five times as bright."""
        epoch = trainer.current_epoch + 1
        due = epoch % self._every == 0 or epoch == trainer.max_epochs
        if not due or trainer.sanity_checking or not trainer.is_global_zero:
            return
        if isinstance(trainer.strategy, FSDPStrategy):  # no process has the whole network here
            return
        datamodule = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(datamodule, MRIDataModule)
        dataset = datamodule.dataset("selection")
        count = min(self._count, len(dataset))
        chosen = [(2 * number + 1) * len(dataset) // (2 * count) for number in range(count)]
        assert isinstance(pl_module, TrainingMethod)
        for index in chosen:
            batch = datamodule.task(collate([dataset[index]]).to(pl_module.device))
            # The network itself, not the module: on several devices only this process is here.
            with torch.no_grad():
                output = pl_module.measured_network(*batch.inputs)
            zero_filled, shown = (seen(image, batch) for image in (batch.image, output))
            target = truth(batch)
            panes = torch.cat((zero_filled, shown, target, 5 * (shown - target).abs()), dim=-1)
            pane = (panes[0] / batch.data_range).nan_to_num().clamp(0, 1).cpu()
            _show(trainer, f"slice_{index}", pane)


def _show(trainer: pl.Trainer, name: str, pane: torch.Tensor) -> None:
    """Hand a picture (1, H, W) in [0, 1] to every logger that takes pictures."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(name, pane, trainer.current_epoch + 1)
        elif isinstance(logger, WandbLogger):
            logger.log_image(name, [pane.numpy()[0]], step=trainer.global_step)


def announce(title: str, best: Mapping[str, Any], seconds: float) -> None:
    """Print one line about a stage that has ended."""
    psnr, ssim = (f"{best['metrics'][f'val/{m}']:{FORMATS[m].spec}}" for m in ("psnr", "ssim"))
    console().print(
        f"[bold]{title}[/]: best epoch {best['epoch']}, validation PSNR {psnr} dB, SSIM {ssim} "
        f"({seconds:.0f} s)",
        highlight=False,
    )

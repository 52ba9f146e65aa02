"""What every training method shares: a network, its optimiser, and measures on selection slices."""

import math
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, distributed, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from kdmri.data.batch import Batch
from kdmri.errors import DivergedError
from kdmri.hardware import eager_on_cpu
from kdmri.metrics import MAIN_METRICS
from kdmri.metrics.volumes import VolumeMetrics
from kdmri.models import CascadedNetwork, Tap
from kdmri.physics import seen, truth
from kdmri.training.by_slice import mean_loss
from kdmri.training.captured import Capture, Function
from kdmri.training.image_loss import ImageLoss

MakeOptimizer = Callable[[Iterable[nn.Parameter]], Optimizer]
MakeScheduler = Callable[[Optimizer], LRScheduler]


class TrainingMethod(pl.LightningModule):
    """Trains `network`; a subclass writes `loss`.

    Logs `train/*` from the steps, `val/l1` (mean absolute error, each slice weighted alike) and
    `val/psnr`, `val/ssim`, `val/nmse` (means over volumes) from the selection slices.

    Attributes:
        capture: replays from CUDA graphs what `run` is given; None runs it as it is.
    """

    capture: Capture | None = None

    def __init__(
        self,
        network: CascadedNetwork,
        optimizer: MakeOptimizer,
        scheduler: MakeScheduler | None = None,
        scheduler_every: float = 1,
        weight_averaging: float | None = None,
        skip_nonfinite: int = 0,
        intermediate_supervision: float = 0.0,
        image_loss: ImageLoss | None = None,
    ) -> None:
        """Take the parts.

        Args:
            network: called as `network(image, kspace, mask)`.
            optimizer: makes the optimiser from parameters.
            scheduler: makes the learning-rate schedule from the optimiser; None keeps the rate.
            scheduler_every: epochs between two steps of the schedule; 2 stretches it to twice its
                length, and so does 1.5.
            weight_averaging: decay of an exponential moving average of the weights, which is then
                what is measured and kept of `network` (its companions are kept as they are); None
                measures and keeps the weights themselves.
            skip_nonfinite: steps in a row that are skipped where the loss is NaN or infinite,
                before training stops; 0 stops at once.
            intermediate_supervision: weight of the mean distance between target and the outputs of
                all cascades but the last, wherever the target is learnt from.
            image_loss: distance of two images in every term that compares some; None is L1.
        """
        super().__init__()
        self.network = network
        self._make_optimizer, self._make_scheduler = optimizer, scheduler
        self._scheduler_every = scheduler_every
        self.val_metrics = VolumeMetrics()
        self._skip_nonfinite, self._skipped_in_a_row, self._skipped_steps = skip_nonfinite, 0, 0
        self._skip = False
        self._supervision, self.image_loss = intermediate_supervision, image_loss or ImageLoss()
        self.output_taps = network.output_taps if intermediate_supervision else ()
        self._weight_averaging = weight_averaging
        self._averages = nn.ModuleDict()
        self.average("network")

    def average(self, name: str) -> None:
        """Follow the average of a module's weights over the steps, where that is wanted."""
        module: nn.Module = getattr(self, name)
        if self._weight_averaging is not None and any(True for _ in module.parameters()):
            update = get_ema_multi_avg_fn(self._weight_averaging)
            averaged = AveragedModel(module, multi_avg_fn=update)
            self._averages[name] = averaged.requires_grad_(False)

    def measured(self, name: str) -> nn.Module:
        """Return what is measured of a module: its average over the steps, or itself."""
        if name not in self._averages:
            return getattr(self, name)
        averaged = self._averages[name].module
        assert isinstance(averaged, nn.Module)
        return averaged

    @property
    def measured_network(self) -> CascadedNetwork:
        """The network that is measured and kept: `network`, or its average over the steps."""
        network = self.measured("network")
        assert isinstance(network, CascadedNetwork)
        return network

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Take the step's weights into their average, before anything is saved."""
        super().optimizer_step(*args, **kwargs)
        for name, averaged in self._averages.items():
            assert isinstance(averaged, AveragedModel)
            averaged.update_parameters(getattr(self, name))

    @property
    def companions(self) -> dict[str, CascadedNetwork]:
        """Networks trained beside `network` that other stages may start from, by name."""
        return {}

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """Return what a training step minimises: a scalar, the mean over the batch's items."""

    @property
    def by_slice(self) -> bool:
        """Whether the loss is the mean of what each item gives by itself."""
        return True

    def step_loss(self, batch: Batch) -> Tensor:
        """Return the loss; of several coils on a CPU its gradients are taken slice by slice.

        A CPU's caches hold little more than a slice of several coils, and memory not many. Items
        that only pad a batch are left in the whole that they were drawn in.
        """
        items, coils = batch.kspace.shape[:2]
        several = min(items, coils) > 1 and batch.counts is None
        if not (several and self.by_slice and eager_on_cpu(batch.image)):
            return self.loss(batch)
        return mean_loss(self.loss, [p for p in self.parameters() if p.requires_grad], batch)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss, weighted so that the mean over processes is the mean over all items."""
        loss = self.step_loss(batch)
        self._skip |= self._unusable(loss, batch)
        if self.trainer.world_size == 1:
            return loss
        items = batch.items
        total = self.trainer.strategy.reduce(items.clone(), reduce_op="sum")
        return loss * items * self.trainer.world_size / total

    def _unusable(self, loss: Tensor, batch: Batch) -> bool:
        """See whether the loss of any process is NaN or infinite; the item is read at each step.

        Raises:
            DivergedError: it is, and such steps are not to be skipped.
        """
        bad = bool(~torch.isfinite(loss.detach()))
        if self.trainer.world_size > 1:
            bad = self.trainer.strategy.reduce_boolean_decision(bad, all=False)
        if not bad:
            self._skipped_in_a_row = 0
            return False
        self._skipped_in_a_row += 1
        if self._skipped_in_a_row > self._skip_nonfinite:
            counts = slice(None) if batch.counts is None else batch.counts
            volumes, slices = (numbers[counts].tolist() for numbers in (batch.volume, batch.slice))
            raise DivergedError(self.global_step + 1, list(zip(volumes, slices, strict=True)))
        self._skipped_steps += 1
        return True

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Leave weights and moments alone where the loss of a batch of the step was not finite."""
        if self._skip:
            optimizer.zero_grad(set_to_none=True)
        self._skip = False

    def on_train_epoch_end(self) -> None:
        """Log how many steps were skipped so far, where skipping is allowed."""
        if self._skip_nonfinite:
            self.log("train/skipped_steps", float(self._skipped_steps))

    def supervised(self, output: Tensor, behind: Sequence[Tensor], batch: Batch) -> Tensor:
        """Compare with the batch's targets: the output, and where wanted cascades before it.

        Args:
            output: of the network.
            behind: what `output_taps` gave.
            batch: whose target is the fully sampled image.
        """
        loss = self.image_loss(output, batch.target, batch)
        if behind:
            within = [self.image_loss(image, batch.target, batch) for image in behind]
            loss = loss + self._supervision * torch.stack(within).mean()
        return loss

    def run(self, function: Function, settings: Hashable, batch: Batch) -> Sequence[Tensor]:
        """Run a part of a training step, as a CUDA graph where that is chosen.

        Args:
            function: of image, k-space, mask and, for several coils, sensitivities, with all else
                as `Capture` wants it.
            settings: what it depends on besides.
            batch: whose inputs it gets.
        """
        inputs = [given for given in batch.inputs if given is not None]
        if self.capture is None:
            return function(*inputs)
        return self.capture(function, settings, inputs)

    def observe(
        self, batch: Batch, taps: tuple[Tap, ...], to_its_end: bool = True
    ) -> tuple[Tensor | None, list[Tensor]]:
        """Run the network in a training step, once; see `CascadedNetwork.observe`."""

        def observed(*inputs: Tensor) -> list[Tensor]:
            output, found = self.network.observe(*inputs, taps=taps, to_its_end=to_its_end)
            return found if output is None else [output, *found]

        values = list(self.run(observed, (taps, to_its_end), batch))
        return (values[0], values[1:]) if to_its_end else (None, values)

    def forward(self, batch: Batch) -> Tensor:
        """Reconstruct a batch: float32 (B, C, H, W)."""
        return self.network(*batch.inputs)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure a batch of selection slices."""
        self.measure(self.measured_network(*batch.inputs), batch)

    def measure(self, output: Tensor, batch: Batch) -> None:
        """Compare the magnitude of a reconstruction (B, C, H, W) with the truth."""
        self.val_metrics.update(
            prediction=seen(output, batch),
            target=truth(batch),
            data_range=batch.data_range,
            volume=batch.volume,
            slice=batch.slice,
            counts=batch.counts,
        )

    def on_validation_epoch_end(self) -> None:
        """Log the measures over all selection slices of all processes."""
        table = self.val_metrics.table()
        self.val_metrics.reset()
        self.log("val/l1", table.mean_absolute_error())
        for metric in MAIN_METRICS:
            self.log(f"val/{metric}", table.mean(metric), prog_bar=metric == "psnr")

    def configure_optimizers(self) -> Any:
        """Optimise the parameters that are not frozen."""
        parameters = [p for p in self.parameters() if p.requires_grad]
        optimizer = self._make_optimizer(parameters)
        if self._make_scheduler is None:
            return optimizer
        schedule = {
            "scheduler": self._make_scheduler(optimizer),
            "interval": "epoch",
        }
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Move the schedule on, after the epochs where it is due."""
        before, now = (
            math.floor(epochs / self._scheduler_every + 1e-9)
            for epochs in (self.current_epoch, self.current_epoch + 1)
        )
        for _ in range(now - before):
            super().lr_scheduler_step(scheduler, metric)

    def log_loss(self, name: str, value: Tensor, batch: Batch, progress: bool = False) -> None:
        """Log a loss, averaged over the epoch and all processes with each slice weighted alike."""
        processes = distributed.get_world_size() if distributed.is_initialized() else 1
        self.log(
            name,
            value,
            on_step=False,
            on_epoch=True,
            prog_bar=progress,
            # Lightning adds values up over processes, but takes the mean of their numbers of items.
            batch_size=batch.counted() * processes,
            sync_dist=True,
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the state of the random generator, which Lightning leaves out."""
        checkpoint["torch_rng_state"] = torch.get_rng_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the random numbers where the run was cut off."""
        torch.set_rng_state(checkpoint["torch_rng_state"])

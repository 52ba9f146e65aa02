"""Ends a training when its first step is done; loads nothing that a training does not."""

import os
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback


class EndAfterFirstStep(Callback):
    """Ends the process when one step is done."""

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        """Leave without tidying up, which is not what is measured."""
        os._exit(0)

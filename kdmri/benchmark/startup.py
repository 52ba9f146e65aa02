"""How long `train.py` takes to its first training step."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from kdmri.errors import KdmriError

ROOT = Path(__file__).parents[2]


class EndAfterFirstStep(Callback):
    """Ends the process when one step is done."""

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        """Leave without tidying up, which is not what is measured."""
        os._exit(0)


def seconds_to_first_step(folder: Path) -> float:
    """Start `train.py experiment=demo stage=student` in a folder; returns wall seconds.

    Raises:
        KdmriError: it failed.
    """
    command = [
        *(sys.executable, str(ROOT / "train.py"), "experiment=demo", "stage=student"),
        f"paths.datasets={folder / 'datasets'}",
        f"paths.experiments={folder / 'experiments'}",
        "callbacks.progress=null",
        "+callbacks.end._target_=kdmri.benchmark.startup.EndAfterFirstStep",
        "overwrite=true",
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise KdmriError(f"train.py failed: {done.stderr.strip()}")
    return time.perf_counter() - began

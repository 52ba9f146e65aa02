"""Loggers of Lightning, made fit for a training that goes on."""

import csv
import warnings
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.logger import rank_zero_experiment


class GrowingCSVLogger(CSVLogger):
    """Adds to the `metrics.csv` that is there, which Lightning's own would begin anew."""

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """What writes the file, made when it is first needed."""
        if self._experiment is not None:
            return self._experiment
        path = Path(self.log_dir) / "metrics.csv"
        kept = path.read_text() if path.is_file() else ""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*exists and is not empty.*")
            writer = super().experiment
        if kept:
            path.write_text(kept)
            writer.metrics_keys = next(csv.reader(kept.splitlines()))
        return writer

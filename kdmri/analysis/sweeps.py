"""What is shown at the end of a sweep, of all that its jobs measured."""

import time
from abc import abstractmethod
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from kdmri.launch.tasks import find_tasks


class SweepSummary(Callback):
    """Knows when a sweep began, and shows what was measured since, in the task that leads.

    Attributes:
        root: directory of the experiments.
        began: when the sweep began, in seconds since the epoch; what it measures is written later.
    """

    def __init__(self, experiments: str) -> None:
        """Take the directory of the experiments."""
        self.root, self.began = Path(experiments), 0.0

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Remember when the sweep began."""
        self.began = time.time()

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Show what the jobs measured."""
        if find_tasks().leads and self.root.is_dir():
            self.show()

    @abstractmethod
    def show(self) -> None:
        """Print and write the tables, where any job ended well."""

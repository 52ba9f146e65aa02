"""A stage on disk: what it needs and leaves, whether it is done, and with which settings."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig

from kdmri.config import identity
from kdmri.errors import CheckpointError, StageConflictError
from kdmri.training.callbacks import LAST

RECORD = "stage.json"
ROLES = ("teacher", "start")
"""What a stage can need others for: to learn from, and to begin with."""


@dataclass(frozen=True)
class Stage:
    """One stage of one experiment.

    Attributes:
        name: such as "kd".
        config: the configuration that it is trained under.
        network: which mounted architecture it trains, "teacher" or "student".
        directory: where it leaves what it makes.
        experiment: flat settings that make it another experiment.
        circumstances: flat settings that must be the same to go on or to be reused.
        shipped: both as they are shipped: what a directory of an earlier version, which knew fewer
            settings, was trained with.
        needs: checkpoints of other stages that it reads, by role.
    """

    name: str
    config: DictConfig
    network: str
    directory: Path
    experiment: dict[str, Any]
    circumstances: dict[str, Any]
    shipped: dict[str, Any]
    needs: dict[str, "Need"]

    @property
    def definition(self) -> DictConfig:
        """What the configuration says of it."""
        return self.config.stage.plan[self.name]

    @property
    def checkpoint(self) -> Path:
        """The best weights."""
        return self.directory / identity.BEST

    @property
    def record(self) -> dict[str, Any]:
        """What the directory says of itself; empty where the stage was never begun.

        Raises:
            CheckpointError: the record is damaged.
        """
        path = self.directory / RECORD
        try:
            return json.loads(path.read_text()) if path.is_file() else {}
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{path}: unreadable ({error}); train again with overwrite=true"
            ) from error

    @property
    def finished(self) -> bool:
        """Whether its best weights can be used."""
        return bool(self.record.get("finished")) and self.checkpoint.is_file()

    @property
    def minutes(self) -> float:
        """Wall time of its training with that of the stages that its network went through."""
        before = (n.stage for n in self.needs.values() if n.stage.network == self.network)
        return self.record.get("seconds", 0.0) / 60 + sum(stage.minutes for stage in before)

    @property
    def teacher_minutes(self) -> float:
        """Wall time of the training of the network that it learns from; 0 without one."""
        teacher = self.needs.get("teacher")
        return teacher.stage.minutes if teacher else 0.0

    @property
    def device(self) -> str:
        """What it was trained on; "" where its record does not say."""
        return str(self.record.get("device", ""))

    def check(self) -> None:
        """Compare the directory with the configuration.

        Raises:
            StageConflictError: it holds a stage that was trained with other settings.
        """
        record = self.record
        if not record:
            if (self.directory / LAST).exists() or self.checkpoint.exists():
                raise StageConflictError(
                    f"{self.directory}: holds checkpoints that this program did not record; choose "
                    "another name=... or replace them with overwrite=true"
                )
            return
        if self.differences:
            raise StageConflictError(
                f"{self.directory}: the stage there was trained with other settings: "
                f"{'; '.join(self.differences)}. Choose another name=..., or overwrite=true to "
                "replace it"
            )

    @property
    def differences(self) -> list[str]:
        """What its directory was trained with and the configuration has otherwise, in words."""
        record, wanted = self.record, {**self.experiment, **self.circumstances}
        unsaid = {key: value for key, value in self.shipped.items() if key in wanted}
        found = {**unsaid, **record["experiment"], **record["circumstances"]}
        return identity.differences(found, wanted)

    def check_data(self) -> None:
        """Compare what measuring it depends on: all but how long and how the stage was trained.

        Raises:
            StageConflictError: it was trained on other data or with another mask.
        """
        kept = ("dataset.", identity.MASK_DIGEST)
        differing = [words for words in self.differences if words.startswith(kept)]
        if differing:
            raise StageConflictError(
                f"{self.directory}: was trained on other data: {'; '.join(differing)}. Give the "
                "same settings, or train it again"
            )

    def check_needs(self) -> None:
        """Compare the checkpoints it learned from with those that are there now.

        Raises:
            StageConflictError: one was trained again since, or is another.
        """
        stored = self.record.get("needs")
        if stored is None:
            return
        unasked = [role for role in stored if role not in self.needs]
        if unasked:
            raise StageConflictError(
                f"{self.directory}: learnt from a {unasked[0]}, which this stage now does without; "
                "choose another name=..., or overwrite=true to replace it"
            )
        for role, need in self.needs.items():
            if stored.get(role) != identity.file_digest(need.checkpoint):
                raise StageConflictError(
                    f"{self.directory}: learnt from another {role} than {need.checkpoint}; train "
                    f"this stage again as well: stage.run=[{self.name}] overwrite=true"
                )


class Need(NamedTuple):
    """A checkpoint that a stage reads.

    Attributes:
        stage: which leaves it.
        checkpoint: the file.
    """

    stage: Stage
    checkpoint: Path

"""Which command of a user a process belongs to, over its sweep and the turns a cluster gives it."""

import os
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

COMMAND = "KDMRI_COMMAND"


@dataclass(frozen=True)
class Command:
    """A command of a user.

    Attributes:
        number: drawn once for the command and all processes that it starts.
        job: of the cluster that runs it, None elsewhere; keeps its number when queued again.
    """

    number: str
    job: str | None

    @classmethod
    def this(cls) -> "Command":
        """The command of this process, whose children inherit it."""
        number = os.environ.setdefault(COMMAND, uuid.uuid4().hex)
        return cls(number, os.environ.get("SLURM_JOB_ID"))

    def is_same(self, earlier: "Command") -> bool:
        """Whether this is that command, or the same job after it was queued again."""
        again = int(os.environ.get("SLURM_RESTART_COUNT", "0")) > 0
        return self.number == earlier.number or (
            again and self.job is not None and self.job == earlier.job
        )


def may_be_queued_again() -> bool:
    """Whether submitit runs this command and takes a signal to end it and start it again."""
    return "SUBMITIT_EXECUTOR" in os.environ


def command_line(name: str) -> list[str]:
    """Return the words that start this command again, as the user wrote them.

    Args:
        name: of the command, such as "train".
    """
    script, package = Path(sys.argv[0]), Path(__file__).parents[1]
    of_clone = script.name == f"{name}.py" and script.resolve().parent != package
    return [*(["python", sys.argv[0]] if of_clone else ["kdmri", name]), *sys.argv[1:]]

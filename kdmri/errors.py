"""Errors that a user can mend: each names the place (file, key) and the way out."""


class KdmriError(Exception):
    """Base of all errors that an entry point prints as one line, without a traceback."""


class ConfigurationError(KdmriError):
    """A configuration value that cannot be used; says key, value and what is allowed."""


class DataError(KdmriError):
    """A data file or directory that cannot be used; says which file, which key and why."""


class CheckpointError(KdmriError):
    """A checkpoint that is missing, damaged or of another network."""


class StoppedError(KdmriError):
    """Work that its user ended, as by Ctrl-C; what was saved stays, and nothing else is begun."""


class DivergedError(ArithmeticError):
    """Training whose loss is NaN or infinite.

    Attributes:
        step: number of the optimiser step, from 1.
        slices: volume and slice of each item of the batch, as indices.
    """

    def __init__(self, step: int, slices: list[tuple[int, int]]) -> None:
        super().__init__(f"step {step}: the loss is not finite")
        self.step, self.slices = step, slices


class StageConflictError(KdmriError):
    """A stage directory that holds the result of another configuration."""

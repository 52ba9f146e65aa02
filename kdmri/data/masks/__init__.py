"""Cartesian masks by published rules from a seed, or read from a file as they are.

Every mask is a uint8 array (H, W) of 0 and 1 with the zero frequency at index (0, 0). Of lines,
whole ones are measured: along axis 0 a line is a row, along axis 1 a column.
"""

from dataclasses import replace
from pathlib import Path

from kdmri.data.masks.drawn import Drawn, Seed
from kdmri.data.masks.equispaced import EquispacedLines, OffsetLines, RegularLines
from kdmri.data.masks.file import MaskFile, check_mask
from kdmri.data.masks.lines import GaussianLines, UniformLines
from kdmri.data.masks.poisson import PoissonDisc
from kdmri.data.masks.varied import VariedLines
from kdmri.errors import ConfigurationError

__all__ = [
    "Drawn",
    "DrawnLines",
    "EquispacedLines",
    "GaussianLines",
    "MaskFile",
    "MaskRule",
    "OffsetLines",
    "PoissonDisc",
    "RegularLines",
    "Seed",
    "UniformLines",
    "VariedLines",
    "check_mask",
    "choose",
    "denser",
    "mask_path",
]

DrawnLines = (
    GaussianLines
    | UniformLines
    | EquispacedLines
    | RegularLines
    | OffsetLines
    | PoissonDisc
    | VariedLines
)
"""All rules; checkpoints may name these, and no others."""
MaskRule = DrawnLines | MaskFile


def mask_path(folder: str | Path, acceleration: str) -> Path:
    """Return where the original project keeps the mask of an acceleration, such as "4x"."""
    return Path(folder) / f"mask_{acceleration}.npy"


def choose(rule: MaskRule, folder: str | Path, acceleration: str, file: str | None) -> MaskRule:
    """Choose between a mask file and a rule.

    Args:
        rule: the rule of the data set.
        folder: where the mask file of the original project would lie, see `mask_path`; it is used
            when it is there.
        acceleration: its name, such as "4x".
        file: a mask file that the user named; it has to exist.

    Raises:
        ConfigurationError: `file` does not exist.
    """
    if file is not None:
        if not Path(file).is_file():
            raise ConfigurationError(f"task.mask_file={file}: there is no such file")
        return MaskFile(Path(file), option="task.mask_file")
    published = mask_path(folder, acceleration)
    return MaskFile(published) if published.is_file() else rule


def denser(rule: DrawnLines, acceleration: float | None) -> DrawnLines | None:
    """Return a rule at another acceleration, whose lines are measured besides; None for none."""
    return None if acceleration is None else replace(rule, acceleration=acceleration)

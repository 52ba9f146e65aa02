"""A checkpoint as all that a command has to know about a network."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdmri.data.companions import Estimate
from kdmri.data.masks import MaskFile
from kdmri.errors import CheckpointError, ConfigurationError
from kdmri.models import CascadedNetwork
from kdmri.models.shipped import checkpoint_path
from kdmri.models.stored import FORMAT, read_checkpoint, rebuild_network
from kdmri.physics import CartesianUndersampling, CentralKspace, DataConsistency, Task
from kdmri.physics.stored import build_estimate, build_task


@dataclass(frozen=True)
class Trained:
    """A trained network with its task.

    Attributes:
        path: the checkpoint.
        network: on the CPU, in evaluation mode.
        task: makes its input from a fully sampled slice.
        facts: what else the checkpoint tells, plain values; see `kdmri.training.facts`.
        mask_given: whether the user named the mask.
        estimate: estimates the sensitivities of coils, where it was trained on several; else None.
    """

    path: Path
    network: CascadedNetwork
    task: Task
    facts: dict[str, Any] = field(default_factory=dict)
    mask_given: bool = False
    estimate: Estimate | None = None

    @property
    def channels(self) -> int:
        """Channels of its images: 1 (magnitude) or 2 (complex)."""
        return self.network.channels

    @property
    def is_consistent(self) -> bool:
        """Whether the network uses k-space."""
        return any(isinstance(module, DataConsistency) for module in self.network.modules())

    @property
    def parameters(self) -> int:
        """Number of its weights."""
        return sum(p.numel() for p in self.network.parameters())

    def label(self) -> str:
        """Name it for a table, such as "kd, mni, DCCNN"."""
        data = self.facts.get("data")
        description = (
            self.facts.get("stage"),
            data.get("name") if isinstance(data, dict) else None,
        )
        return ", ".join(
            [*(t for t in description if isinstance(t, str) and t), type(self.network).__name__]
        )


def open_checkpoint(
    path: str | Path | None, mask: str | None = None, scale: float | None = None
) -> Trained:
    """Open a `best_model.pt`; nothing in it is run.

    Args:
        path: the file, or a network of the package, see `kdmri.models.shipped`.
        mask: a `.npy` mask (H, W) that goes before the checkpoint's own.
        scale: of super-resolution, for checkpoints of format 1, which do not tell.

    Raises:
        ConfigurationError: `path` is missing, `mask` or `scale` is for another task.
        CheckpointError: the file is no checkpoint, of a later version, or does not tell its task.
    """
    if path is None:
        raise ConfigurationError(
            "checkpoint: name the weights, checkpoint=experiments/.../best_model.pt, or take those "
            "that come with kdmri, checkpoint=shipped"
        )
    path = checkpoint_path(path)
    facts = read_checkpoint(path)
    version = facts.get("format", 1)
    if not isinstance(version, int) or version > FORMAT:
        raise CheckpointError(
            f"{path}: is a checkpoint of format {version}, this kdmri knows up to {FORMAT}; "
            "update it"
        )
    task, rule = None, None
    if mask is not None:
        if not Path(mask).is_file():
            raise ConfigurationError(f"mask={mask}: there is no such file")
        rule = MaskFile(Path(mask), option="mask")
    if "task" in facts:
        told_task = facts["task"]
        sampling = told_task.get("sampling") if isinstance(told_task, dict) else None
        if not isinstance(sampling, dict):
            raise CheckpointError(f"{path}: is damaged, its task does not say how it samples")
        resolution = str(sampling.get("_target_")).endswith(CentralKspace.__name__)
        if rule is None or resolution:
            task = build_task(sampling)
    elif scale is not None:
        if isinstance(scale, bool) or not isinstance(scale, int | float) or scale < 1:
            raise ConfigurationError(f"sr_scale={scale}: must be a number, at least 1")
        task = CentralKspace(scale)
    if isinstance(task, CentralKspace) and rule is not None:
        raise ConfigurationError(f"mask={mask}: {path} is of super-resolution, which has no mask")
    if rule is not None:
        task = CartesianUndersampling(rule)
    if task is None:
        raise CheckpointError(
            f"{path}: is of format 1, which does not tell how its input was sampled; give the "
            "mask (mask=FILE.npy) or, for super-resolution, its scale (sr_scale=4), or train it "
            "again"
        )
    network = rebuild_network(path, facts)
    network.eval()
    description = {k: v for k, v in facts.items() if k not in ("weights", "network")}
    description["network"] = facts["network"]
    return Trained(path, network, task, description, mask is not None, _estimate(path, facts))


def _estimate(path: Path, facts: dict[str, Any]) -> Estimate | None:
    settings = facts.get("sensitivities")
    if settings is None:
        return None
    if not isinstance(settings, dict):
        raise CheckpointError(f"{path}: is damaged, its sensitivities are no settings")
    return build_estimate(settings)

"""A classical reconstruction whose regularisation was chosen on slices that are not measured."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kdmri.classical.method import ClassicalMethod
from kdmri.data.batch import Batch
from kdmri.physics import seen, truth


@dataclass(frozen=True)
class Chosen:
    """A method and the weight that it is used with.

    Attributes:
        method: the reconstruction.
        weight: of its regularisation.
    """

    method: ClassicalMethod
    weight: float

    @property
    def label(self) -> str:
        """Its name in tables, whatever the weight."""
        return self.method.label

    @property
    def description(self) -> str:
        """Name and weight, and whether a weight beyond those that were tried might be better."""
        ends = {min(self.method.weights): "smallest", max(self.method.weights): "largest"}
        end = f" (the {ends[self.weight]} tried)" if self.weight in ends else ""
        return f"{self.label} {self.weight:g}{end}"

    def __call__(self, batch: Batch) -> Tensor:
        """Reconstruct a batch: float32 (B, 2, H, W)."""
        return self.method(batch, self.weight)


def choose(method: ClassicalMethod, batches: Sequence[Batch]) -> Chosen:
    """Choose the weight that gives the highest PSNR, mean over slices.

    Args:
        method: to choose for.
        batches: of selection slices, at least one.
    """
    losses = {weight: _loss(method, batches, weight) for weight in method.weights}
    return Chosen(method, min(losses, key=losses.__getitem__))


def _loss(method: ClassicalMethod, batches: Sequence[Batch], weight: float) -> float:
    """Mean logarithm of the error relative to the data range, over slices."""
    logs = []
    for batch in batches:
        error = seen(method(batch, weight), batch) - truth(batch)
        relative = error.square().mean(dim=(1, 2, 3)) / batch.data_range**2
        logs.append(relative.clamp_min(torch.finfo(relative.dtype).tiny).log())
    return float(torch.cat(logs).mean())

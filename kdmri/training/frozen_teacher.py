"""A teacher that does not change: what it makes of a slice is computed once and kept."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from kdmri.data.batch import Batch
from kdmri.models import CascadedNetwork, Tap
from kdmri.physics import Task

Size = tuple[int, int]
Condense = Callable[[Sequence[Tensor], Sequence[Size]], Sequence[Tensor]]
Key = tuple[str, int, int, int]


class TeacherOutput(NamedTuple):
    """What a teacher shows of a batch.

    Attributes:
        output: its reconstruction, (B, C, H, W); None where nobody learns from it.
        activations: tapped, each (B, channels, H', W'), as a loss condensed them.
    """

    output: Tensor | None
    activations: list[Tensor]


class FrozenTeacher:
    """Runs a teacher without gradient, and keeps what it made of inputs that come again.

    That is exact: an input comes again where split, volume, slice and variant (see `Batch`) are
    the same. What does not fit into `cache_bytes` is computed anew each time; what lies behind the
    last tap is not computed where nobody learns from the output.
    """

    def __init__(
        self,
        network: CascadedNetwork,
        taps: Sequence[Tap],
        with_output: bool,
        condense: Condense,
        cache_bytes: int,
        task: Task | None = None,
    ) -> None:
        """Freeze the network.

        Args:
            network: the teacher.
            taps: activations that are learnt from, at most those that it has.
            with_output: whether its reconstruction is learnt from.
            condense: makes what is kept of the activations, given the sizes (H, W) of the
                student's; see `DistillationLoss.condense`.
            cache_bytes: what may be kept, on the device of the teacher.
            task: reveals what it sees of a batch; None: it sees what the student sees.
        """
        self.network = network.eval().requires_grad_(False)
        self._taps, self._with_output, self._condense = taps, with_output, condense
        self._free_bytes, self._task = cache_bytes, task
        self._kept: dict[Key, tuple[Tensor, ...]] = {}

    @torch.no_grad()
    def __call__(self, batch: Batch, split: str, sizes: Sequence[Size]) -> TeacherOutput:
        """Show what the teacher makes of a batch.

        Args:
            batch: a batch of one split.
            split: its name; volumes are numbered within it.
            sizes: (H, W) of each of the student's activations.
        """
        if batch.variant is None:
            return self._as_output(self._values(batch, split, sizes))
        numbers = torch.stack((batch.volume, batch.slice, batch.variant), dim=1).tolist()
        keys: list[Key] = [(split, *number) for number in numbers]
        found = {key: self._kept[key] for key in keys if key in self._kept}
        missing = [number for number, key in enumerate(keys) if key not in found]
        if missing:
            part = batch if len(missing) == len(keys) else batch.select(missing)
            values = self._values(part, split, sizes)
            for row, number in enumerate(missing):
                found[keys[number]] = tuple(value[row] for value in values)
                self._keep(keys[number], found[keys[number]])
            if part is batch:
                return self._as_output(values)
        rows = (found[key] for key in keys)
        return self._as_output([torch.stack(items) for items in zip(*rows, strict=True)])

    @property
    def kept_bytes(self) -> int:
        """Memory of what is kept, at most `cache_bytes`."""
        kept = (value for values in self._kept.values() for value in values)
        return sum(value.untyped_storage().nbytes() for value in kept)

    def _values(self, batch: Batch, split: str, sizes: Sequence[Size]) -> list[Tensor]:
        """Run the network: its output, where that is wanted, then the condensed activations."""
        seen = batch if self._task is None else self._task.revealed(batch, split == "train")
        output, activations = self.network.observe(
            *seen.inputs, taps=self._taps, to_its_end=self._with_output
        )
        condensed = self._condense(activations, sizes)
        return [*condensed] if output is None else [output, *condensed]

    def _as_output(self, values: list[Tensor]) -> TeacherOutput:
        return (
            TeacherOutput(values[0], values[1:])
            if self._with_output
            else TeacherOutput(None, values)
        )

    def _keep(self, key: Key, values: tuple[Tensor, ...]) -> None:
        needed = sum(value.nbytes for value in values)
        if needed <= self._free_bytes:
            self._free_bytes -= needed
            self._kept[key] = tuple(value.clone() for value in values)  # not the whole batch

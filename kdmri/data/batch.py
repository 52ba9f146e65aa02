"""What walks through the program: one slice as a data set gives it, and a batch for a network."""

from typing import NamedTuple

import torch
from torch import Tensor


class Slice(NamedTuple):
    """A fully sampled slice; collated, each field gains a leading batch axis.

    Attributes:
        target: float32 (C, H, W); C = 1: magnitude, C = 2: real and imaginary part.
        kspace: stored measurement, complex64 (coils, H, W), orthonormal with the zero frequency at
            the corner; None where the data set stores none and it is simulated from the target.
        data_range: largest magnitude of the volume that the slice belongs to, float32 ().
        volume: index of the volume within its split, int64 ().
        slice: index of the slice within its volume, int64 ().
        variant: which of its random changes the slice went through, int64 (), 0 for none; None
            where it may never come again.
        counts: whether the item counts, bool (); False for a padding item, which a process gets
            so that all make equally many steps (see `kdmri.data.sampler`). None: it does.
    """

    target: Tensor
    kspace: Tensor | None
    data_range: Tensor
    volume: Tensor
    slice: Tensor
    variant: Tensor | None = None
    counts: Tensor | None = None

    def to(self, device: torch.device) -> "Slice":
        """Copy to a device."""
        moved = (None if field is None else field.to(device) for field in self)
        return Slice(*moved)  # type: ignore[arg-type]


class Batch(NamedTuple):
    """What a network is trained on and measured by.

    Attributes:
        image: the network's input, float32 (B, C, H, W).
        kspace: measured samples, complex64 (B, coils, H, W), zero where not measured.
        mask: float32 (1 or B, 1, H, W), 1 where measured.
        target: float32 (B, C, H, W).
        data_range: largest magnitude of each item's volume, float32 (B,).
        volume: index of each item's volume, int64 (B,).
        slice: index of each item's slice within its volume, int64 (B,).
        variant: which of the random changes of augmentation and task each item went through, int64
            (B,): the same volume, slice and variant have the same input. None where an input may
            never come again.
        counts: whether each item counts, bool (B,); padding items do not, see `Slice`. None: all.
    """

    image: Tensor
    kspace: Tensor
    mask: Tensor
    target: Tensor
    data_range: Tensor
    volume: Tensor
    slice: Tensor
    variant: Tensor | None = None
    counts: Tensor | None = None

    def select(self, items: list[int]) -> "Batch":
        """Take some items; a mask that all items share stays."""
        count = len(self.volume)
        taken = (f if f is None or len(f) < count else f[items] for f in self)
        return Batch(*taken)  # type: ignore[arg-type]

    def counted(self) -> int:
        """Return the number of the items that count; where all do, no device is asked."""
        return len(self.volume) if self.counts is None else int(self.counts.sum())

    @property
    def items(self) -> Tensor:
        """Number of the items that count, float32 ()."""
        if self.counts is None:
            return torch.tensor(float(len(self.volume)), device=self.volume.device)
        return self.counts.sum().float()

    def sliced(self) -> Slice:
        """Return the fully sampled slices that it was made from, for another task."""
        shared = {name: getattr(self, name) for name in Slice._fields if name != "kspace"}
        return Slice(kspace=None, **shared)


def collate(slices: list[Slice] | Slice) -> Slice:
    """Stack slices of one size along a new leading axis; collated ones stay as they are."""
    if isinstance(slices, Slice):
        return slices
    kspaces = [item.kspace for item in slices if item.kspace is not None]
    variants = [item.variant for item in slices if item.variant is not None]
    counts = [item.counts for item in slices if item.counts is not None]
    return Slice(
        target=torch.stack([item.target for item in slices]),
        kspace=torch.stack(kspaces) if kspaces else None,
        data_range=torch.stack([item.data_range for item in slices]),
        volume=torch.stack([item.volume for item in slices]),
        slice=torch.stack([item.slice for item in slices]),
        variant=torch.stack(variants) if variants else None,
        counts=torch.stack(counts) if counts else None,
    )

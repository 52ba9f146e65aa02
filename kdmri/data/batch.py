"""What walks through the program: one slice as a data set gives it, and a batch for a network."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from kdmri.data.cropping import Window

Items = list[int] | slice
"""Of a batch: copied by their numbers, or as they lie."""


class Slice(NamedTuple):
    """A fully sampled slice; collated, each field gains a leading batch axis.

    Attributes:
        target: float32 (C, H, W); C = 1: magnitude, C = 2: real and imaginary part.
        kspace: stored measurement, complex64 (coils, H, W), orthonormal with the zero frequency at
            the corner; None where the data set stores none and it is simulated from the target. Of
            one coil it is undersampled, of several it is all that the scanner acquired.
        data_range: largest magnitude of the volume that the slice belongs to, float32 ().
        volume: index of the volume within its split, int64 ().
        slice: index of the slice within its volume, int64 ().
        variant: which of its random changes the slice went through, int64 (), 0 for none; None
            where it may never come again.
        counts: whether the item counts, bool (); False for a padding item, which a process gets
            so that all make equally many steps (see `kdmri.data.sampler`). None: it does.
        coils: what else belongs to k-space of several coils; None of one.
    """

    target: Tensor
    kspace: Tensor | None
    data_range: Tensor
    volume: Tensor
    slice: Tensor
    variant: Tensor | None = None
    counts: Tensor | None = None
    coils: "Coils | None" = None

    def to(self, device: torch.device, non_blocking: bool = False) -> "Slice":
        """Copy to a device."""
        moved: dict[str, Any] = {
            name: field if field is None else field.to(device, non_blocking=non_blocking)
            for name, field in self._asdict().items()
        }
        return Slice(**moved)


class Coils(NamedTuple):
    """What belongs to k-space of several coils; collated, each tensor gains a leading batch axis.

    Attributes:
        sensitivities: complex64 (coils, H, W), of unit norm over the coils where there is signal.
        acquired: 1 where the scanner measured, else 0, float32 (1, H, W), zero frequency at the
            corner; lines that only pad the matrix count nowhere.
        name: characters of the volume's name, int64 (N,), -1 behind its end; masks that differ from
            volume to volume are drawn by it, so that they do not depend on any order.
        shown: window of the image that is shown and measured, the same for all items.
        full: of a batch, whose own k-space is undersampled: all that was acquired, complex64
            (coils, H, W); None of a slice, whose own k-space it is.
        image: magnitude that is measured against, float32 (1, h, w), as it is shown; None where
            that is the magnitude of the target.
    """

    sensitivities: Tensor
    acquired: Tensor
    name: Tensor
    shown: Window
    full: Tensor | None = None
    image: Tensor | None = None

    def to(self, device: torch.device, non_blocking: bool = False) -> "Coils":
        """Copy to a device; the name, which seeds the CPU's generators, stays where it is."""
        moved: dict[str, Any] = {
            key: None if value is None else value.to(device, non_blocking=non_blocking)
            for key, value in self._asdict().items()
            if key in ("sensitivities", "acquired", "full", "image")
        }
        return self._replace(**moved)

    def select(self, items: Items) -> "Coils":
        """Take some items of a collated one."""
        return Coils(
            self.sensitivities[items],
            self.acquired[items],
            self.name[items],
            self.shown,
            None if self.full is None else self.full[items],
            None if self.image is None else self.image[items],
        )


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
        coils: what else belongs to k-space of several coils; None of one.
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
    coils: Coils | None = None

    @property
    def inputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """What a network is called with: image, k-space, mask and sensitivities."""
        sensitivities = None if self.coils is None else self.coils.sensitivities
        return self.image, self.kspace, self.mask, sensitivities

    def parts(self) -> "list[Batch]":
        """Split it as networks are to take it that learn nothing: slice by slice, or not at all.

        On a CPU, slices of several coils take no longer one by one, and the memory of one.
        """
        count = len(self.volume)
        if self.kspace.shape[1] == 1 or self.kspace.device.type != "cpu":
            return [self]
        return [self.select(slice(item, item + 1)) for item in range(count)]

    def shown(self, image: Tensor) -> Tensor:
        """Crop an image (B, C, H, W) to what is shown and measured of it."""
        return image if self.coils is None else self.coils.shown.of(image)

    def select(self, items: Items) -> "Batch":
        """Take some items; a mask that all items share stays."""
        count = len(self.volume)
        taken: dict[str, Any] = {
            name: field if field is None or len(field) < count else field[items]
            for name, field in self._asdict().items()
            if name != "coils"
        }
        return Batch(**taken, coils=None if self.coils is None else self.coils.select(items))

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
        return Slice(kspace=None if self.coils is None else self.coils.full, **shared)


def collate(slices: list[Slice] | Slice) -> Slice:
    """Stack slices of one size along a new leading axis; collated ones stay as they are."""
    if isinstance(slices, Slice):
        return slices
    kspaces = [item.kspace for item in slices if item.kspace is not None]
    variants = [item.variant for item in slices if item.variant is not None]
    counts = [item.counts for item in slices if item.counts is not None]
    coils = [item.coils for item in slices if item.coils is not None]
    return Slice(
        target=torch.stack([item.target for item in slices]),
        kspace=torch.stack(kspaces) if kspaces else None,
        data_range=torch.stack([item.data_range for item in slices]),
        volume=torch.stack([item.volume for item in slices]),
        slice=torch.stack([item.slice for item in slices]),
        variant=torch.stack(variants) if variants else None,
        counts=torch.stack(counts) if counts else None,
        coils=_collated(coils) if coils else None,
    )


def _collated(items: list[Coils]) -> Coils:
    images = [item.image for item in items if item.image is not None]
    return Coils(
        torch.stack([item.sensitivities for item in items]),
        torch.stack([item.acquired for item in items]),
        torch.stack([item.name for item in items]),
        items[0].shown,
        image=torch.stack(images) if images else None,
    )

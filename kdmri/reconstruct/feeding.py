"""From a volume's slices to batches for a network, at the network's scale and size."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor

from kdmri.data.batch import Batch, Slice
from kdmri.data.companions import centre_scale
from kdmri.data.cropping import fit_centre_tensor
from kdmri.data.mask_convention import looks_shifted
from kdmri.data.readers.base import SourceSlice, SourceVolume
from kdmri.data.readers.slices import checked
from kdmri.data.scans import a_mask_file, check_readout
from kdmri.data.task import Scan
from kdmri.errors import DataError
from kdmri.models.trained import Trained
from kdmri.physics import CartesianUndersampling, CentralKspace, ifft2, magnitude, to_channels
from kdmri.physics.espirit import calibration_size
from kdmri.reconstruct.survey import DENSE, Survey, measured_kspace

Size = tuple[int, int]

IN_RANGE = 1 + 1e-3
"""Volumes of the h5 layout up to this magnitude are taken as they are."""

REAL = 0.1
"""Largest asymmetry of the k-space of an image that counts as real."""

COMBINED = "; coils were combined before, to the root sum of squares of their images"

SMALLEST = 7
"""Pixels that the window of SSIM covers."""


@dataclass(frozen=True)
class Feed:
    """A volume as a network takes it.

    Attributes:
        volume: where it comes from.
        survey: what it is.
        trained: the network and its task.
        scale: what its values are divided by.
        padded: (H, W) that slices are padded to around their centre; None leaves them.
        index: of the volume, for metrics.
    """

    volume: SourceVolume
    survey: Survey
    trained: Trained
    scale: float
    padded: Size | None = None
    index: int = 0

    @property
    def has_target(self) -> bool:
        """Whether its images are fully sampled."""
        return self.survey.has_target

    @property
    def count(self) -> int:
        """Number of slices."""
        return self.survey.count

    @property
    def is_trial(self) -> bool:
        """Whether the input is made from fully sampled slices."""
        used = self.trained.task.takes_stored_kspace or not self.survey.has_target
        return self.survey.mask is None or not used

    @property
    def size(self) -> Size:
        """Size (H, W) of reconstructed slices as they are shown."""
        return self.volume.shown or self.survey.size

    @property
    def _window(self) -> tuple[slice, slice]:
        """Rows and columns of measured slices that are shown; all of fully sampled ones."""
        if self.survey.has_target:
            return slice(None), slice(None)
        return self.volume.window(self.survey.size)

    @property
    def data_range(self) -> float:
        """Largest magnitude at the network's scale."""
        return self.survey.largest / self.scale

    def notes(self, raw: bool) -> list[str]:
        """Say in sentences how the network's input comes about, and what else is to be known.

        Args:
            raw: whether the reader combined images of coils before.
        """
        note = self._described() + (COMBINED if raw and not self.survey.is_complex else "")
        if self.survey.nan:
            note += f"; NaN, {self.survey.nan:.1%} of the values, is 0 (format.nan=zero)"
        return [note, *self.survey.notes]

    def doubts(self) -> list[str]:
        """Say in sentences what a pass over the batches gave reason to doubt: nothing, so far."""
        return []

    def _described(self) -> str:
        if self.is_trial:
            both = self.survey.is_complex and self.trained.channels == 1
            sampled = self.trained.task.describe(self.padded or self.survey.size)
            return (
                f"a trial: {'magnitudes of ' if both else ''}fully sampled slices are undersampled "
                f"here ({sampled})"
            )
        mask = self.mask()
        origin = "given" if self.trained.mask_given else "detected"
        return (
            f"undersampled k-space as it is, mask {origin}: {int(mask.sum()):,} of "
            f"{mask.numel():,} samples ({mask.numel() / mask.sum():.2f}x)"
        )

    def mask(self) -> Tensor:
        """Return what was measured, float32 (1, 1, H, W); the user's mask where there is one."""
        task = self.trained.task
        if self.trained.mask_given and isinstance(task, CartesianUndersampling):
            return task.mask(self.survey.size)
        return torch.from_numpy(np.asarray(self.survey.mask, np.float32))[None, None]

    def batches(self, size: int, device: torch.device) -> Iterator[Batch]:
        """Read the volume once more, `size` slices at a time.

        Yields:
            Batches on the device. `target` is (B, C, H, W) as the network gives it, and means
            nothing where the survey has no target.
        """
        numbered = enumerate(checked(self.volume))
        while chunk := list(islice(numbered, size)):
            numbers = torch.tensor([number for number, _ in chunk], device=device)
            items = [item for _, item in chunk]
            read = [item.image for item in items]
            if self.survey.has_target:
                read = [image[self.volume.window(image.shape)] for image in read]
            images = torch.stack([self._channels(image) for image in read]).to(device)
            if self.padded is not None:
                images = fit_centre_tensor(images, self.padded)
            slices = Slice(
                target=images,
                kspace=None,
                data_range=torch.full((len(items),), self.data_range, device=device),
                volume=torch.full((len(items),), self.index, device=device),
                slice=numbers,
            )
            if self.is_trial:
                yield self.trained.task(slices)
            else:
                yield self._measured(slices, items)

    def shown(self, images: Tensor) -> Tensor:
        """Undo the padding of images (B, C, H, W) and cut them to what is shown."""
        return fit_centre_tensor(images, self.survey.size)[(..., *self._window)]

    def compared(self, images: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return magnitudes of images (B, C, H, W) and of the target, as they are shown."""
        return magnitude(self.shown(images)), magnitude(self.shown(batch.target))

    def _channels(self, image: np.ndarray) -> Tensor:
        """Scale an image (H, W) to float32 (C, H, W), in the way that training data is prepared."""
        if self.trained.channels == 2:
            parts = [image.real, np.imag(image)]
        else:
            parts = [np.abs(image) if np.iscomplexobj(image) else np.maximum(image, 0)]
        return torch.from_numpy(np.stack(parts).astype(np.float32) / np.float32(self.scale))

    def _measured(self, slices: Slice, items: list[SourceSlice]) -> Batch:
        task, device = self.trained.task, slices.target.device
        mask = self.mask().to(device)
        stored = np.stack([np.asarray(measured_kspace(item)) for item in items])
        kspace = mask * torch.from_numpy(stored / np.float32(self.scale))[:, None].to(device)
        window = task.filters(self.survey.size, device)[1] if _is_central(task) else 1
        image = ifft2(window * kspace)
        channels = self.trained.channels
        seen = image.abs() if channels == 1 else to_channels(image, channels)
        return task.batch(slices, seen, kspace, mask)


def feed(
    volume: SourceVolume, survey: Survey, trained: Trained, padded: Size | None, index: int
) -> Feed:
    """Scale a volume as the volumes of the training were, and check that the network can take it.

    Args:
        volume: to read.
        survey: of the volume.
        trained: the network and its task.
        padded: as for `Feed`.
        index: as for `Feed`.

    Raises:
        DataError: it cannot; says why and what to do.
    """
    in_range = volume.scaled and survey.largest <= IN_RANGE
    found = Feed(volume, survey, trained, 1.0 if in_range else survey.largest, padded, index)
    file, size = volume.files[0], survey.size
    if min(size) < SMALLEST:
        raise DataError(f"{file}: slices of {size} are too small; at least {SMALLEST} pixels wide")
    if padded is not None and any(n < m for n, m in zip(padded, size, strict=True)):
        raise DataError(f"{file}: slices of {size} are larger than image_size={list(padded)}")
    if found.is_trial:
        trained.task.describe(padded or size)  # draws the mask, which may be of another size
        if survey.is_complex and trained.channels == 2:
            scan = Scan(torch.ones(1, *(padded or size)), (), volume.readout)
            check_readout(trained.task, scan, file, a_mask_file(volume.readout))
        return _of_several_coils(found)
    if padded is not None:
        raise DataError(f"{file}: image_size cannot be applied to undersampled k-space")
    mask, known = found.mask().numpy()[0, 0], np.asarray(survey.mask)
    if mask[0, 0] == 0:
        raise DataError(
            f"{file}: the zero frequency of its k-space, index (0, 0), is not measured; is it "
            "shifted?"
        )
    if looks_shifted(mask):
        raise DataError(
            f"{file}: its k-space is measured most densely around the middle, but the zero "
            "frequency belongs at index (0, 0); it has to be shifted with numpy.fft.ifftshift"
        )
    if (mask > known).sum() > (1 - DENSE) * mask.sum():
        raise DataError(
            f"{file}: mask={trained.task.describe(size)} names samples that are zero in this file"
        )
    if _is_central(trained.task):
        wanted = trained.task.filters(size)[0].numpy()[0, 0]
        if (mask != wanted).any():
            raise DataError(
                f"{file}: its k-space is not the centre that this network was trained for "
                f"({trained.task.describe(size)})"
            )
    if trained.channels == 1 and trained.is_consistent and survey.asymmetry > REAL:
        raise DataError(
            f"{file}: its measured k-space is that of an image with phase (asymmetry "
            f"{survey.asymmetry:.2f}, 0 is a real image); a network for magnitude images cannot be "
            "consistent with it: use one that was trained with dataset.channels=2"
        )
    return _of_several_coils(found)


def _of_several_coils(one: Feed) -> Feed:
    """Scale a volume of one coil as those of several were, where the network was trained on them.

    Raises:
        DataError: it has no signal at its centre.
    """
    estimate = one.trained.estimate
    if estimate is None:
        return one
    known = one.trained.task.centre_of(one.padded or one.survey.size)
    if not one.is_trial:
        known = calibration_size(one.mask()[0, 0])
    unscaled, centre = replace(one, scale=1.0), estimate.used(known)
    batches = unscaled.batches(1, torch.device("cpu"))
    scale = max(centre_scale(batch.kspace, centre) for batch in batches)
    if not scale > 0:
        raise DataError(f"{one.volume.files[0]}: its k-space has no signal at its centre")
    return replace(one, scale=scale)


def _is_central(task: object) -> TypeGuard[CentralKspace]:
    return isinstance(task, CentralKspace)

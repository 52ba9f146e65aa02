"""From a volume of several coils to batches for a network, with sensitivities, at its scale."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kdmri.data.batch import Batch, Coils, Slice
from kdmri.data.coils import OF_COILS, square
from kdmri.data.companions import Estimate, centre_scale
from kdmri.data.cropping import Window
from kdmri.data.readers.base import SourceVolume
from kdmri.data.sampling_pattern import by_chance
from kdmri.data.scans import TRUTHS, a_mask_file, check_readout
from kdmri.data.task import Scan
from kdmri.errors import DataError
from kdmri.models.trained import Trained
from kdmri.physics import CartesianUndersampling, ifft2, seen, to_channels, truth
from kdmri.physics.coils import combine
from kdmri.physics.espirit import calibration_size
from kdmri.reconstruct.coil_chunks import Chunk, chunks
from kdmri.reconstruct.coil_survey import CoilSurvey, survey_coils
from kdmri.reconstruct.doubts import doubts

Size = tuple[int, int]

KEPT_BYTES = 2**30
"""Sensitivities of a volume are estimated once if they need no more than this."""


@dataclass(frozen=True)
class CoilFeed:
    """A volume of several coils as a network takes it; see `kdmri.reconstruct.feeding.Feed`.

    Attributes:
        volume: where it comes from.
        survey: what it is.
        trained: the network and its task.
        estimate: of sensitivities that the file does not have.
        centre: (h, w) of the fully sampled centre that they are found from.
        scale: what its values are divided by, the largest root sum of squares of the images that
            the centre alone gives.
        largest: largest magnitude of what is measured against, in the file's units; 0 where
            slices are undersampled.
        index: of the volume, for metrics.
    """

    volume: SourceVolume
    survey: CoilSurvey
    trained: Trained
    estimate: Estimate
    centre: Size
    scale: float = 1.0
    largest: float = 0.0
    index: int = 0
    _kept: dict[int, Tensor] = field(default_factory=dict, repr=False)
    _only: Chunk | None = field(default=None, repr=False)
    _doubts: list[str] = field(default_factory=list, repr=False)

    @property
    def has_target(self) -> bool:
        """Whether the input is made from fully sampled slices."""
        return self.survey.is_full

    @property
    def size(self) -> Size:
        """Size (H, W) of reconstructed slices as they are shown."""
        return self.survey.shown

    @property
    def count(self) -> int:
        """Number of slices."""
        return self.survey.count

    def notes(self, raw: bool) -> list[str]:
        """Say in sentences how the network's input comes about, and what else is to be known."""
        return [self._described(), *self.survey.notes]

    def doubts(self) -> list[str]:
        """Say in sentences what a pass over the batches gave reason to doubt."""
        return self._doubts

    def _look(self, chunk: Chunk, sensitivities: Tensor) -> None:
        """Doubt sensitivities that do not explain the middle slice of the volume."""
        index = self.survey.count // 2 - chunk.first
        if 0 <= index < len(chunk.kspace):
            one = slice(index, index + 1)
            self._doubts[:] = doubts(
                chunk.reference[one], chunk.mask[one], self.centre, sensitivities[one]
            )

    def _described(self) -> str:
        height, width = self.centre
        origin = (
            "sensitivities of the file"
            if self.survey.has_sensitivities
            else f"sensitivities estimated from {height}x{width} samples ({self.estimate})"
        )
        coils = f"coils: {self.survey.coils}, {origin}"
        if self.survey.is_full:
            sampling = self.trained.task.describe(self.survey.size, [self._scan])
            return (
                f"a trial: fully sampled slices are undersampled here ({sampling}); {coils}; "
                f"compared with {TRUTHS[OF_COILS if self._measured_by_coils else '']}"
            )
        mask, grid = self._given_mask(), self.survey.acquired
        told = "detected" if mask is None else "given"
        samples = self.survey.samples if mask is None else int((grid * mask).sum())
        return (
            f"undersampled k-space as it is, mask {told}: {samples:,} of {grid.size:,} samples "
            f"({grid.size / samples:.2f}x); {coils}"
        )

    def batches(self, size: int, device: torch.device) -> Iterator[Batch]:
        """Read the volume once more, `size` slices at a time.

        Yields:
            Batches on the device. `target` is (B, 2, H, W), and means nothing where the volume is
            undersampled.
        """
        for chunk in self._chunks(size, device):
            sensitivities, channels = self._sensitivities(chunk), self.trained.channels
            self._look(chunk, sensitivities)
            if self.survey.is_full:
                target = to_channels(combine(ifft2(chunk.kspace), sensitivities), channels)
                scaled = chunk.kspace / self.scale, target / self.scale
                yield self.trained.task(self._slices(chunk, sensitivities, *scaled))
                continue
            kspace = chunk.kspace / self.scale
            image = to_channels(combine(ifft2(kspace), sensitivities), channels)
            slices = self._slices(chunk, sensitivities, kspace, image)
            yield self.trained.task.batch(slices, image, kspace, chunk.mask)

    def shown(self, images: Tensor) -> Tensor:
        """Cut images (B, C, H, W) to what is shown."""
        return self._window.of(images)

    def compared(self, images: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return magnitudes of images (B, C, H, W) and of what they are measured against."""
        return seen(images, batch), truth(batch)

    @property
    def _window(self) -> Window:
        cut = Window.of_fastmri if self.volume.fastmri_crop else Window.centred
        return cut(self.survey.size, self.survey.shown)

    @property
    def _scan(self) -> Scan:
        acquired = torch.from_numpy(self.survey.acquired.astype(np.float32))[None]
        name = tuple(map(ord, self.volume.files[0].name))
        return Scan(acquired, name, self.volume.readout)

    @property
    def _measured_by_coils(self) -> bool:
        """Whether it is measured against the root sum of squares of all coils."""
        return self.volume.fastmri_crop and self.survey.is_full

    @property
    def _measured_window(self) -> Window:
        """What of the images is measured."""
        if not self._measured_by_coils:
            return self._window
        inner, outer = square(self.size), self._window
        return Window(outer.top + inner.top, outer.left + inner.left, *inner.size)

    def _truth(self, chunk: Chunk, combined: Tensor) -> Tensor:
        """Return what slices are measured against, float32 (B, 1, h, w), in the file's units."""
        if chunk.combined is None:
            return self._window.of(combined.abs())
        return square(self.size).of(chunk.combined)

    def measured(self, size: int, device: torch.device) -> "CoilFeed":
        """Find scale and largest magnitude, from a pass over all slices, `size` at a time."""
        scale = largest = 0.0
        only = None
        for chunk in self._chunks(size, device):
            only = chunk if self.survey.count <= size else None
            scale = max(scale, centre_scale(chunk.reference, self.centre))
            if self.survey.is_full:
                images = combine(ifft2(chunk.kspace), self._sensitivities(chunk))
                largest = max(largest, float(self._truth(chunk, images).max()))
        if not scale > 0 or (self.survey.is_full and not largest > 0):
            raise DataError(f"{self.volume.files[0]}: its k-space has no signal at its centre")
        return replace(self, scale=scale, largest=largest, _only=only)

    def _slices(self, chunk: Chunk, sensitivities: Tensor, kspace: Tensor, target: Tensor) -> Slice:
        device, count = chunk.kspace.device, len(chunk.kspace)
        scan = self._scan
        acquired, name = scan.acquired.to(device), torch.tensor(scan.name)
        return Slice(
            target=target,
            kspace=kspace,
            data_range=torch.full((count,), self.largest / self.scale, device=device),
            volume=torch.full((count,), self.index, device=device),
            slice=torch.arange(chunk.first, chunk.first + count, device=device),
            coils=Coils(
                sensitivities,
                acquired.expand(count, 1, *self.survey.size),
                name.expand(count, -1),
                self._measured_window,
                image=None
                if chunk.combined is None
                else square(self.size).of(chunk.combined) / self.scale,
            ),
        )

    def _sensitivities(self, chunk: Chunk) -> Tensor:
        """Return sensitivities, complex64 (B, coils, H, W): the file's, or estimated once."""
        if chunk.stored is not None:
            return chunk.stored
        numbers = range(chunk.first, chunk.first + len(chunk.kspace))
        if not all(number in self._kept for number in numbers):
            found = estimated(chunk.reference, self.centre, self.estimate, self.volume.files[0])
            if self.survey.count * 8 * int(np.prod(found.shape[1:])) > KEPT_BYTES:
                return found
            self._kept.update(zip(numbers, found.cpu(), strict=True))
        return torch.stack([self._kept[number] for number in numbers]).to(chunk.kspace.device)

    def _chunks(self, size: int, device: torch.device) -> Iterator[Chunk]:
        """Read the volume; one of few slices is kept from the pass before."""
        if self._only is not None and self.survey.count <= size:
            return iter((self._only,))
        shown = self._window if self._measured_by_coils else None
        return chunks(self.volume, size, device, self._given_mask(), shown)

    def _given_mask(self) -> np.ndarray | None:
        """Return the user's mask of undersampled k-space, uint8 (H, W), if there is one."""
        task = self.trained.task
        if self.survey.is_full or not self.trained.mask_given:
            return None
        assert isinstance(task, CartesianUndersampling)
        return task.mask(self.survey.size)[0, 0].numpy().astype(np.uint8)


def feed_coils(
    volume: SourceVolume,
    trained: Trained,
    estimate: Estimate,
    padded: Size | None,
    index: int,
    batch_size: int = 1,
    device: torch.device | str = "cpu",
) -> CoilFeed | None:
    """Survey a volume of several coils, find its scale as in training, and check it.

    Args:
        volume: to read.
        trained: the network and its task.
        estimate: of sensitivities.
        padded: refused: k-space is taken as it was acquired.
        index: of the volume, for metrics.
        batch_size: slices whose sensitivities are estimated together.
        device: where they are.

    Returns:
        None where its slices have no k-space of several coils.

    Raises:
        DataError: the network cannot take it; says why and what to do.
    """
    file = volume.files[0]
    found = survey_coils(volume)
    if found is None:
        return None
    if padded is not None:
        raise DataError(f"{file}: image_size cannot be applied to k-space of several coils")
    if found.is_full:
        centre = trained.task.centre_of(found.size)
    else:
        centre = calibration_size(torch.from_numpy(found.reference))
    one = CoilFeed(volume, found, trained, estimate, estimate.used(centre), index=index)
    if found.is_full:
        check_readout(trained.task, one._scan, file, a_mask_file(volume.readout))
    given = one._given_mask()
    if given is not None and not by_chance(given > found.acquired, int(given.sum())):
        raise DataError(
            f"{file}: mask={trained.task.describe(found.size)} names samples that are zero in this "
            "file"
        )
    return one.measured(batch_size, torch.device(device))


def estimated(kspace: Tensor, centre: Size, estimate: Estimate, file: Path) -> Tensor:
    """Estimate sensitivities.

    Raises:
        DataError: the fully sampled centre is too small.
    """
    try:
        return estimate(kspace, centre)
    except ValueError as error:
        raise DataError(
            f"{file}: {error}; it needs fully sampled lines "
            "around the zero frequency (calibration lines), or sensitivities in the file"
        ) from error

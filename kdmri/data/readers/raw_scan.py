"""Acquisitions of one ISMRMRD measurement, from a file or as they arrive, and their slices."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from kdmri.data.readers import raw_flags
from kdmri.data.readers.base import SourceSlice
from kdmri.data.readers.coil_slices import Wanted
from kdmri.data.readers.naming import UNREADABLE
from kdmri.data.readers.raw_doubts import doubts
from kdmri.data.readers.raw_geometry import DIRECTIONS, Stack, slice_heads, slice_order, stack
from kdmri.data.readers.raw_header import Encoding, voxel_size
from kdmri.data.readers.raw_lines import Readout, transformed
from kdmri.data.readers.raw_noise import Noise, read_noise
from kdmri.data.readers.raw_planes import along_both, plane_slices
from kdmri.data.readers.raw_slabs import (
    fill_like,
    image_size,
    joined,
    read_slab,
    shown_samples,
    slab_slices,
)

READOUT = 1
"""Axis of the images that the scanner reads out along."""


class Place(NamedTuple):
    """Where an image lies.

    Attributes:
        head: of the first line of its slice or slab.
        number: of the image, counted over all slices or slabs by their counter.
        offset: mm along the slice direction from the position in `head`; 0 for a slice.
        axes: of the encoding, 0 to 2 for x to z, that the columns and the rows of the image count
            along, and that it lies across.
    """

    head: np.void
    number: int
    offset: float
    axes: tuple[int, int, int] = (0, 1, 2)


@dataclass(frozen=True)
class RawScan:
    """Acquisitions and the encoding that they fill; k-space is read only when slices are.

    Attributes:
        heads: of all acquisitions, a structured array of ISMRMRD's acquisition headers.
        read: gives the acquisitions at some places (N,), as `head` and `data` (float32 or complex64
            samples).
        encoding: of the scan.
        readouts: gives the same acquisitions transformed along the readout, where they are already.
    """

    heads: np.ndarray
    read: Callable[[np.ndarray], Iterable[Any]]
    encoding: Encoding
    readouts: Callable[[np.ndarray], Iterable[Readout]] | None = None

    @property
    def shown(self) -> tuple[int, int]:
        """Size (H, W) that images are cropped to."""
        return image_size(self.encoding)

    def noise(self) -> Noise | None:
        """Read the noise acquisitions; None where there are none.

        Raises:
            ValueError: they are of other coils than the scan, or hold NaN or infinite values.
        """
        coils = int(self.heads["active_channels"][self._of_any_image()][0])
        found = np.flatnonzero(raw_flags.flagged(self.heads, raw_flags.NOISE))
        return read_noise(self.read(found), coils)

    def slices(self, chosen: Mapping[str, int], wanted: Wanted) -> Iterator[SourceSlice]:
        """Make the slices of a volume, in the order of their positions.

        Args:
            chosen: values of the counters that the volume is of.
            wanted: of each slice.

        Raises:
            ValueError: there is no image of them, or not the one that is wanted; says why.
        """
        heads, encoding = self.heads, self.encoding
        imaging = self._imaging(chosen)
        several = int(heads["active_channels"][imaging][0]) > 1
        gives_coils = several and (wanted.coils or wanted.undersampled)
        noise = self.noise() if several else None
        dwell = float(heads["sample_time_us"][imaging][0])
        whitening = None if noise is None else noise.at(dwell, encoding.noise_bandwidth)
        partitions = raw_flags.has_partitions(heads[imaging])
        calibrating = imaging & False
        if gives_coils:
            calibrating = raw_flags.calibration(heads, chosen, imaging)
        both = imaging & raw_flags.flagged(heads, raw_flags.BOTH)
        across = wanted.undersampled and self.is_across(chosen)
        for index in slice_order(heads[imaging]):
            here = heads["idx"]["slice"] == index
            whole = gives_coils and not across
            slab = read_slab(self._lines, imaging & here, encoding, partitions, whole)
            alone, shared = (
                fill_like(self._lines, lines & here, encoding, partitions, slab)
                for lines in (calibrating, both if calibrating.any() else calibrating)
            )
            beside = joined(alone, shared)
            if across:
                yield from plane_slices(slab, beside, whitening)
                continue
            yield from slab_slices(slab, beside, encoding, whitening, index, wanted)

    def is_across(self, chosen: Mapping[str, int]) -> bool:
        """Tell whether undersampled slices of a volume lie across the readout (`raw_planes`).

        What is wrong with it otherwise, `slices` tells.
        """
        try:
            lines = self.heads[self._imaging(chosen)]
        except UNREADABLE:
            return False
        return raw_flags.has_partitions(lines) and along_both(lines, self.encoding)

    def places(self, chosen: Mapping[str, int]) -> list[Place]:
        """Tell where the images of `slices` lie, in their order, of a scan as it was measured.

        Raises:
            ValueError: there is no image.
        """
        lines = self.heads[self._imaging(chosen)]
        axes, count = (0, 1, 2), self._images(lines)
        if self.is_across(chosen):
            axes, count = (2, 1, 0), self.shown[1]
        thickness = voxel_size(self.encoding, axes[2]) if count > 1 else 0.0
        step = thickness if np.isfinite(thickness) else 0.0
        return [
            Place(
                _turned(head, axes),
                int(head["idx"]["slice"]) * count + number,
                (number - count // 2) * step,
                axes,
            )
            for head in slice_heads(lines)
            for number in range(count)
        ]

    def doubts(self, chosen: Mapping[str, int]) -> list[str]:
        """Say in sentences what is odd in the lines of a volume; what is wrong, slices tell."""
        try:
            return doubts(self.heads[self._imaging(chosen)], self.encoding)
        except UNREADABLE:
            return []

    def stack(self, chosen: Mapping[str, int], name: str) -> Stack | None:
        """Tell where the images of a volume lie; None where there are none, which slices tell."""
        try:
            lines = self.heads[self._imaging(chosen)]
            return stack(lines, self.encoding, (*self.shown, self._images(lines)), name)
        except UNREADABLE:
            return None

    def _imaging(self, chosen: Mapping[str, int]) -> np.ndarray:
        return raw_flags.imaging(self.heads, chosen, self.encoding.shares_calibration)

    def _of_any_image(self) -> np.ndarray:
        return raw_flags.of_any_image(self.heads, self.encoding.shares_calibration)

    def _images(self, lines: np.ndarray) -> int:
        """Count the images of a slab; 1 for a slice."""
        return shown_samples(self.encoding, 2) if raw_flags.has_partitions(lines) else 1

    def _lines(self, chosen: np.ndarray) -> Iterable[Readout]:
        places = np.flatnonzero(chosen)
        if self.readouts is not None:
            return self.readouts(places)
        return transformed(self.read(places), self.encoding.encoded.matrix[0])


def _turned(head: np.void, axes: tuple[int, int, int]) -> np.void:
    """Return a head whose directions are those of an image's columns, rows and slices."""
    turned = head.copy()
    for name, axis in zip(DIRECTIONS, axes, strict=True):
        turned[name] = head[DIRECTIONS[axis]]
    return turned

"""Slices and slabs of ISMRMRD raw data, from their lines to images of their coils."""

from collections.abc import Iterator
from typing import NamedTuple

import h5py
import numpy as np

from kdmri.data.readers.kspace import centred_ifft
from kdmri.data.readers.raw_header import Encoding
from kdmri.data.readers.raw_lines import Acquired, fill

BLOCK = 256
"""Acquisitions that are read at once."""

ROUNDING = 0.02
"""Headers round fields of view: up to this difference, a matrix of the header is taken as it is."""


class Slab(NamedTuple):
    """A slice or slab before it is transformed along the phase encodings.

    Attributes:
        lines: complex64 (partitions, coils, rows, columns), see `fill`.
        acquired: what of it was acquired.
        shape: (H, W) that images are shown at.
        whole: whether columns are the whole readout, since not all of it was sampled.
    """

    lines: np.ndarray
    acquired: Acquired
    shape: tuple[int, int]
    whole: bool


def read_slab(
    stored: h5py.Dataset, chosen: np.ndarray, encoding: Encoding, partitions: bool, whole: bool
) -> Slab:
    """Read a slice or slab.

    Args:
        stored: acquisitions.
        chosen: those that make it up, bool.
        encoding: of the scan.
        partitions: whether it is a slab (3D).
        whole: keep the whole readout where not all of it was sampled.

    Raises:
        ValueError: a line does not fit into the encoded matrix.
    """
    shape = shown_samples(encoding, 1), shown_samples(encoding, 0)
    places = np.flatnonzero(chosen)
    lines, acquired = fill(records(stored, places), encoding, partitions, shape[1])
    whole = whole and not acquired.columns.all()
    if whole:
        samples = encoding.encoded.matrix[0]
        lines, acquired = fill(records(stored, places), encoding, partitions, samples)
    return Slab(lines, acquired, shape, whole)


def records(stored: h5py.Dataset, places: np.ndarray) -> Iterator[np.void]:
    """Read acquisitions in blocks; one by one, as the package does, takes 300 times as long."""
    for first in range(0, len(places), BLOCK):
        yield from stored[places[first : first + BLOCK]]


def fill_like(
    stored: h5py.Dataset, chosen: np.ndarray, encoding: Encoding, partitions: bool, like: Slab
) -> Slab | None:
    """Read calibration lines on the grid of a slab; None where there are none."""
    if not chosen.any():
        return None
    columns = like.lines.shape[-1]
    lines, acquired = fill(records(stored, np.flatnonzero(chosen)), encoding, partitions, columns)
    return like._replace(lines=lines, acquired=acquired)


def joined(beside: list[Slab | None]) -> Slab:
    """Add the lines of an image that calibrate, too, to those that do nothing else."""
    alone, shared = beside
    assert alone is not None
    if shared is None:
        return alone
    own = alone.acquired.lines
    lines = np.where(own[:, None, :, None], alone.lines, shared.lines)
    columns = alone.acquired.columns & shared.acquired.columns
    acquired = Acquired(own | shared.acquired.lines, columns)
    return alone._replace(lines=lines, acquired=acquired)


def coil_images(slab: Slab, encoding: Encoding) -> Iterator[np.ndarray]:
    """Transform what `fill` gives to coil images (coils, rows, columns), a slice at a time."""
    filled = slab.lines
    slabs, coils, _, _ = filled.shape
    first, count = 0, 1
    if slabs > 1:
        for coil in range(coils):
            filled[:, coil] = centred_ifft(filled[:, coil], (0,))
        count = shown_samples(encoding, 2)
        first = slabs // 2 - count // 2
    for images in filled[first : first + count]:
        yield centred_ifft(images, (-2,))


def mask_of(slab: Slab) -> np.ndarray:
    """Tell what of a slice was measured, bool (rows, columns), zero frequency at index 0."""
    rows = np.fft.ifftshift(slab.acquired.lines.any(axis=0))
    columns = np.ones(slab.lines.shape[-1], bool)
    if slab.whole:
        columns = np.fft.ifftshift(slab.acquired.columns)
    return rows[:, None] & columns


def shown_samples(encoding: Encoding, axis: int) -> int:
    """Return the number of acquired samples within the field of view that is meant to be shown."""
    encoded, recon = encoding.encoded.matrix[axis], encoding.recon.matrix[axis]
    fields = encoding.encoded.field_of_view[axis], encoding.recon.field_of_view[axis]
    covered = encoded * fields[1] / fields[0] if min(fields) > 0 else recon
    rounded = abs(recon - covered) <= ROUNDING * covered
    return min(encoded, recon if rounded else max(1, round(covered)))

"""Slices and slabs of ISMRMRD raw data, from their lines to images of their coils."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import h5py
import numpy as np

from kdmri.data.coils import from_middle
from kdmri.data.readers.base import SourceSlice
from kdmri.data.readers.coil_slices import Wanted
from kdmri.data.readers.kspace import centred_ifft, crop_images, root_sum_of_squares
from kdmri.data.readers.raw_header import Encoding
from kdmri.data.readers.raw_lines import Acquired, Readout, fill
from kdmri.data.sampling_pattern import NO_TARGET, check_target, fault, judge

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


Lines = Callable[[np.ndarray], Iterable[Readout]]
"""Gives the acquisitions that are chosen, bool (acquisitions,)."""


def read_slab(
    lines: Lines, chosen: np.ndarray, encoding: Encoding, partitions: bool, whole: bool
) -> Slab:
    """Read a slice or slab.

    Args:
        lines: acquisitions.
        chosen: those that make it up.
        encoding: of the scan.
        partitions: whether it is a slab (3D).
        whole: keep the whole readout where not all of it was sampled.

    Raises:
        ValueError: a line does not fit into the encoded matrix.
    """
    shape = image_size(encoding)
    filled, acquired = fill(lines(chosen), encoding, partitions, shape[1])
    whole = whole and not acquired.columns.all()
    if whole:
        filled, acquired = fill(lines(chosen), encoding, partitions, encoding.encoded.matrix[0])
    return Slab(filled, acquired, shape, whole)


def records(stored: h5py.Dataset, places: np.ndarray) -> Iterator[np.void]:
    """Read acquisitions in blocks; one by one, as the package does, takes 300 times as long."""
    for first in range(0, len(places), BLOCK):
        yield from stored[places[first : first + BLOCK]]


def fill_like(
    lines: Lines, chosen: np.ndarray, encoding: Encoding, partitions: bool, like: Slab
) -> Slab | None:
    """Read calibration lines on the grid of a slab; None where there are none."""
    if not chosen.any():
        return None
    filled, acquired = fill(lines(chosen), encoding, partitions, like.lines.shape[-1])
    return like._replace(lines=filled, acquired=acquired)


def joined(alone: Slab | None, shared: Slab | None) -> Slab | None:
    """Add the lines of an image that calibrate, too, to those that do nothing else, if any."""
    if alone is None or shared is None:
        return alone
    own = alone.acquired.lines
    lines = np.where(own[:, None, :, None], alone.lines, shared.lines)
    columns = alone.acquired.columns & shared.acquired.columns
    acquired = Acquired(own | shared.acquired.lines, columns)
    return alone._replace(lines=lines, acquired=acquired)


def coil_lines(slab: Slab, encoding: Encoding) -> Iterator[np.ndarray]:
    """Give the slices of what `fill` gives, complex64 (coils, rows, columns).

    They are k-space along the rows and images along the columns.
    """
    filled = slab.lines
    slabs, coils, _, _ = filled.shape
    first, count = 0, 1
    if slabs > 1:
        for coil in range(coils):
            filled[:, coil] = centred_ifft(filled[:, coil], (0,))
        count = shown_samples(encoding, 2)
        first = slabs // 2 - count // 2
    yield from filled[first : first + count]


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


def image_size(encoding: Encoding) -> tuple[int, int]:
    """Return the size (H, W) that images are cropped to."""
    return shown_samples(encoding, 1), shown_samples(encoding, 0)


def slab_slices(
    slab: Slab,
    calibration: Slab | None,
    encoding: Encoding,
    whitening: np.ndarray | None,
    number: int,
    wanted: Wanted,
) -> Iterator[SourceSlice]:
    """Make the images of a slice or slab, and k-space where it is wanted.

    Args:
        slab: what `read_slab` gave.
        calibration: calibration lines on its grid.
        encoding: of the scan.
        whitening: complex64 (coils, coils), or None.
        number: of the slice.
        wanted: of it.

    Raises:
        ValueError: no target can be made of it, unless undersampled k-space is wanted, or no image.
    """
    coils = slab.lines.shape[1]
    rows, note = _judged(slab.acquired, coils, number, wanted.undersampled)
    calibrations = None if calibration is None else coil_lines(calibration, encoding)
    for lines in coil_lines(slab, encoding):
        beside = None if calibrations is None else next(calibrations)
        if coils == 1:
            yield _of_one_coil(centred_ifft(lines, (-2,)), slab, rows, note)
            continue
        if whitening is not None:
            lines = np.tensordot(whitening, lines, 1)
            beside = None if beside is None else np.tensordot(whitening, beside, 1)
        images = centred_ifft(lines, (-2,))
        shown = images if wanted.undersampled else crop_images(images, slab.shape)
        item = SourceSlice(root_sum_of_squares(shown), note=note)
        if not (wanted.coils or wanted.undersampled):
            yield item
            continue
        mask = mask_of(slab)
        yield item._replace(
            kspace_coils=_kspace(lines, mask),
            calibration=None
            if beside is None or calibration is None
            else _kspace(beside, mask_of(calibration)),
            mask=mask.astype(np.uint8) if wanted.undersampled else None,
        )


def _kspace(lines: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Transform what `coil_lines` gives to k-space, zero frequency at the corner.

    Along the rows it is k-space already: each is of its own lines alone, without the rounding of a
    transform there and back.
    """
    kspace = np.fft.fft(lines, norm="ortho").astype(np.complex64, copy=False)
    return np.where(mask, from_middle(kspace, (-2,)), 0)


def _judged(
    acquired: Acquired, coils: int, number: int, undersampled: bool
) -> tuple[np.ndarray | None, str | None]:
    """Judge what was measured of a slice or slab.

    Returns:
        The measured rows, bool, zero frequency at index 0, where they are wanted; and what the
        user should know, None of what is undersampled.
    """
    if not undersampled or coils > 1:
        notes = [judge(plane, number, undersampled, exact=True) for plane in acquired.planes]
        if None in notes:
            acquired.rows()  # or the partitions have several masks
            return None, None
        return None, _joined(notes)
    if all(fault(plane, exact=True) is None for plane in acquired.planes):
        notes = [check_target(plane, number, exact=True) for plane in acquired.planes]
        return acquired.rows(), _joined(notes)
    for plane in acquired.planes:
        if fault(plane, exact=True) not in (None, NO_TARGET):
            check_target(plane, number)
    return acquired.rows(), None


def _joined(notes: Iterable[str | None]) -> str:
    """Say each note once."""
    return "; ".join(dict.fromkeys(filter(None, notes)))


def _of_one_coil(
    images: np.ndarray, slab: Slab, rows: np.ndarray | None, note: str | None
) -> SourceSlice:
    if rows is None:
        return SourceSlice(crop_images(images, slab.shape)[0], note=note)
    mask = np.broadcast_to(rows[:, None], images[0].shape).astype(np.uint8)
    return SourceSlice(images[0], mask=mask, note=note)

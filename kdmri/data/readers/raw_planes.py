"""Slabs that were undersampled along both phase encodings: slices across the readout.

The readout is sampled whole, so it is transformed first. Each of its positions is a slice then,
whose rows are the first phase encoding and whose columns are the second.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from kdmri.data.coils import from_middle
from kdmri.data.readers.base import SourceSlice, SourceVolume
from kdmri.data.readers.kspace import centred_ifft2, root_sum_of_squares
from kdmri.data.readers.raw_header import Encoding
from kdmri.data.readers.raw_lines import place_of
from kdmri.data.readers.raw_slabs import Slab, shown_samples
from kdmri.data.sampling_pattern import NO_TARGET, Measured, fault


def along_both(heads: np.ndarray, encoding: Encoding) -> bool:
    """Tell from the heads of a volume's lines whether both phase encodings are undersampled.

    Several slabs are none: slices across their readouts would not be one behind the other. Nor are
    lines that do not fit into the encoded matrix, which `raw_lines.fill` refuses.
    """
    try:
        lines = _lines(heads, encoding)
    except ValueError:
        return False
    is_aliased = fault(Measured(lines, lines), exact=True) == NO_TARGET
    several_slabs = bool(np.ptp(heads["idx"]["slice"]))
    return is_aliased and not several_slabs and bool((lines != lines[0]).any())


def _lines(heads: np.ndarray, encoding: Encoding) -> np.ndarray:
    """Return which lines there are, bool (partitions, rows), zero frequency in the middle."""
    _, rows, slabs = encoding.encoded.matrix
    lines = np.zeros((slabs, rows), bool)
    for step in heads["idx"]:
        row = place_of(int(step["kspace_encode_step_1"]), encoding.centre[0], rows)
        slab = place_of(int(step["kspace_encode_step_2"]), encoding.centre[1], slabs)
        lines[slab, row] = True
    return lines


def across_readout(volume: SourceVolume, encoding: Encoding) -> SourceVolume:
    """Describe a volume whose slices lie across the readout, of one whose slices lie along it."""
    geometry = volume.geometry
    if geometry is not None:
        # (row, column, slice) are now what (row, slice, column) were.
        geometry = replace(geometry, affine=geometry.affine[:, [0, 2, 1, 3]])
    note = (
        f"{volume.files[0]}: is undersampled along both phase encodings: slices lie across the "
        "readout"
    )
    shown = shown_samples(encoding, 1), shown_samples(encoding, 2)
    return replace(
        volume, geometry=geometry, shown=shown, readout=None, notes=(*volume.notes, note)
    )


def plane_slices(
    slab: Slab, calibration: Slab | None, whitening: np.ndarray | None
) -> Iterator[SourceSlice]:
    """Make the slices of a slab across its readout, as they were measured.

    Args:
        slab: what `read_slab` gave, cropped along the readout to what is shown.
        calibration: calibration lines on its grid.
        whitening: complex64 (coils, coils), or None.
    """
    mask = np.fft.ifftshift(slab.acquired.lines.T).astype(np.uint8)
    known = None if calibration is None else np.fft.ifftshift(calibration.acquired.lines.T)
    for column in range(slab.lines.shape[-1]):
        kspace = _plane(slab, column, whitening)
        images = centred_ifft2(kspace)
        if len(images) == 1:
            yield SourceSlice(images[0], mask=mask)
            continue
        beside = None
        if calibration is not None and known is not None:
            beside = np.where(known, from_middle(_plane(calibration, column, whitening)), 0)
        yield SourceSlice(
            root_sum_of_squares(images),
            kspace_coils=np.where(mask > 0, from_middle(kspace), 0),
            calibration=beside,
            mask=mask,
        )


def _plane(slab: Slab, column: int, whitening: np.ndarray | None) -> np.ndarray:
    """Return k-space of a position along the readout, complex64 (coils, rows, partitions)."""
    lines = np.moveaxis(slab.lines[..., column], 0, -1)
    lines = lines if whitening is None else np.tensordot(whitening, lines, 1)
    return np.ascontiguousarray(lines, np.complex64)

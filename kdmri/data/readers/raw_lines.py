"""Lines of ISMRMRD raw data at their places in k-space."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from kdmri.data.readers.kspace import centred_ifft
from kdmri.data.readers.raw_header import Encoding
from kdmri.data.sampling_pattern import Measured, fault

BLOCK = 64
"""Lines that are transformed at once; one by one takes several times as long."""


@dataclass(frozen=True)
class Acquired:
    """What was acquired of a slice or slab.

    Attributes:
        lines: whether each line was, bool (partitions, rows), zero frequency in the middle.
        columns: whether each sample along the readout was, bool (samples,).
    """

    lines: np.ndarray
    columns: np.ndarray

    @property
    def planes(self) -> list[Measured]:
        """Planes of k-space to judge: of both phase encodings in 3D, then of rows and columns."""
        plane = np.asarray(self.lines.any(axis=0))[:, None] & self.columns
        planes = [self.lines, plane] if len(self.lines) > 1 else [plane]
        return [Measured(samples, samples) for samples in planes]

    def rows(self) -> np.ndarray:
        """Return the measured rows, bool, zero frequency at index 0.

        Raises:
            ValueError: lines between others are missing, and not in all partitions the same.
        """
        aliased = fault(self.planes[0], exact=True) is not None
        if aliased and (self.lines != self.lines[0]).any():
            raise ValueError(
                "its partitions are not all sampled along the same rows; a slab may be "
                "undersampled along both phase encodings where it is the only one of its file, so "
                "keep each of several in a file of its own"
            )
        return np.fft.ifftshift(self.lines.any(axis=0))


class Readout(NamedTuple):
    """A line transformed along the readout, which no other line has a part in.

    Attributes:
        head: of its acquisition.
        columns: complex64 (coils, samples): images along the readout, position zero at
            samples // 2.
        sampled: whether each sample of its k-space was acquired, bool (samples,), zero frequency in
            the middle.
    """

    head: np.void
    columns: np.ndarray
    sampled: np.ndarray


def transformed(records: Iterable[Any], samples: int) -> Iterator[Readout]:
    """Transform lines along the readout; each becomes the same alone and among others.

    Args:
        records: acquisitions with `head` and `data`, of as many coils.
        samples: of the encoded matrix along the readout.

    Raises:
        ValueError: a line does not fit into the encoded matrix.
    """
    remaining = iter(records)
    while block := list(islice(remaining, BLOCK)):
        lines = np.stack([_kspace(record, samples) for record in block])
        columns, sampled = centred_ifft(lines, (-1,)), np.asarray(lines.any(axis=1))
        for record, line, acquired in zip(block, columns, sampled, strict=True):
            yield Readout(record["head"], line, acquired)


def fill(
    readouts: Iterable[Readout], encoding: Encoding, partitions: bool, shown: int
) -> tuple[np.ndarray, Acquired]:
    """Put the lines of a slice or slab at their places; averages are averaged.

    Args:
        readouts: lines, at least one.
        encoding: of the scan.
        partitions: whether it is a slab (3D).
        shown: number of columns that are shown.

    Returns:
        complex64 (partitions, coils, phase encoding, columns): k-space in the first and third axis,
        images along the readout, cropped to what is shown; and what of it was acquired.

    Raises:
        ValueError: a line lies outside the encoded matrix, or lines cover several parts of the
            readout: what some lack would count as measured zeros.
    """
    samples, rows, slabs = encoding.encoded.matrix
    slabs = slabs if partitions else 1
    filled, counts = None, np.zeros((slabs, rows), int)
    covered: tuple[int, int] | None = None
    columns = np.zeros(samples, bool)
    first = samples // 2 - shown // 2
    for head, line, sampled in readouts:
        if filled is None:
            filled = np.zeros((slabs, len(line), rows, shown), np.complex64)
        slab, row = _place(head, encoding, slabs)
        if sampled.any():
            covered = _same_extent(covered, extent(head, samples), samples)
            filled[slab, :, row] += line[:, first : first + shown]
            counts[slab, row] += 1
            columns |= sampled
    assert filled is not None
    if counts.max() > 1:
        filled /= np.maximum(counts, 1).astype(np.float32)[:, None, :, None]
    return filled, Acquired(counts > 0, columns)


def _same_extent(
    first: tuple[int, int] | None, other: tuple[int, int], samples: int
) -> tuple[int, int]:
    if first is not None and other != first:
        raise ValueError(
            f"its lines cover several parts of the readout, samples {first[0]} to {first[1] - 1} "
            f"and {other[0]} to {other[1] - 1} of {samples}, and what some lack would count as "
            "measured zeros; leave out the lines of the other kind, or make a scan of each"
        )
    return other


def _place(head: np.void, encoding: Encoding, slabs: int) -> tuple[int, int]:
    """Return the indices of a line's partition and row."""
    steps, rows = head["idx"], encoding.encoded.matrix[1]
    row = place_of(int(steps["kspace_encode_step_1"]), encoding.centre[0], rows)
    return place_of(int(steps["kspace_encode_step_2"]), encoding.centre[1], slabs), row


def _kspace(record: Any, samples: int) -> np.ndarray:
    """Return k-space of a line (coils, samples) with the zero frequency at samples // 2.

    What an asymmetric echo has not is zero, and what it has beyond the matrix is left out.
    """
    head = record["head"]
    coils, count = int(head["active_channels"]), int(head["number_of_samples"])
    first, last = extent(head, samples)
    offset = samples // 2 - _centre(head)
    data = record["data"].view(np.complex64).reshape(coils, count)
    line = np.zeros((coils, samples), np.complex64)
    if first < last:
        line[:, first:last] = data[:, first - offset : last - offset]
    return line


def extent(head: np.void, samples: int) -> tuple[int, int]:
    """Return which samples of the encoded matrix a line covers: from the first, before the last.

    Raises:
        ValueError: the line does not fit into the matrix.
    """
    count, centre = int(head["number_of_samples"]), _centre(head)
    first, last = int(head["discard_pre"]), count - int(head["discard_post"])
    if last - first > samples:
        raise ValueError(f"a line of {count} samples does not fit into an encoded matrix {samples}")
    if not 0 <= centre < count:
        raise ValueError(f"center_sample {centre} lies outside a line of {count} samples")
    offset = samples // 2 - centre
    return max(offset + first, 0), min(offset + last, samples)


def _centre(head: np.void) -> int:
    """Return the sample of the zero frequency.

    It is the header's `center_sample`; 0, which ismrmrd's own `from_array` leaves there, does not
    tell, and means the middle.
    """
    return int(head["center_sample"]) or int(head["number_of_samples"]) // 2


def place_of(step: int, centre: int | None, size: int) -> int:
    """Return the index of an encoding step in k-space with frequency zero at size // 2.

    Args:
        step: counted from the first encoding step.
        centre: that step whose frequency is zero; None where the header does not tell.
        size: of the matrix.

    Raises:
        ValueError: it lies outside.
    """
    place = step if centre is None or size == 1 else step - centre + size // 2
    if not 0 <= place < size:
        raise ValueError(f"encoding step {step} (centre {centre}) lies outside a matrix of {size}")
    return place

"""ISMRMRD raw data: Cartesian scans of any vendor, one file each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import h5py
import numpy as np

from kdmri.data.hdf5 import open_hdf5, read_text
from kdmri.data.readers.base import Reader, SourceSlice, SourceVolume, unreadable
from kdmri.data.readers.kspace import (
    centred_ifft,
    crop_images,
    root_sum_of_squares,
    uncentred_kspace,
)
from kdmri.data.readers.naming import UNREADABLE, blaming, find, name_of, split_of
from kdmri.data.readers.options import check_flags
from kdmri.data.readers.raw_geometry import Stack, slice_order, stack
from kdmri.data.readers.raw_header import Encoding, parse_header
from kdmri.data.readers.raw_lines import Acquired, fill
from kdmri.data.readers.sampling_pattern import NO_TARGET, check_target, fault
from kdmri.errors import ConfigurationError

COUNTERS = ("contrast", "phase", "repetition", "set")
"""Counters whose values are images of their own; averages and segments are parts of one image."""

BLOCK = 256
"""Acquisitions that are read at once."""

ROUNDING = 0.02
"""Headers round fields of view: up to this difference, a matrix of the header is taken as it is."""

NO_IMAGE = (
    "ACQ_IS_NOISE_MEASUREMENT",
    "ACQ_IS_NAVIGATION_DATA",
    "ACQ_IS_PHASECORR_DATA",
    "ACQ_IS_HPFEEDBACK_DATA",
    "ACQ_IS_DUMMYSCAN_DATA",
    "ACQ_IS_RTFEEDBACK_DATA",
    "ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA",
    "ACQ_IS_PHASE_STABILIZATION_REFERENCE",
    "ACQ_IS_PHASE_STABILIZATION",
)


@dataclass(frozen=True)
class Ismrmrd(Reader):
    """Reads ISMRMRD files (Inati et al., Magn Reson Med 77 (2017) 411; ismrmrd.github.io).

    Fully sampled Cartesian scans, 2D with any number of slices or 3D. Slices are in the order of
    their positions along the slice direction. Rows of the image are phase encoding steps, columns
    the readout. Images are cropped to the field of view of the header's
    reconSpace at the resolution of the scan, which gives its matrix unless the vendor interpolates:
    k-space filled up with zeros would only look like data. Averages are averaged; noise is not
    decorrelated between coils. Lines of zeros alone count as not acquired. One coil gives a
    complex64 image, several their root sum of squares, float32.

    Attributes:
        group: group of the HDF5 file that the scan is in.
        keep_coils: give the k-space of several coils too, of the cropped coil images.
        undersampled: give scans of one coil as they were measured, cropped along the readout alone.
    """

    group: str = "dataset"
    keep_coils: bool = False
    undersampled: bool = field(default=False, repr=False)
    raw: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not isinstance(self.group, str) or not self.group:
            raise ConfigurationError(f"format.group={self.group}: must name a group, as `dataset`")
        check_flags(self, "keep_coils")

    def volumes(self, source: Path) -> Iterator[SourceVolume]:
        """Yield a volume for each file, contrast, cardiac phase, repetition and set.

        Names and subjects come from files and folders only (`kdmri.data.readers.who`), never from
        the header; see `Reader.volumes`.

        Raises:
            ConfigurationError: the package `ismrmrd` is not installed.
        """
        _package()
        for path in find(source, (".h5", ".mrd"), "ISMRMRD files (.h5, .mrd)"):
            name, split = name_of(path, source), split_of(path, source)
            try:
                encoding = self._encoding(path)
            except UNREADABLE as error:
                broken = unreadable(path, error)
                yield replace(broken, name=name, split=split)
                continue
            several = [key for key in COUNTERS if encoding.counts.get(key, 1) > 1]
            heads = self._heads(path)
            for values in product(*(range(encoding.counts[key]) for key in several)):
                chosen = dict(zip(several, values, strict=True))
                found = None if heads is None else _stack(heads, encoding, chosen, path)
                yield SourceVolume(
                    name="_".join([name, *(f"{key}{value}" for key, value in chosen.items())]),
                    subject="",
                    files=(path,),
                    slices=partial(self._slices, path, encoding, chosen),
                    geometry=None if found is None else found.geometry,
                    split=split,
                    shown=(_shown(encoding, 1), _shown(encoding, 0)) if self.undersampled else None,
                    notes=() if found is None else found.notes,
                )

    def _heads(self, path: Path) -> np.ndarray | None:
        """Read the heads of the acquisitions; None where they cannot be, which slices tell."""
        try:
            with open_hdf5(path) as file:
                return self._acquisitions(file).fields("head")[()]
        except UNREADABLE:
            return None

    def _acquisitions(self, file: h5py.File) -> h5py.Dataset:
        stored = file.get(f"{self.group}/data")
        names = stored.dtype.names if isinstance(stored, h5py.Dataset) else None
        if not {"head", "data"} <= set(names or ()):
            raise ValueError(f"{self.group}/data holds no acquisitions")
        if stored.chunks is not None:
            there = stored.id.get_num_chunks() * stored.chunks[0]
            if there < stored.size:  # the others would be made up, one by one
                raise ValueError(
                    f"{self.group}/data declares {stored.size} acquisitions, of which {there} are "
                    "there"
                )
        return stored

    def _encoding(self, path: Path) -> Encoding:
        with open_hdf5(path) as file:
            if f"{self.group}/xml" not in file:
                found = ", ".join(file) or "none"
                raise ValueError(f"no ISMRMRD header {self.group}/xml (groups: {found})")
            encoding = parse_header(read_text(file, f"{self.group}/xml"))
        if encoding.trajectory != "cartesian":
            raise ValueError(f"its trajectory is {encoding.trajectory}; only cartesian is read")
        return encoding

    def _slices(
        self, path: Path, encoding: Encoding, chosen: Mapping[str, int]
    ) -> Iterator[SourceSlice]:
        with blaming(path), open_hdf5(path) as file:
            stored = self._acquisitions(file)
            heads = stored.fields("head")[()]
            imaging = _imaging(heads, _package(), chosen)
            number = heads["idx"]["slice"]
            for index in slice_order(heads[imaging]):
                lines = _records(stored, np.flatnonzero(imaging & (number == index)))
                partitions = _has_partitions(heads[imaging])
                filled, acquired = fill(lines, encoding, partitions, _shown(encoding, 0))
                rows, note = self._judged(acquired, filled.shape[1], int(index))
                for images in _coil_images(filled, encoding, crop_rows=rows is None):
                    yield self._combined(images, rows, note)

    def _judged(
        self, acquired: Acquired, coils: int, number: int
    ) -> tuple[np.ndarray | None, str | None]:
        """Judge what was measured of a slice or slab.

        Returns:
            The measured rows, bool, zero frequency at index 0, where they are wanted; and what the
            user should know.
        """
        counted = coils if self.undersampled else 1
        if not self.undersampled or coils > 1:
            notes = [check_target(plane, number, counted, exact=True) for plane in acquired.planes]
            return None, "; ".join(dict.fromkeys(filter(None, notes)))
        if all(fault(plane, exact=True) is None for plane in acquired.planes):
            notes = [check_target(plane, number, exact=True) for plane in acquired.planes]
            return acquired.rows(), "; ".join(dict.fromkeys(filter(None, notes)))
        for plane in acquired.planes:
            if fault(plane, exact=True) not in (None, NO_TARGET):
                check_target(plane, number)
        return acquired.rows(), None

    def _combined(
        self, images: np.ndarray, rows: np.ndarray | None, note: str | None
    ) -> SourceSlice:
        if rows is not None:
            mask = np.broadcast_to(rows[:, None], images[0].shape).astype(np.uint8)
            return SourceSlice(images[0], mask=mask, note=note)
        if len(images) == 1:
            return SourceSlice(images[0], note=note)
        kspace = uncentred_kspace(images) if self.keep_coils else None
        return SourceSlice(root_sum_of_squares(images), kspace, note=note)


def _package() -> ModuleType:
    try:
        import ismrmrd
    except ImportError as error:
        raise ConfigurationError(
            f"format=ismrmrd needs a package ({error}): pip install 'kdmri[prepare]'"
        ) from error
    return ismrmrd


def _imaging(heads: np.ndarray, package: ModuleType, chosen: Mapping[str, int]) -> np.ndarray:
    """Tell the acquisitions that make up an image from noise, calibration and other images.

    Args:
        heads: acquisition headers.
        package: ismrmrd, which knows the bits of the flags.
        chosen: values of counters.

    Returns:
        bool, one for each acquisition.

    Raises:
        ValueError: there are none, or of several images, or some are read out backwards.
    """

    def flagged(name: str) -> np.ndarray:
        return heads["flags"] & np.uint64(1 << (getattr(package, name) - 1)) != 0

    imaging = heads["encoding_space_ref"] == 0
    for name in NO_IMAGE:
        imaging &= ~flagged(name)
    imaging &= flagged("ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING") | ~flagged(
        "ACQ_IS_PARALLEL_CALIBRATION"
    )
    for key, value in chosen.items():
        imaging &= heads["idx"][key] == value
    if not imaging.any():
        description = "".join(f", {key} {value}" for key, value in chosen.items())
        raise ValueError(f"holds no imaging data{description}")
    for key in COUNTERS:
        if np.ptp(heads["idx"][key][imaging]):
            raise ValueError(f"holds several values of {key}, but its header tells of one")
    if np.ptp(heads["active_channels"][imaging]):
        raise ValueError("the number of coils changes between lines")
    if (imaging & flagged("ACQ_IS_REVERSE")).any():
        raise ValueError("lines are read out in both directions (EPI), which is not supported")
    return imaging


def _has_partitions(heads: np.ndarray) -> bool:
    """Tell a slab (3D) from slices by the heads of its acquisitions."""
    return bool(heads["idx"]["kspace_encode_step_2"].any())


def _stack(
    heads: np.ndarray, encoding: Encoding, chosen: Mapping[str, int], path: Path
) -> Stack | None:
    """Tell where the images of a volume lie; None where there are none, which slices tell."""
    try:
        lines = heads[_imaging(heads, _package(), chosen)]
        images = _shown(encoding, 2) if _has_partitions(lines) else 1
        size = _shown(encoding, 1), _shown(encoding, 0), images
        return stack(lines, encoding, size, str(path))
    except UNREADABLE:
        return None


def _records(stored: h5py.Dataset, places: np.ndarray) -> Iterator[np.void]:
    """Read acquisitions in blocks; one by one, as the package does, takes 300 times as long."""
    for first in range(0, len(places), BLOCK):
        yield from stored[places[first : first + BLOCK]]


def _coil_images(filled: np.ndarray, encoding: Encoding, crop_rows: bool) -> Iterator[np.ndarray]:
    """Transform what `fill` gives to coil images (coils, H, W), a slice at a time."""
    slabs, coils, rows, columns = filled.shape
    height = _shown(encoding, 1) if crop_rows else rows
    first, shown = 0, 1
    if slabs > 1:
        for coil in range(coils):
            filled[:, coil] = centred_ifft(filled[:, coil], (0,))
        shown = _shown(encoding, 2)
        first = slabs // 2 - shown // 2
    for images in filled[first : first + shown]:
        yield crop_images(centred_ifft(images, (-2,)), (height, columns))


def _shown(encoding: Encoding, axis: int) -> int:
    """Return the number of acquired samples within the field of view that is meant to be shown."""
    encoded, recon = encoding.encoded.matrix[axis], encoding.recon.matrix[axis]
    fields = encoding.encoded.field_of_view[axis], encoding.recon.field_of_view[axis]
    covered = encoded * fields[1] / fields[0] if min(fields) > 0 else recon
    rounded = abs(recon - covered) <= ROUNDING * covered
    return min(encoded, recon if rounded else max(1, round(covered)))

"""ISMRMRD raw data: Cartesian scans of any vendor, one file each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import ClassVar

import h5py
import numpy as np

from kdmri.data.hdf5 import open_hdf5, read_text
from kdmri.data.readers import raw_flags
from kdmri.data.readers.base import Reader, SourceSlice, SourceVolume, unreadable
from kdmri.data.readers.coil_slices import Wanted
from kdmri.data.readers.naming import UNREADABLE, blaming, find, name_of, split_of
from kdmri.data.readers.options import check_flags
from kdmri.data.readers.raw_geometry import Stack, slice_order, stack
from kdmri.data.readers.raw_header import Encoding, parse_header
from kdmri.data.readers.raw_noise import Noise, read_noise
from kdmri.data.readers.raw_planes import across_readout, along_both, plane_slices
from kdmri.data.readers.raw_slabs import (
    fill_like,
    joined,
    read_slab,
    records,
    shown_samples,
    slab_slices,
)
from kdmri.errors import ConfigurationError


@dataclass(frozen=True)
class Ismrmrd(Reader):
    """Reads ISMRMRD files (Inati et al., Magn Reson Med 77 (2017) 411; ismrmrd.github.io).

    Fully sampled Cartesian scans, 2D with any number of slices or 3D. Slices are in the order of
    their positions along the slice direction. Rows of the image are phase encoding steps, columns
    the readout. Images are cropped to the field of view of the header's
    reconSpace at the resolution of the scan, which gives its matrix unless the vendor interpolates:
    k-space filled up with zeros would only look like data. Averages are averaged. Lines of zeros
    alone count as not acquired. One coil gives a complex64 image, several their root sum of
    squares, float32. Several coils are whitened where the file has noise acquisitions.

    K-space of coils lies on the acquired matrix, cropped along the readout to what is shown; not
    even that where not all of the readout was sampled (asymmetric echo), since a crop would fill
    what was not measured. That is exactly zero. Calibration lines that are no part of the image are
    given beside it.

    Attributes:
        group: group of the HDF5 file that the scan is in.
        keep_coils: give the k-space of several coils too.
        undersampled: give scans as they were measured, cropped along the readout alone, of several
            coils with k-space and its mask.
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
        raw_flags.package()
        for path in find(source, (".h5", ".mrd"), "ISMRMRD files (.h5, .mrd)"):
            name, split = name_of(path, source), split_of(path, source)
            try:
                encoding = self._encoding(path)
            except UNREADABLE as error:
                broken = unreadable(path, error)
                yield replace(broken, name=name, split=split)
                continue
            several = [key for key in raw_flags.COUNTERS if encoding.counts.get(key, 1) > 1]
            heads = self._heads(path)
            notes = (*self._noise_notes(path), *self._calibration_notes(heads, path))
            for values in product(*(range(encoding.counts[key]) for key in several)):
                chosen = dict(zip(several, values, strict=True))
                found = None if heads is None else _stack(heads, encoding, chosen, path)
                planes = self.undersampled and _along_both(heads, encoding, chosen)
                volume = SourceVolume(
                    name="_".join([name, *(f"{key}{value}" for key, value in chosen.items())]),
                    subject="",
                    files=(path,),
                    slices=partial(self._slices, path, encoding, chosen, planes),
                    geometry=None if found is None else found.geometry,
                    split=split,
                    shown=_shown(encoding) if self.undersampled else None,
                    notes=(*(() if found is None else found.notes), *notes),
                    readout=1,
                )
                yield across_readout(volume, encoding) if planes else volume

    def ismrmrd_header(self, volume: SourceVolume) -> bytes | str:
        """Return the XML header of a volume's file."""
        with blaming(volume.files[0]), open_hdf5(volume.files[0]) as file:
            return read_text(file, f"{self.group}/xml")

    def _heads(self, path: Path) -> np.ndarray | None:
        """Read the heads of the acquisitions; None where they cannot be, which slices tell."""
        try:
            with open_hdf5(path) as file:
                return self._acquisitions(file).fields("head")[()]
        except UNREADABLE:
            return None

    def _noise_notes(self, path: Path) -> tuple[str, ...]:
        """Say what noise acquisitions are used for; what is wrong with them, slices tell."""
        try:
            with open_hdf5(path) as file:
                stored = self._acquisitions(file)
                heads = stored.fields("head")[()]
                coils = int(heads["active_channels"].max())
                noise = _noise(stored, heads) if coils > 1 else None
        except UNREADABLE:
            return ()
        return () if noise is None else (f"{path}: {noise.note}",)

    def _calibration_notes(self, heads: np.ndarray | None, path: Path) -> tuple[str, ...]:
        """Say where calibration lines cannot be used, where k-space of coils is given."""
        if heads is None or not self._gives_coils or not raw_flags.calibrates_elsewhere(heads):
            return ()
        return (
            f"{path}: its calibration lines are on an encoding space of their own, and are left "
            "out; sensitivities are estimated from the centre of what was measured of the image",
        )

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
        self, path: Path, encoding: Encoding, chosen: Mapping[str, int], planes: bool
    ) -> Iterator[SourceSlice]:
        with blaming(path), open_hdf5(path) as file:
            stored = self._acquisitions(file)
            heads = stored.fields("head")[()]
            wanted = Wanted(self.keep_coils, self.undersampled)

            def lines(places: np.ndarray) -> Iterator[np.void]:
                return records(stored, np.flatnonzero(places))

            imaging = raw_flags.imaging(heads, chosen)
            several = int(heads["active_channels"][imaging][0]) > 1
            noise = _noise(stored, heads) if several else None
            dwell = float(heads["sample_time_us"][imaging][0])
            whitening = None if noise is None else noise.at(dwell, encoding.noise_bandwidth)
            partitions = raw_flags.has_partitions(heads[imaging])
            calibrating = imaging & False
            if several and self._gives_coils:
                calibrating = raw_flags.calibration(heads, chosen, imaging)
            both = imaging & raw_flags.flagged(heads, raw_flags.BOTH)
            for index in slice_order(heads[imaging]):
                here = heads["idx"]["slice"] == index
                whole = several and self._gives_coils and not planes
                slab = read_slab(lines, imaging & here, encoding, partitions, whole)
                alone, shared = (
                    fill_like(lines, chosen & here, encoding, partitions, slab)
                    for chosen in (calibrating, both if calibrating.any() else calibrating)
                )
                beside = joined(alone, shared)
                if planes:
                    yield from plane_slices(slab, beside, whitening)
                    continue
                yield from slab_slices(slab, beside, encoding, whitening, int(index), wanted)

    @property
    def _gives_coils(self) -> bool:
        return self.keep_coils or self.undersampled


def _shown(encoding: Encoding) -> tuple[int, int]:
    return shown_samples(encoding, 1), shown_samples(encoding, 0)


def _noise(stored: h5py.Dataset, heads: np.ndarray) -> Noise | None:
    """Read the noise acquisitions of a file; None where it has none."""
    coils = int(heads["active_channels"][raw_flags.of_any_image(heads)][0])
    places = np.flatnonzero(raw_flags.flagged(heads, "ACQ_IS_NOISE_MEASUREMENT"))
    return read_noise(records(stored, places), coils)


def _along_both(heads: np.ndarray | None, encoding: Encoding, chosen: Mapping[str, int]) -> bool:
    """Tell whether both phase encodings are undersampled; what is wrong otherwise, slices tell."""
    try:
        return heads is not None and along_both(heads[raw_flags.imaging(heads, chosen)], encoding)
    except UNREADABLE:
        return False


def _stack(
    heads: np.ndarray, encoding: Encoding, chosen: Mapping[str, int], path: Path
) -> Stack | None:
    """Tell where the images of a volume lie; None where there are none, which slices tell."""
    try:
        lines = heads[raw_flags.imaging(heads, chosen)]
        images = shown_samples(encoding, 2) if raw_flags.has_partitions(lines) else 1
        size = shown_samples(encoding, 1), shown_samples(encoding, 0), images
        return stack(lines, encoding, size, str(path))
    except UNREADABLE:
        return None

"""ISMRMRD raw data: Cartesian scans of any vendor, one file each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice, product
from math import prod
from pathlib import Path
from typing import ClassVar

import h5py

from kdmri.data.hdf5 import open_hdf5, read_text
from kdmri.data.readers import raw_flags
from kdmri.data.readers.base import Reader, SourceSlice, SourceVolume, unreadable
from kdmri.data.readers.coil_slices import Wanted
from kdmri.data.readers.naming import UNREADABLE, blaming, find, name_of, split_of
from kdmri.data.readers.options import check_flags
from kdmri.data.readers.raw_geometry import facing
from kdmri.data.readers.raw_header import Encoding, check_cartesian, parse_header
from kdmri.data.readers.raw_planes import across_readout
from kdmri.data.readers.raw_scan import READOUT, RawScan
from kdmri.data.readers.raw_slabs import image_size, records
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
            scan = self._heads(path, encoding)
            count = prod(encoding.counts[key] for key in several)
            if scan is not None and count > len(scan.heads) > 0:
                broken = unreadable(path, _fewer(count, len(scan.heads), several))
                yield replace(broken, name=name, split=split)
                continue
            notes = (*self._noise_notes(path, encoding), *self._calibration_notes(scan, path))
            every = product(*(range(encoding.counts[key]) for key in several))
            for values in every if scan is not None else islice(every, 1):  # which tells why
                chosen = dict(zip(several, values, strict=True))
                found = None if scan is None else scan.stack(chosen, str(path))
                volume = SourceVolume(
                    name="_".join([name, *(f"{key}{value}" for key, value in chosen.items())]),
                    subject="",
                    files=(path,),
                    slices=partial(self._slices, path, encoding, chosen),
                    geometry=None if found is None else found.geometry,
                    split=split,
                    shown=image_size(encoding) if self.undersampled else None,
                    notes=(*(() if found is None else found.notes), *notes),
                    readout=READOUT,
                )
                across = self.undersampled and scan is not None and scan.is_across(chosen)
                yield across_readout(volume, encoding) if across else volume

    def ismrmrd_header(self, volume: SourceVolume) -> bytes | str:
        """Return the XML header of a volume's file."""
        with blaming(volume.files[0]), open_hdf5(volume.files[0]) as file:
            return read_text(file, f"{self.group}/xml")

    def _heads(self, path: Path, encoding: Encoding) -> RawScan | None:
        """Read the heads of the acquisitions; None where they cannot be, which slices tell."""
        try:
            with open_hdf5(path) as file:
                return self._scan(file, encoding)
        except UNREADABLE:
            return None

    def _noise_notes(self, path: Path, encoding: Encoding) -> tuple[str, ...]:
        """Say what noise acquisitions are used for; what is wrong with them, slices tell."""
        try:
            with open_hdf5(path) as file:
                scan = self._scan(file, encoding)
                coils = int(scan.heads["active_channels"].max())
                noise = scan.noise() if coils > 1 else None
        except UNREADABLE:
            return ()
        return () if noise is None else (f"{path}: {noise.note}",)

    def _scan(self, file: h5py.File, encoding: Encoding) -> RawScan:
        """Read the heads of an open file; its lines can be read while it is open."""
        stored = self._acquisitions(file)
        heads = facing(stored.fields("head")[()], encoding)
        return RawScan(heads, partial(records, stored), encoding)

    def _calibration_notes(self, scan: RawScan | None, path: Path) -> tuple[str, ...]:
        """Say where calibration lines cannot be used, where k-space of coils is given."""
        gives_coils = self.keep_coils or self.undersampled
        if scan is None or not gives_coils or not raw_flags.calibrates_elsewhere(scan.heads):
            return ()
        return (f"{path}: {raw_flags.ELSEWHERE}",)

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
        check_cartesian(encoding)
        return encoding

    def _slices(
        self, path: Path, encoding: Encoding, chosen: Mapping[str, int]
    ) -> Iterator[SourceSlice]:
        with blaming(path), open_hdf5(path) as file:
            wanted = Wanted(self.keep_coils, self.undersampled)
            yield from self._scan(file, encoding).slices(chosen, wanted)


def _fewer(volumes: int, acquisitions: int, several: Sequence[str]) -> str:
    """Say that a header declares more volumes than there can be."""
    return (
        f"its header declares {volumes} volumes ({', '.join(several)}), and the file has "
        f"{acquisitions} acquisitions; correct its encodingLimits"
    )

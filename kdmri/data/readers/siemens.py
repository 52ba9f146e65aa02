"""Siemens raw data (.dat, "twix"): Cartesian scans of VB, VD, VE and XA, one file each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from kdmri.data.readers.base import Reader, SourceSlice, SourceVolume, unreadable
from kdmri.data.readers.coil_slices import Wanted
from kdmri.data.readers.naming import UNREADABLE, blaming, find, name_of, split_of
from kdmri.data.readers.options import check_flags
from kdmri.data.readers.raw_doubts import doubts
from kdmri.data.readers.raw_geometry import slice_order, stack
from kdmri.data.readers.raw_lines import transformed
from kdmri.data.readers.raw_noise import Noise, noise_of
from kdmri.data.readers.raw_planes import across_readout, along_both, plane_slices
from kdmri.data.readers.raw_slabs import (
    Lines,
    Slab,
    fill_like,
    read_slab,
    shown_samples,
    slab_slices,
)
from kdmri.data.readers.twix import COUNTERS, Measured, Twix, package, read_twix
from kdmri.data.readers.twix_protocol import as_ismrmrd

LIBRARY_ERRORS = (AttributeError, TypeError, ZeroDivisionError, MemoryError, UserWarning)
"""What pymapvbvd fails with in damaged files, beside `UNREADABLE`."""


@dataclass(frozen=True)
class Siemens(Reader):
    """Reads the scanner's own files by pymapvbvd, without its oversampling removed or rescaled.

    Of a file with several measurements (VD and later) the last one with an image is read. Rows are
    phase encoding steps, columns the readout; slices are in the order of their positions. Matrix
    and field of view are those of the protocol. Averages are averaged and segments joined; echoes,
    phases, repetitions and sets are volumes of their own. Noise adjustments whiten several coils,
    and reference lines of parallel imaging calibrate, as for `Ismrmrd`, whose rules hold for
    partial Fourier, asymmetric echoes and oversampling, too. Positions and directions are known,
    nothing about the patient is read.

    Attributes:
        keep_coils: give the k-space of several coils too.
        undersampled: give scans as they were measured, cropped along the readout alone, of several
            coils with k-space and its mask.
    """

    keep_coils: bool = False
    undersampled: bool = field(default=False, repr=False)
    raw: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_flags(self, "keep_coils")

    def volumes(self, source: Path) -> Iterator[SourceVolume]:
        """Yield a volume for each file, echo, phase, repetition and set; see `Reader.volumes`.

        Names of files and folders tell the subject (`kdmri.data.readers.who`), never the header.

        Raises:
            ConfigurationError: the package `pymapvbvd` is not installed.
        """
        package()
        for path in find(source, (".dat",), "Siemens raw data (.dat)"):
            name, split = name_of(path, source), split_of(path, source)
            try:
                twix = read_twix(path)
            except (*UNREADABLE, *LIBRARY_ERRORS) as error:
                yield replace(unreadable(path, error), name=name, split=split)
                continue
            for chosen in _images(twix):
                heads = twix.image.heads[_of(twix.image.heads, chosen)]
                odd = [f"{path}: {doubt}" for doubt in doubts(heads, twix.encoding)]
                if not heads["read_dir"].any():
                    heads["slice_dir"] = 0  # orders slices; alone it is no orientation
                size = _size(twix)
                partitions = twix.encoding.encoded.matrix[2] > 1
                images = shown_samples(twix.encoding, 2) if partitions else 1
                found = stack(heads, twix.encoding, (*size, images), str(path))
                planes = self.undersampled and along_both(heads, twix.encoding)
                volume = SourceVolume(
                    name="_".join([name, *(f"{key}{value}" for key, value in chosen.items())]),
                    subject="",
                    files=(path,),
                    slices=partial(self._slices, path, chosen, planes),
                    geometry=found.geometry,
                    split=split,
                    shown=size if self.undersampled else None,
                    notes=(*found.notes, *odd, *_noise_notes(twix, path)),
                    readout=1,
                )
                yield across_readout(volume, twix.encoding) if planes else volume

    def ismrmrd_header(self, volume: SourceVolume) -> bytes | str:
        """Return what the protocol tells, in ISMRMRD's words; nothing of the person."""
        with blaming(volume.files[0], *LIBRARY_ERRORS):
            return as_ismrmrd(read_twix(volume.files[0]))

    def _slices(self, path: Path, chosen: Mapping[str, int], planes: bool) -> Iterator[SourceSlice]:
        with blaming(path, *LIBRARY_ERRORS):
            twix = read_twix(path)
            heads = twix.image.heads
            several = int(heads["active_channels"][0]) > 1
            wanted = Wanted(self.keep_coils, self.undersampled)
            gives_coils = several and (wanted.coils or wanted.undersampled)
            noise = _noise(twix) if several else None
            whitening = None if noise is None else noise.at(twix.dwell[1], bandwidth=1)
            partitions = twix.encoding.encoded.matrix[2] > 1
            imaging = _of(heads, chosen)
            for index in slice_order(heads[imaging]):
                here = imaging & (heads["idx"]["slice"] == index)
                whole = gives_coils and not planes
                slab = read_slab(_lines(twix.image, twix), here, twix.encoding, partitions, whole)
                beside = _calibration(twix, chosen, index, slab) if gives_coils else None
                if planes:
                    yield from plane_slices(slab, beside, whitening)
                    continue
                yield from slab_slices(slab, beside, twix.encoding, whitening, index, wanted)


def _lines(measured: Measured, twix: Twix) -> Lines:
    return lambda chosen: transformed(measured.read(chosen), twix.encoding.encoded.matrix[0])


def _size(twix: Twix) -> tuple[int, int]:
    return shown_samples(twix.encoding, 1), shown_samples(twix.encoding, 0)


def _images(twix: Twix) -> Iterator[dict[str, int]]:
    """Yield the values of counters of each image that there is."""
    counters = twix.image.heads["idx"]
    several = [key for key in COUNTERS.values() if len(np.unique(counters[key])) > 1]
    if not several:
        yield from [{}] if len(counters) else []
        return
    found = np.unique(np.stack([counters[key] for key in several], axis=1), axis=0)
    yield from (dict(zip(several, values, strict=True)) for values in found.tolist())


def _of(heads: np.ndarray, chosen: Mapping[str, int]) -> np.ndarray:
    found = np.ones(len(heads), bool)
    for key, value in chosen.items():
        found &= heads["idx"][key] == value
    return found


def _calibration(twix: Twix, chosen: Mapping[str, int], index: int, slab: Slab) -> Slab | None:
    """Read the reference lines of a slice, unless the image has all of them.

    Raises:
        ValueError: they are of other coils, or on another grid.
    """
    if twix.reference is None:
        return None
    heads, image = twix.reference.heads, twix.image.heads
    found = heads["idx"]["slice"] == index
    for key, value in chosen.items():
        wanted = heads["idx"][key] == value
        first = heads["idx"][key] == heads["idx"][key].min()
        found &= wanted if (found & wanted).any() else first
    for key, what in (("active_channels", "coils"), ("number_of_samples", "samples")):
        if (heads[key] != image[key][0]).any():
            raise ValueError(
                f"its reference lines are of {heads[key][0]} {what}, those of its image of "
                f"{image[key][0]}: they cannot calibrate it; convert it without them"
            )
    partitions = slab.lines.shape[0] > 1
    filled = fill_like(_lines(twix.reference, twix), found, twix.encoding, partitions, slab)
    if filled is None or not (filled.acquired.lines & ~slab.acquired.lines).any():
        return None
    return filled


def _noise(twix: Twix) -> Noise | None:
    if twix.noise is None:
        return None
    coils = int(twix.image.heads["active_channels"][0])
    if len(twix.noise) != coils:
        raise ValueError(
            f"its noise adjustment is of {len(twix.noise)} coils, its lines of {coils}: noise of "
            "other coils cannot whiten them; export the measurement without its adjustments"
        )
    return noise_of(twix.noise, twix.dwell[0])


def _noise_notes(twix: Twix, path: Path) -> tuple[str, ...]:
    """Say what noise is used for; what is wrong with it, slices tell."""
    try:
        noise = _noise(twix) if twix.image.heads["active_channels"][0] > 1 else None
    except ValueError:
        return ()
    return () if noise is None else (f"{path}: {noise.note}",)

"""Reconstructions as DICOM: a series of single images, whatever the source is."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydicom import Dataset
from pydicom.uid import generate_uid

from kdmri.data.readers.base import Reader, SourceVolume
from kdmri.data.readers.dicom_headers import quiet
from kdmri.errors import DataError
from kdmri.files import folder_written_aside, reserve
from kdmri.reconstruct.dicom_derived import (
    Scaling,
    date,
    derived,
    image_class,
    mark_anonymous,
    save,
    scaling,
)
from kdmri.reconstruct.dicom_raw import RawSource
from kdmri.reconstruct.dicom_source import DicomSource
from kdmri.reconstruct.output import Begin, Result, Write, magnitudes


class Spooled(NamedTuple):
    """A volume whose slices wait on disk for the scale of their series.

    Attributes:
        result: what it is.
        values: float32 (S, H, W), in the units of the source.
    """

    result: Result
    values: np.ndarray


@contextmanager
def dicom_output(
    path: Path,
    volumes: tuple[SourceVolume, ...],
    reader: Reader,
    facts: Mapping[str, str],
    anonymous: bool,
) -> Iterator[Begin]:
    """Write a folder of files 0001.dcm, 0002.dcm, ..., one an image, that are one series.

    Images of known place are MR images, others secondary captures, which have no place. Stored
    values are 16 bits; RescaleSlope and RescaleIntercept, the same for the series, lead to the
    units of the source if that is DICOM. Of others, whose units are arbitrary, small values are
    multiplied by a power of ten, which the description of the derivation tells.

    Args:
        path: of the folder.
        volumes: of the series, such as time points.
        reader: of the volumes.
        facts: of the checkpoint, for the description of the derivation.
        anonymous: whether to leave out who was scanned, where and when.
    """
    with folder_written_aside(path) as aside:
        spooled: list[Spooled] = []

        def begin(result: Result) -> Write:
            shape = (result.count, *result.size)
            with tempfile.TemporaryFile(dir=aside) as file:
                reserve(file, 4 * prod(shape))
                values = np.memmap(file, np.float32, "w+", shape=shape)
            spooled.append(Spooled(result, values))

            def write(number: int, image: np.ndarray) -> None:
                values[number] = magnitudes(image) * np.float32(result.scale)

            return write

        yield begin
        with quiet():
            _write_series(aside, spooled, reader, facts, anonymous)


def _write_series(
    folder: Path,
    spooled: list[Spooled],
    reader: Reader,
    facts: Mapping[str, str],
    anonymous: bool,
) -> None:
    from_dicom = all(one.result.volume.frames for one in spooled)
    scale = scaling([one.values for one in spooled], keeps_units=from_dicom)
    units = f"; values are {scale.factor:,} times the source's" if scale.factor > 1 else ""
    sources = [_source(one, reader, anonymous) for one in spooled]
    series = _series(sources[0], facts)
    number = 0
    for time, (one, source) in enumerate(zip(spooled, sources, strict=True), start=1):
        for index, values in enumerate(one.values):
            number += 1
            made = source.slice(index)
            if len(spooled) > 1 and isinstance(source, RawSource):
                made.TemporalPositionIdentifier = time
                made.NumberOfTemporalPositions = len(spooled)
            made.InstanceNumber = number
            made.update(series)
            derived(made, facts, one.result.description + units, image_class(source.is_placed))
            if anonymous:
                mark_anonymous(made)
            _fill(made, values, scale)
            save(made, folder / f"{number:04d}.dcm")


def _source(one: Spooled, reader: Reader, anonymous: bool) -> DicomSource | RawSource:
    volume = one.result.volume
    if not volume.frames:
        header = reader.ismrmrd_header(volume)
        return RawSource(volume, header, one.result.size, anonymous)
    if len(volume.frames) != one.result.count:
        raise DataError(
            f"{volume.files[0]}: {one.result.count} slices are reconstructed of a volume of "
            f"{len(volume.frames)}"
        )
    return DicomSource(volume, anonymous)


def _series(source: DicomSource | RawSource, facts: Mapping[str, str]) -> Dataset:
    """Name the new series; numbers from 1000 on keep it apart from those of the scanner."""
    text, number = source.described
    made = Dataset()
    made.SeriesInstanceUID = generate_uid(prefix=None)
    made.SeriesNumber = 1000 + (number or 0)
    date(made, "Series", datetime.now())
    own = f"kdmri {facts['network']}"[:48]
    made.SeriesDescription = f"{text[: 64 - len(own) - 1]} {own}".strip()
    return made


def _fill(made: Dataset, values: np.ndarray, scale: Scaling) -> None:
    """Add the pixels, and how to show them unless the source says it."""
    made.Rows, made.Columns = values.shape
    made.SamplesPerPixel = 1
    made.PhotometricInterpretation = "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 16
    made.HighBit, made.PixelRepresentation = 15, 0
    made.RescaleSlope, made.RescaleIntercept = scale.slope, scale.intercept
    made.setdefault("RescaleType", "US")
    scale.show(made)
    made.PixelData = scale.stored(values).astype("<u2").tobytes()

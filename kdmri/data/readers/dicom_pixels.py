"""Pixel data of DICOM files, frame by frame."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.filereader import read_file_meta_info
from pydicom.pixels import get_decoder, iter_pixels
from pydicom.uid import RLELossless

from kdmri.data.readers.base import SourceSlice
from kdmri.data.readers.dicom_frames import Frame
from kdmri.data.readers.dicom_headers import DAMAGED, quiet
from kdmri.errors import DataError


def read_slices(frames: Sequence[Frame]) -> Iterator[SourceSlice]:
    """Read the images of a volume; see `SourceVolume.slices`.

    Args:
        frames: in the order of the slices.

    Yields:
        Images (H, W), float32, RescaleSlope * stored value + RescaleIntercept.

    Raises:
        DataError: they are of several sizes, or a file is damaged.
    """
    for odd in (frame for frame in frames if frame.shape != frames[0].shape):
        raise DataError(
            f"{odd.path}: an image of {odd.shape}, but {frames[0].path.name} of its series has "
            f"{frames[0].shape}; slices of a volume must be of one size"
        )
    for path, run in groupby(frames, key=lambda frame: frame.path):
        wanted = list(run)
        decoded = _decode(path, [frame.number for frame in wanted])
        for frame in wanted:
            with quiet():
                stored = next(decoded)
            yield SourceSlice((stored * frame.slope + frame.intercept).astype(np.float32))


def _decode(path: Path, frames: list[int]) -> Iterator[np.ndarray]:
    """Read stored values (H, W), frame by frame.

    Raises:
        DataError: the file is cut off or damaged, or nothing that is installed can decode it.
    """
    description = ""
    try:
        syntax = read_file_meta_info(path).TransferSyntaxUID
        others = ", ".join(get_decoder(syntax).missing_dependencies)
        description = f"; {syntax.name}" + (
            f", could also be decoded by: {others}" if others else ""
        )
        if syntax.is_encapsulated and "PixelData" not in dcmread(path, defer_size=1):
            raise EOFError("the file ends before them")  # decoders would fill up what is cut off
        # pylibjpeg's decoder of run lengths ends damaged data in a panic, which is no Exception
        plugin = "pydicom" if syntax == RLELossless else ""
        source = dcmread(path) if syntax.is_deflated else path
        yield from iter_pixels(source, indices=frames, decoding_plugin=plugin)
    except DAMAGED as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path}: pixel data cut off, damaged or unknown ({reason}{description})"
        ) from error

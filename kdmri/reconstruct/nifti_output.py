"""Reconstructions as NIfTI, at their place in the patient."""

import gzip
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import nibabel
import numpy as np

from kdmri.data.geometry import Geometry
from kdmri.data.readers.base import Reader, SourceVolume
from kdmri.data.readers.layout_files import LayoutFiles
from kdmri.data.readers.naming import blaming
from kdmri.data.readers.nifti import DAMAGED, Nifti, as_slices, turn_of
from kdmri.data.readers.nifti_header import array_shape, open_image
from kdmri.errors import DataError
from kdmri.files import reserve, written_aside
from kdmri.reconstruct.output import Begin, Result, Write, magnitudes

LARGEST = 2**15 - 1
"""Pixels along an axis that a NIfTI-1 header can tell."""

SCANNER, ALIGNED = 1, 2
"""Codes of the space that an affine leads to: the scanner's, or one that an h5 file does not name.
"""


@contextmanager
def nifti_like_source(
    path: Path, volumes: tuple[SourceVolume, ...], reader: Nifti
) -> Iterator[Begin]:
    """Write to the grid of the source file, in its units; shape, affine and header are its own.

    Header extensions are kept whole. Values are float32, whatever the source's are.

    Args:
        path: of the file.
        volumes: of one NIfTI file, its time points in their order.
        reader: of the volumes.
    """
    file = volumes[0].files[0]
    with blaming(file, *DAMAGED):
        source = open_image(file)
        shape, turn = array_shape(source), turn_of(source, reader.orientation)
    with _mapped(path, source.header.copy()) as stored:
        values = stored.reshape(shape, order="F")  # a view without axes of length 1 at the end

        def begin(result: Result) -> Write:
            frame = next(n for n, other in enumerate(volumes) if other is result.volume)
            one = values[..., frame] if values.ndim == 4 else values
            view = as_slices(one, reader.orientation, reader.axis, turn)
            if view.shape != (result.count, *result.size):
                raise DataError(f"{path}: slices of {result.size} do not fit a grid {view.shape}")
            return _writing(view, result.scale)

        yield begin


@contextmanager
def nifti_of_slices(path: Path, reader: Reader) -> Iterator[Begin]:
    """Write an array (columns, rows from the last to the first, slices), as dcm2niix does.

    So viewers that go by indices alone show slices upright. The affine is that of the volume's
    geometry; without one, only distances are told, or nothing.

    Args:
        path: of the file.
        reader: of the volume.
    """
    space = ALIGNED if isinstance(reader, LayoutFiles) else SCANNER
    with ExitStack() as stack:

        def begin(result: Result) -> Write:
            if max(*result.size, result.count) > LARGEST:
                raise DataError(
                    f"{path}: slices of {result.size} are more than NIfTI holds, {LARGEST} pixels "
                    "along an axis; choose write=h5"
                )
            header = _header(result.volume.geometry, (*result.size, result.count), space)
            stored = stack.enter_context(_mapped(path, header))
            return _writing(stored.transpose(2, 1, 0)[:, ::-1], result.scale)

        yield begin


def _header(
    geometry: Geometry | None, size: tuple[int, int, int], space: int
) -> nibabel.Nifti1Header:
    """Make the header of an array (columns, rows from the last to the first, slices).

    Args:
        geometry: of slices (H, W, S).
        size: (H, W, S).
        space: code of what the affine leads to.
    """
    header = nibabel.Nifti1Header()
    height, width, count = size
    header.set_data_shape((width, height, count))
    if geometry is None:
        return header
    header.set_xyzt_units("mm")
    if geometry.oriented:
        affine = Geometry.of_array(geometry.flipped(height).affine, (1, 0, 2)).affine
        header.set_sform(affine, space)
        header.set_qform(affine, space)  # the closest there is, where slices are sheared
    else:
        rows, columns, slices = geometry.spacing
        header.set_zooms((columns, rows, slices))
    return header


def _writing(slices: np.ndarray, scale: float) -> Write:
    """Return what writes magnitudes to a view (S, H, W) of the stored array, in its units."""

    def write(number: int, image: np.ndarray) -> None:
        slices[number] = magnitudes(image) * np.float32(scale)

    return write


@contextmanager
def _mapped(path: Path, header: nibabel.Nifti1Header) -> Iterator[np.memmap]:
    """Map the float32 values of a NIfTI file that is written aside; compressed when it is done.

    Args:
        path: of the file.
        header: its shape, geometry and extensions.
    """
    header.set_data_dtype(np.float32)
    header.set_slope_inter(1, 0)
    header["vox_offset"] = 0  # not set: the values begin behind the extensions
    header["cal_max"] = header["cal_min"] = 0
    shape = header.get_data_shape()
    with written_aside(path) as aside:
        plain = aside.with_name(aside.name + ".plain")
        try:
            with plain.open("wb") as file:
                header.write_to(file)
                offset = file.tell()
                reserve(file, offset + 4 * int(np.prod(shape)))
            kind = np.dtype(np.float32).newbyteorder(header.endianness)
            values = np.memmap(plain, kind, "r+", offset=offset, shape=shape, order="F")
            yield values
            values.flush()
            if path.suffix.lower() == ".gz":
                with plain.open("rb") as source, gzip.open(aside, "wb", compresslevel=4) as packed:
                    shutil.copyfileobj(source, packed, 2**20)
            else:
                plain.replace(aside)
        finally:
            plain.unlink(missing_ok=True)

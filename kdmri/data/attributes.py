"""Attributes of h5 files of the layout that say where images lie, and how they were scanned."""

import h5py
import numpy as np

from kdmri.data.geometry import Geometry, is_usable
from kdmri.errors import DataError

SPACING = "spacing_mm"
"""Attribute of a file: distances in mm between rows, columns and slices, as text."""
AFFINE = "affine"
"""Attribute of a file: float64 (4, 4), (row, column, slice, 1) to RAS+ mm."""
READOUT = "readout"
"""Attribute of a file: axis of slices, 0 (rows) or 1 (columns), along which was read out."""
Attribute = str | float | np.ndarray
"""What an attribute of a file may be."""


def geometry_attributes(geometry: Geometry | None) -> dict[str, Attribute]:
    """Return the attributes that tell a geometry; none where nothing is known."""
    if geometry is None:
        return {}
    description: dict[str, Attribute] = {SPACING: " ".join(f"{mm:g}" for mm in geometry.spacing)}
    return description | {AFFINE: geometry.affine} if geometry.oriented else description


def read_geometry(file: h5py.File) -> Geometry | None:
    """Read what `geometry_attributes` wrote; None where a file has none.

    Raises:
        DataError: the attributes are of another kind, such as an affine that is not invertible.
    """
    affine, spacing = file.attrs.get(AFFINE), file.attrs.get(SPACING)
    if affine is not None:
        numbers = np.asarray(affine)
        if numbers.dtype.kind not in "iuf" or not is_usable(numbers):
            raise DataError(
                f"{file.filename}: attribute {AFFINE} is no invertible (4, 4) matrix from (row, "
                "column, slice) to mm; correct or remove it"
            )
        return Geometry(numbers.astype(np.float64))
    if not isinstance(spacing, str):
        return None  # data sets of earlier versions tell the distance of slices alone
    try:
        rows, columns, slices = (float(word) for word in spacing.split())
    except ValueError:
        rows = columns = slices = np.nan
    if not all(np.isfinite(mm) and mm > 0 for mm in (rows, columns, slices)):
        raise DataError(
            f"{file.filename}: attribute {SPACING}={spacing!r} must be three distances above 0, "
            "between rows, columns and slices; correct or remove it"
        )
    return Geometry.of_spacing((rows, columns, slices))


def read_readout(file: h5py.File) -> int | None:
    """Read along which axis the scanner read out; None where a file does not say.

    Raises:
        DataError: the attribute is no axis of slices.
    """
    told = file.attrs.get(READOUT)
    if told is None:
        return None
    if str(told) not in ("0", "1"):
        raise DataError(
            f"{file.filename}: attribute {READOUT}={told} must be 0 (rows) or 1 (columns); correct "
            "or remove it"
        )
    return int(told)

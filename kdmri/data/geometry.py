"""Where the samples of a volume lie in the patient."""

from dataclasses import dataclass

import numpy as np

Spacing = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Geometry:
    """The grid of a volume in patient coordinates, as NIfTI counts them.

    Attributes:
        affine: float64 (4, 4); takes (row, column, slice, 1) to mm towards right, anterior and
            superior (RAS+). DICOM and ISMRMRD count towards left and posterior (LPS): the first two
            rows have the other sign there.
        oriented: whether the source tells orientation and position; else `affine` holds the
            distances between samples alone, on its diagonal.
    """

    affine: np.ndarray
    oriented: bool = True

    @classmethod
    def of_spacing(cls, spacing: Spacing) -> "Geometry":
        """Make a geometry of distances in mm between rows, columns and slices alone."""
        return cls(np.diag([*spacing, 1.0]), oriented=False)

    @property
    def spacing(self) -> Spacing:
        """Distances in mm between rows, columns and slices."""
        rows, columns, slices = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(rows), float(columns), float(slices)

    def shifted(self, rows: int, columns: int, slices: int = 0) -> "Geometry":
        """Give the geometry of a crop that begins at an index; negative ones are of padding."""
        step = np.eye(4)
        step[:3, 3] = rows, columns, slices
        return Geometry(self.affine @ step, self.oriented)

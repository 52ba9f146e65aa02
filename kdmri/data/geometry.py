"""Where the samples of a volume lie in the patient."""

from dataclasses import dataclass

import numpy as np

Spacing = tuple[float, float, float]

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From the patient coordinates of DICOM and ISMRMRD to those of NIfTI."""

FAR = 1e9
"""Lengths in mm from here on are damage."""


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

    @classmethod
    def of_array(cls, affine: np.ndarray, axes: tuple[int, int, int]) -> "Geometry":
        """Make the geometry of slices that are cut from a stored array.

        Args:
            affine: (4, 4), takes indices of the stored array to mm, RAS+.
            axes: of the stored array: along its rows' numbers, columns' numbers, and across slices.
        """
        return cls(np.asarray(affine, np.float64)[:, [*axes, 3]])

    @property
    def spacing(self) -> Spacing:
        """Distances in mm between rows, columns and slices."""
        rows, columns, slices = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(rows), float(columns), float(slices)

    def shifted(self, rows: int, columns: int, slices: int = 0) -> "Geometry":
        """Return the geometry of a crop that begins at an index; negative ones are of padding."""
        if not self.oriented:
            return self
        step = np.eye(4)
        step[:3, 3] = rows, columns, slices
        return Geometry(self.affine @ step)

    def fitted(self, size: tuple[int, int], wanted: tuple[int, int]) -> "Geometry":
        """Return the geometry of slices that `kdmri.data.cropping.fit_centre` crops or pads.

        Args:
            size: (H, W) that they have.
            wanted: (H', W') that they get.
        """
        rows, columns = (n // 2 - m // 2 for n, m in zip(size, wanted, strict=True))
        return self.shifted(rows, columns)

    def flipped(self, rows: int) -> "Geometry":
        """Return the geometry of slices of `rows` rows whose last row comes first."""
        if not self.oriented:
            return self
        turn = np.eye(4)
        turn[0, 0], turn[0, 3] = -1, rows - 1
        return Geometry(self.affine @ turn)


def is_usable(affine: np.ndarray) -> bool:
    """Tell whether an affine (4, 4) gives each sample a place of its own."""
    if affine.shape != (4, 4) or not (np.abs(affine) < FAR).all():  # NaN is not, either
        return False
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not lengths.all() or not np.array_equal(affine[3], [0, 0, 0, 1]):
        return False
    return bool(np.linalg.matrix_rank(affine[:3, :3] / lengths) == 3)

"""NIfTI: one's own folders, and what all data sets that ship NIfTI have in common."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from zlib import error as ZlibError

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.volumeutils import apply_read_scaling

from kdmri.data.embedded import ORIENTATIONS
from kdmri.data.geometry import Geometry
from kdmri.data.prepare.declared import check_declared
from kdmri.data.prepare.naming import UNREADABLE, blaming, name_of, natural, split_of, subject_of
from kdmri.data.prepare.source import Reader, SourceSlice, SourceVolume, unreadable
from kdmri.errors import ConfigurationError, DataError

ENDINGS = (".nii", ".nii.gz")
DAMAGED = (ImageFileError, HeaderDataError, ZlibError)
MILLIMETRES = {1: 1000.0, 2: 1.0, 3: 0.001}
"""Length of a unit by its code in `xyzt_units`: metre, millimetre, micrometre."""

UNIT = 7
"""The bits of `xyzt_units` that tell the unit of length; the others are of time."""

LONGEST = 1e9
"""Voxel sizes in mm beyond this are no sizes; their squares may not be finite."""

APPLE_DOUBLE = "._"
"""What the names of files begin with that macOS leaves beside real ones in an archive."""


def find_nifti(source: Path, expected: str) -> list[Path]:
    """List NIfTI files below a directory in natural order, or the one file given.

    Raises:
        DataError: there is none; `expected` says what should be there.
    """
    candidates = [source] if source.is_file() else source.rglob("*")
    found = [
        path
        for path in candidates
        if path.name.lower().endswith(ENDINGS)
        and not path.name.startswith(APPLE_DOUBLE)
        and path.is_file()
    ]
    if not found:
        raise DataError(f"{source}: found no {expected}")
    return sorted(found, key=natural)


def stem(path: Path) -> str:
    """Give a file's name without .nii or .nii.gz."""
    return path.name.removesuffix(".gz").removesuffix(".nii")


def nifti_volumes(
    path: Path,
    name: str,
    subject: str,
    split: str | None,
    orientation: str | None = None,
    axis: int = 2,
) -> Iterator[SourceVolume]:
    """Give the volume of a file, or one for each time point of a file with four axes.

    Args:
        path: the NIfTI file; its scl_slope and scl_inter are applied.
        name: of the volume; time points append `_frame01`, `_frame02`, ...
        subject: who was scanned.
        split: "train", "validation", "test" or None.
        orientation: "axial", "coronal" or "sagittal" turns the image by its affine, anterior or
            superior up; None keeps the stored array.
        axis: slice axis of the stored array where `orientation` is None.
    """
    try:
        image = open_image(path)
        turn = None if orientation is None else _turn(image)
    except (*UNREADABLE, *DAMAGED) as error:
        yield replace(unreadable(path, error), name=name, subject=subject, split=split)
        return
    across, down, along = _axes(orientation, axis)
    zooms = _zooms(image, turn)
    geometry = None
    if zooms is not None:
        geometry = Geometry.of_spacing((zooms[down], zooms[along], zooms[across]))
    for frame in range(image.shape[3]) if len(image.shape) == 4 else [None]:
        yield SourceVolume(
            name=name if frame is None else f"{name}_frame{frame + 1:02d}",
            subject=subject,
            files=(path,),
            slices=partial(_slices, path, orientation, axis, frame),
            geometry=geometry,
            split=split,
        )


def open_image(path: Path) -> nibabel.Nifti1Image:
    """Open a file, header only.

    Raises:
        ImageFileError: it holds no image of a usable shape and type.
    """
    image = nibabel.load(path)
    if not isinstance(image, nibabel.Nifti1Image):
        raise ImageFileError("is not NIfTI")
    shape, dtype = image.shape, image.get_data_dtype()
    if len(shape) not in (3, 4) or min(shape) < 1:
        raise ImageFileError(f"has shape {shape}; it must be 3D or 4D")
    if dtype.kind not in "buifc":
        raise ImageFileError(f"has type {dtype}; it must be real or complex numbers")
    check_declared(path, math.prod(map(int, image.shape)) * dtype.itemsize)
    return image


def _axes(orientation: str | None, axis: int) -> tuple[int, int, int]:
    """Give the axes across slices, down a slice and along it."""
    if orientation is not None:
        return ORIENTATIONS[orientation]
    down, along = (n for n in range(3) if n != axis)
    return axis, down, along


def _turn(image: nibabel.Nifti1Image) -> np.ndarray:
    """Tell by the affine how stored axes become right, anterior and superior; (3, 2)."""
    affine = image.affine
    if not np.isfinite(affine).all() or np.linalg.matrix_rank(affine[:3, :3]) < 3:
        raise ImageFileError(
            "its affine does not tell the orientation; use format.orientation=null"
        )
    return nibabel.io_orientation(affine)


def _zooms(image: nibabel.Nifti1Image, turn: np.ndarray | None) -> list[float] | None:
    """Give the distances in mm along the axes as they are after turning, None where unknown."""
    unit = MILLIMETRES.get(int(image.header["xyzt_units"]) & UNIT, 1.0)
    zooms = np.asarray(image.header.get_zooms()[:3], dtype=float) * unit
    if not np.isfinite(zooms).all() or zooms.min() <= 0 or zooms.max() > LONGEST:
        return None
    order = range(3) if turn is None else np.argsort(turn[:, 0])
    return [float(zooms[n]) for n in order]


def _slices(
    path: Path, orientation: str | None, axis: int, frame: int | None
) -> Iterator[SourceSlice]:
    with blaming(path, *DAMAGED):
        image = open_image(path)
        proxy: Any = image.dataobj
        # Stored numbers of an uncompressed file stay on the disk; a compressed one is read whole.
        values = np.asanyarray(proxy.get_unscaled())
        values = values if frame is None else values[..., frame]
        turn = None if orientation is None else _turn(image)
        volume = as_slices(values, orientation, axis, turn)
        kind = np.complex64 if np.iscomplexobj(volume) else np.float32
        for index in range(volume.shape[0]):
            scaled = apply_read_scaling(volume[index], proxy.slope, proxy.inter)
            yield SourceSlice(np.ascontiguousarray(scaled, dtype=kind))


def as_slices(
    values: np.ndarray, orientation: str | None, axis: int, turn: np.ndarray | None
) -> np.ndarray:
    """View a stored array as its slices; nothing is copied, so what is written to it is stored.

    Args:
        values: stored array of three axes.
        orientation: as for `nifti_volumes`.
        axis: as for `nifti_volumes`.
        turn: how stored axes become right, anterior and superior, (3, 2); None where `orientation`
            is.

    Returns:
        (S, H, W).
    """
    if turn is not None:
        values = nibabel.apply_orientation(values, turn)
    volume = values.transpose(_axes(orientation, axis))
    return volume if turn is None else volume[:, ::-1]


@dataclass(frozen=True)
class Nifti(Reader):
    """Reads any folder of NIfTI files, three axes or four (the last is time), real or complex.

    Attributes:
        orientation: "axial", "coronal" or "sagittal", by the file's affine; None keeps the stored
            array, whose slice axis is `axis`.
        axis: 0, 1 or 2.
    """

    orientation: str | None
    axis: int

    def __post_init__(self) -> None:
        if self.orientation is not None and self.orientation not in ORIENTATIONS:
            allowed = ", ".join(ORIENTATIONS)
            raise ConfigurationError(
                f"format.orientation={self.orientation}: must be null or one of {allowed}"
            )
        if isinstance(self.axis, bool) or self.axis not in (0, 1, 2):
            raise ConfigurationError(f"format.axis={self.axis}: must be 0, 1 or 2")

    def volumes(self, source: Path) -> Iterator[SourceVolume]:
        """Give the volumes of each file; see `Reader.volumes`.

        The outermost folder below the source is the subject, or the file's stem where it lies in
        none; folders train, val(idation) and test give the split and are no subjects.
        """
        for path in find_nifti(source, "NIfTI files (.nii, .nii.gz)"):
            bare = path.with_name(stem(path))
            yield from nifti_volumes(
                path,
                name_of(bare, source if source.is_dir() else bare),
                subject_of(bare, source if source.is_dir() else bare),
                split_of(path, source),
                self.orientation,
                self.axis,
            )

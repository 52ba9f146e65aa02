"""NIfTI: one's own folders, and what all data sets that ship NIfTI have in common."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
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
from kdmri.data.readers.base import Reader, SourceSlice, SourceVolume, unreadable
from kdmri.data.readers.naming import UNREADABLE, blaming, name_of, natural, split_of
from kdmri.data.readers.nifti_header import (
    affine_in_mm,
    array_shape,
    notes,
    open_image,
    sizes_in_mm,
    tells_orientation,
)
from kdmri.errors import ConfigurationError, DataError

ENDINGS = (".nii", ".nii.gz")
DAMAGED = (ImageFileError, HeaderDataError, ZlibError)
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
    """Return a file's name without .nii or .nii.gz."""
    return path.name.removesuffix(".gz").removesuffix(".nii")


def nifti_volumes(
    path: Path,
    name: str,
    subject: str,
    split: str | None,
    orientation: str | None = None,
    axis: int = 2,
) -> Iterator[SourceVolume]:
    """Yield the volume of a file, or one for each time point of a file with four axes.

    Args:
        path: the NIfTI file; its scl_slope and scl_inter are applied.
        name: of the volume; time points append `_frame01`, `_frame02`, ...
        subject: who was scanned; "" where names of files and folders tell.
        split: "train", "validation", "test" or None.
        orientation: "axial", "coronal" or "sagittal" turns the image by its affine, anterior or
            superior up; None keeps the stored array.
        axis: slice axis of the stored array where `orientation` is None.
    """
    try:
        image = open_image(path)
        shape = array_shape(image)
        geometry = _geometry(image, orientation, axis)
        description = notes(image, path, turned=orientation is not None)
    except (*UNREADABLE, *DAMAGED) as error:
        yield replace(unreadable(path, error), name=name, subject=subject, split=split)
        return
    for frame in range(shape[3]) if len(shape) == 4 else [None]:
        yield SourceVolume(
            name=name if frame is None else f"{name}_frame{frame + 1:02d}",
            subject=subject,
            files=(path,),
            slices=partial(_slices, path, orientation, axis, frame),
            geometry=geometry,
            split=split,
            notes=description,
        )


def _axes(orientation: str | None, axis: int) -> tuple[int, int, int]:
    """Return the axes across slices, down a slice and along it."""
    if orientation is not None:
        return ORIENTATIONS[orientation]
    down, along = (n for n in range(3) if n != axis)
    return axis, down, along


def turn_of(image: nibabel.Nifti1Image, orientation: str | None) -> np.ndarray | None:
    """Tell by the affine how stored axes become right, anterior and superior.

    Args:
        image: its header.
        orientation: as for `nifti_volumes`.

    Returns:
        (3, 2) as nibabel has it; None where the stored array is kept.

    Raises:
        ImageFileError: the affine does not tell it.
    """
    if orientation is None:
        return None
    if affine_in_mm(image) is None:
        raise ImageFileError(
            "its affine does not tell the orientation; use format.orientation=null"
        )
    return nibabel.io_orientation(image.affine)


def _geometry(image: nibabel.Nifti1Image, orientation: str | None, axis: int) -> Geometry | None:
    """Tell where the slices lie that `as_slices` cuts from the stored array."""
    turn = turn_of(image, orientation)
    across, down, along = _axes(orientation, axis)
    affine, sizes = affine_in_mm(image), sizes_in_mm(image)
    if affine is None:
        return (
            None
            if sizes is None
            else Geometry.of_spacing((sizes[down], sizes[along], sizes[across]))
        )
    shape = np.array(array_shape(image)[:3])
    if turn is not None:
        affine = affine @ nibabel.orientations.inv_ornt_aff(turn, tuple(shape))
        shape[turn[:, 0].astype(int)] = shape.copy()
    found = Geometry.of_array(affine, (down, along, across))
    if not tells_orientation(image):
        return Geometry.of_spacing(found.spacing)
    return found if turn is None else found.flipped(int(shape[down]))


def _slices(
    path: Path, orientation: str | None, axis: int, frame: int | None
) -> Iterator[SourceSlice]:
    with blaming(path, *DAMAGED):
        image = open_image(path)
        proxy: Any = image.dataobj
        # Stored numbers of an uncompressed file stay on the disk; a compressed one is read whole.
        values = np.asanyarray(proxy.get_unscaled()).reshape(array_shape(image), order="F")
        values = values if frame is None else values[..., frame]
        volume = as_slices(values, orientation, axis, turn_of(image, orientation))
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

    Axes of length 1 behind these are no reason to refuse a file.

    Attributes:
        orientation: "axial", "coronal" or "sagittal", by the file's affine; None keeps the stored
            array, whose slice axis is `axis`.
        axis: 0, 1 or 2.
        nan: "zero" makes NaN of the images 0, "refuse" refuses it.
    """

    orientation: str | None
    axis: int
    nan: str = field(default="refuse", repr=False)

    def __post_init__(self) -> None:
        if self.orientation is not None and self.orientation not in ORIENTATIONS:
            allowed = ", ".join(ORIENTATIONS)
            raise ConfigurationError(
                f"format.orientation={self.orientation}: must be null or one of {allowed}"
            )
        if isinstance(self.axis, bool) or self.axis not in (0, 1, 2):
            raise ConfigurationError(f"format.axis={self.axis}: must be 0, 1 or 2")

    def volumes(self, source: Path) -> Iterator[SourceVolume]:
        """Yield the volumes of each file; see `Reader.volumes`.

        Names of files and folders tell the subject (`kdmri.data.readers.who`); folders train,
        val(idation) and test, imagesTr and imagesTs give the split.
        """
        for path in find_nifti(source, "NIfTI files (.nii, .nii.gz)"):
            bare = path.with_name(stem(path))
            yield from nifti_volumes(
                path,
                name_of(bare, source if source.is_dir() else bare),
                "",
                split_of(path, source),
                self.orientation,
                self.axis,
            )

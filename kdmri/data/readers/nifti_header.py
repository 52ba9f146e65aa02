"""What the header of a NIfTI file says of its array: shape, unit, and place in the patient."""

import math
from pathlib import Path

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError

from kdmri.data.geometry import FAR, is_usable
from kdmri.data.readers.declared import check_declared

MILLIMETRES = {1: 1000.0, 2: 1.0, 3: 0.001}
"""Length of a unit by its code in `xyzt_units`: metre, millimetre, micrometre."""

UNIT = 7
"""The bits of `xyzt_units` that tell the unit of length; the others are of time."""

VOXEL = (0.005, 100.0)
"""Sizes of a voxel in mm that MR images of a body, or of a small animal, have."""

EXTENT = (1.0, 3000.0)
"""Lengths in mm that the longest side of such an image has."""


def open_image(path: Path) -> nibabel.Nifti1Image:
    """Open a file, header only.

    Raises:
        ImageFileError: it holds no image of a usable shape and type.
        ValueError: it is too small for what its header declares.
    """
    try:
        image = nibabel.load(path)
    except ValueError as error:
        # What nibabel says of quaternions that are longer than 1: "w2 should be positive".
        if "w2" not in str(error):
            raise
        raise ImageFileError(
            f"the quaternion of its header is no rotation ({error}); set sform, or qform_code to 0"
        ) from error
    if not isinstance(image, nibabel.Nifti1Image):
        raise ImageFileError("is not NIfTI")
    array_shape(image)
    dtype = image.get_data_dtype()
    if dtype.kind not in "buifc":
        raise ImageFileError(f"has type {dtype}; it must be real or complex numbers")
    check_declared(path, math.prod(map(int, image.shape)) * dtype.itemsize)
    return image


def array_shape(image: nibabel.Nifti1Image) -> tuple[int, ...]:
    """Tell the axes that count: (X, Y, Z), or (X, Y, Z, T) where there are time points.

    Axes of length 1 behind these mean nothing, and one slice may be stored with two axes.

    Raises:
        ImageFileError: there are others, or too few.
    """
    shape = image.shape
    axes = list(shape)
    while len(axes) > 3 and axes[-1] == 1:
        axes.pop()
    if len(axes) == 2:
        axes.append(1)
    if len(axes) > 4 and min(shape) > 0:
        raise ImageFileError(
            f"has shape {shape}: axes behind the fourth hold several values a voxel, such as a "
            "displacement field, and no images; where they are time points or echoes, store them "
            "along the fourth axis"
        )
    if len(axes) not in (3, 4) or min(axes) < 1:
        raise ImageFileError(f"has shape {shape}; it must be 3D or 4D")
    return tuple(axes)


def affine_in_mm(image: nibabel.Nifti1Image) -> np.ndarray | None:
    """Compute the affine (4, 4) to RAS+ mm by nibabel's rules: sform, else qform, else sizes.

    Returns:
        None where it is not finite or not invertible.
    """
    affine = np.array(image.affine, np.float64)
    with np.errstate(over="ignore"):
        affine[:3] *= _unit(image)
    return affine if is_usable(affine) else None


def tells_orientation(image: nibabel.Nifti1Image) -> bool:
    """Tell whether the header gives orientation and position, and not the sizes alone."""
    return bool(image.header["sform_code"] or image.header["qform_code"])


def sizes_in_mm(image: nibabel.Nifti1Image) -> tuple[float, float, float] | None:
    """Read the voxel sizes (`pixdim`) along the three axes in mm, None where unknown."""
    with np.errstate(over="ignore"):
        sizes = np.asarray(image.header["pixdim"][1:4], np.float64) * _unit(image)
    if not ((sizes > 0) & (sizes < FAR)).all():
        return None
    return float(sizes[0]), float(sizes[1]), float(sizes[2])


def notes(image: nibabel.Nifti1Image, path: Path, turned: bool) -> tuple[str, ...]:
    """Say what of a header that can be read is likely to be wrong.

    Args:
        image: its header.
        path: to name.
        turned: whether slices are turned by the affine.
    """
    found = []
    code = int(image.header["xyzt_units"]) & UNIT
    affine, sizes = affine_in_mm(image), sizes_in_mm(image)
    if affine is not None:
        sizes = tuple(np.linalg.norm(affine[:3, :3], axis=0).tolist())
    if sizes is not None and not _plausible(sizes, array_shape(image)[:3]):
        shown = " x ".join(f"{size:.4g}" for size in sizes)
        unit = {1: "in metres", 2: "in mm", 3: "in micrometres"}.get(code, "in no known unit")
        taken = "" if code in MILLIMETRES else ", which is taken for mm"
        found.append(
            f"{path}: its header tells lengths {unit}{taken}: voxels of {shown} mm, which no body "
            "has; correct xyzt_units or the sizes"
        )
    if turned and not tells_orientation(image):
        found.append(
            f"{path}: its header tells no orientation (qform_code and sform_code are 0); taken for "
            f"{''.join(nibabel.aff2axcodes(image.affine))}, as nibabel does"
        )
    return tuple(found)


def _unit(image: nibabel.Nifti1Image) -> float:
    """Tell the mm of a unit; files without one are in mm, as all programs take them."""
    return MILLIMETRES.get(int(image.header["xyzt_units"]) & UNIT, 1.0)


def _plausible(sizes: tuple[float, ...], shape: tuple[int, ...]) -> bool:
    longest = max(size * count for size, count in zip(sizes, shape, strict=True))
    within = all(VOXEL[0] <= size <= VOXEL[1] for size in sizes)
    return within and EXTENT[0] <= longest <= EXTENT[1]

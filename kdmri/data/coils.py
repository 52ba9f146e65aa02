"""Volumes of several coils: where their k-space lies, and how it is read.

A file of the layout (`kdmri.data.layout`) of several coils has its image `volfs` (H, W, S) and

- `kspace_coils`: complex64 (coils, H', W', S), as acquired, orthonormal, zero frequency at the
  corner, of coil images as displayed; of H' and W' the middle H and W are shown;
- or, instead, the attribute `kspace_file`: a fastMRI file that is read in place, whose `kspace` is
  complex64 (S, coils, H', W') with the zero frequency in the middle;
- `sensitivities`: complex64 (coils, H', W', S), where the source has them; they are brought to unit
  norm over the coils when they are read.

Attributes, each where it is known:

- `crop`: "fastmri" where `volfs` begins at (n - m) // 2 of the coils' images, and not at
  n // 2 - m // 2 (`kdmri.data.cropping.Window`);
- `measured_against`: what `volfs` is and reconstructions are measured against,
  "reconstruction_rss", the file's own, or "rss", the root sum of squares of all coils; without it
  they are measured against the combined image.
"""

from dataclasses import dataclass, replace
from functools import cache, reduce
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from kdmri.data.attributes import read_readout
from kdmri.data.cropping import Window
from kdmri.data.layout import DAMAGED, TARGET, Volume, read_slice, reading
from kdmri.errors import DataError

KSPACE, SENSITIVITIES, KSPACE_FILE = "kspace_coils", "sensitivities", "kspace_file"
CROP, FASTMRI = "crop", "fastmri"
MEASURED_AGAINST = "measured_against"
OF_FILE, OF_COILS = "reconstruction_rss", "rss"
Size = tuple[int, int]
NOWHERE = Window(0, 0, 0, 0)


@dataclass(frozen=True)
class CoilVolume(Volume):
    """A volume of several coils, without its values; its shape is that of k-space.

    Attributes:
        coils: number of them.
        shown: window of the image that is shown and measured, in the coils' images.
        source: fastMRI file that holds k-space, in place of the volume's own.
        has_sensitivities: whether the volume's own file has them.
        against: what it is measured against, a value of `measured_against`; "" the combined image.
        unit: of the image `volfs`, in units of k-space.
    """

    coils: int = 1
    shown: Window = NOWHERE
    source: Path | None = None
    has_sensitivities: bool = False
    against: str = ""
    unit: float = 1.0

    @property
    def bytes_in_memory(self) -> int:
        """Size once read: k-space, sensitivities and the combined image, complex64."""
        return int(np.prod(self.shape)) * 8 * (2 * self.coils + 1)

    @property
    def kspace_path(self) -> Path:
        """The file that holds k-space."""
        return self.source or self.path


def holds_coils(file: h5py.File) -> bool:
    """Tell whether an open file of the layout holds k-space of several coils, or says where."""
    return KSPACE in file or KSPACE_FILE in file.attrs


def inspect_coils(path: Path) -> CoilVolume:
    """Describe a file of several coils and check its keys, shapes and types.

    Raises:
        DataError: it has no k-space of several coils, or of another shape or type than it must, or
            what it is read from in place is not there.
    """
    with reading(path) as file:
        target = file.get(TARGET)
        if not isinstance(target, h5py.Dataset) or target.ndim != 3:
            raise DataError(f"{path}: key {TARGET} (H, W, S) is missing")
        height, width, slices = target.shape
        against = str(file.attrs.get(MEASURED_AGAINST, ""))
        source = file.attrs.get(KSPACE_FILE)
        if source is not None:
            found = _in_place(path, Path(str(source)), (height, width), slices)
            return replace(
                found, **_measured(against, found.shown), unit=_unit(file, path), readout=0
            )
        if KSPACE not in file:
            raise DataError(
                f"{path}: has no {KSPACE}; prepare it with format.keep_coils=true, or train on its "
                "images with dataset=own"
            )
        shapes = {key: _shape(file[key]) for key in (KSPACE, SENSITIVITIES) if key in file}
        shape = shapes[KSPACE]
        coils, *size, count = shape if isinstance(shape, tuple) else (0, 0, 0, 0)
        if coils < 1 or count != slices or len(set(shapes.values())) > 1:
            raise DataError(
                f"{path}: {', '.join(f'{k} is {s}' for k, s in shapes.items())}; each must be "
                f"complex (coils, H, W, {slices}), as many slices as {TARGET} has"
            )
        if height > size[0] or width > size[1]:
            raise DataError(
                f"{path}: {TARGET} is {height}x{width}, larger than its k-space, "
                f"{size[0]}x{size[1]}: it must be the middle of the coils' images"
            )
        is_fastmri = file.attrs.get(CROP) == FASTMRI
        cut = Window.of_fastmri if is_fastmri else Window.centred
        return CoilVolume(
            path,
            (size[0], size[1], slices),
            TARGET,
            KSPACE,
            coils=coils,
            has_sensitivities=SENSITIVITIES in file,
            readout=read_readout(file),
            **_measured(against, cut((size[0], size[1]), (height, width))),
        )


def _unit(file: h5py.File, path: Path) -> float:
    """Read what the values of an image were divided by; 1 where a file does not say."""
    told = file.attrs.get("scale", 1.0)
    try:
        unit = float(told)
    except (TypeError, ValueError):
        unit = 0.0
    if not 0 < unit < np.inf:
        raise DataError(f"{path}: attribute scale={told} must be a number above 0; correct it")
    return unit


def _measured(against: str, stored: Window) -> dict[str, Any]:
    """Tell what a volume is measured against, and where.

    What is measured against a root sum of squares is cut to the square of its width, as
    `fastmri.evaluate` cuts it.

    Args:
        against: as in the file.
        stored: window of its image.
    """
    if against not in (OF_FILE, OF_COILS):
        return {"against": "", "shown": stored}
    inner = square(stored.size)
    top, left = stored.top + inner.top, stored.left + inner.left
    return {"against": against, "shown": Window(top, left, *inner.size)}


def square(size: Size) -> Window:
    """Return what `fastmri.evaluate` measures of an image: as many rows as columns.

    An image of fewer rows than columns, which it refuses, is measured whole.
    """
    return Window.of_fastmri(size, (min(size), size[1]))


def _shape(stored: h5py.Dataset | h5py.Group) -> tuple[int, ...] | str:
    """Return the shape of a complex array of four axes; of anything else, say what it is."""
    if not isinstance(stored, h5py.Dataset):
        return "a group"
    if stored.ndim != 4 or stored.dtype.kind != "c":
        return f"{stored.dtype} of shape {stored.shape}"
    return stored.shape


def _in_place(path: Path, source: Path, shown: Size, slices: int) -> CoilVolume:
    if not source.is_file():
        raise DataError(
            f"{path}: its k-space is read in place from {source}, which is not there; move it "
            "back, or prepare the data set again"
        )
    with reading(source) as file:
        kspace = file.get("kspace")
        if not isinstance(kspace, h5py.Dataset) or kspace.ndim != 4 or kspace.dtype.kind != "c":
            raise DataError(f"{source}: key kspace, complex (S, coils, H, W), is missing")
        count, coils, height, width = kspace.shape
    if count != slices:
        raise DataError(
            f"{source}: has {count} slices, {path} {slices}; it is another file than was prepared"
        )
    window = Window.of_fastmri((height, width), shown)
    if not window.is_within:
        raise DataError(
            f"{path}: {TARGET} is {shown[0]}x{shown[1]}, larger than the k-space of {source}, "
            f"{height}x{width}; it is another file than was prepared"
        )
    return CoilVolume(
        path, (height, width, slices), TARGET, "kspace", coils=coils, shown=window, source=source
    )


def read_kspace(file: h5py.File, volume: CoilVolume, index: int) -> np.ndarray:
    """Read one slice of k-space as it is used in the program.

    Args:
        file: `volume.kspace_path`, open.
        volume: what `inspect_coils` gave.
        index: of the slice.

    Returns:
        complex64 (coils, H, W), orthonormal, zero frequency at the corner, in the file's units.

    Raises:
        DataError: the file is damaged, or the slice holds NaN or infinite values.
    """
    assert volume.kspace_key is not None
    values = _read(file, volume.kspace_path, volume.kspace_key, index, first=bool(volume.source))
    return from_middle(values) if volume.source else values


def read_sensitivities(file: h5py.File, volume: CoilVolume, index: int) -> np.ndarray:
    """Read the stored sensitivities of a slice.

    Args:
        file: `volume.path`, open.
        volume: what `inspect_coils` gave.
        index: of the slice.

    Returns:
        complex64 (coils, H, W), of unit norm over the coils where they are not zero.

    Raises:
        DataError: the file is damaged, or the slice holds NaN or infinite values.
    """
    return unit_norm(_read(file, volume.path, SENSITIVITIES, index))


def read_truth(file: h5py.File, volume: CoilVolume, index: int) -> np.ndarray:
    """Read the image that a slice is measured against, of a volume that says `against` what.

    Args:
        file: `volume.path`, open.
        volume: what `inspect_coils` gave.
        index: of the slice.

    Returns:
        Magnitude, float32 (h, w), as it is shown, in units of k-space.

    Raises:
        DataError: the file is damaged, or the slice holds NaN, infinite values or less than zero.
    """
    image = read_slice(file, volume, TARGET, index) * np.float32(volume.unit)
    return square(image.shape).of(image)


def unit_norm(sensitivities: np.ndarray) -> np.ndarray:
    """Bring sensitivities (coils, H, W) to unit norm over the coils where they are not zero.

    Data consistency takes them to have it: with others the true image would not agree with its own
    k-space.

    Returns:
        complex64, same shape.
    """
    norm = np.linalg.norm(sensitivities, axis=0)
    return (sensitivities / np.where(norm > 0, norm, 1)).astype(np.complex64)


def _read(file: h5py.File, path: Path, key: str, index: int, first: bool = False) -> np.ndarray:
    """Read a slice, complex64, along the first or the last axis of an array."""
    place = f"{path}: {key}, slice {index}"
    try:
        stored = file[key]
        values = np.asarray(stored[index] if first else stored[..., index])
    except (OSError, *DAMAGED) as error:
        raise DataError(f"{place}: unreadable ({error})") from error
    if not np.isfinite(values).all():
        raise DataError(f"{place} holds NaN or infinite values")
    return values.astype(np.complex64, copy=False)


def from_middle(kspace: np.ndarray, axes: tuple[int, ...] = (-2, -1)) -> np.ndarray:
    """Move the zero frequency of k-space (..., H, W) from the middle to the corner.

    Its plain inverse transform is the image as displayed then, not one that begins in its middle.

    Args:
        kspace: complex64.
        axes: that it is moved along, of the last two.

    Returns:
        complex64, same shape.
    """
    turns = [np.expand_dims(_turn(kspace.shape[axis]), tuple(range(axis + 1, 0))) for axis in axes]
    return np.fft.ifftshift(kspace, axes) * reduce(np.multiply, turns)


@cache
def _turn(count: int) -> np.ndarray:
    """Phase that moves an image by half its width: exactly 1 and -1 for an even one."""
    frequency = np.rint(np.fft.fftfreq(count) * count)
    if count % 2 == 0:
        return np.where(frequency % 2 == 0, 1, -1).astype(np.complex64)
    return np.exp(-2j * np.pi * frequency * (count // 2) / count).astype(np.complex64)

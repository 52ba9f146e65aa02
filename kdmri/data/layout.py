"""The h5 layout on disk: the one module that reads, writes and validates it.

A file holds one volume (keys of shape (H, W, S)) or one slice (keys of shape (H, W)):

- `volfs`: fully sampled magnitude, float;
- `volfc`: the complex image, complex64, beside `volfs` = |`volfc`| (files of this project only);
- `img_volus_4x`, `kspace_volus_4x`: zero-filled magnitude and undersampled k-space for an
  acceleration, as files of the original KD-MRI project carry them.

Attributes of the file, each where it is known:

- `subject`: pseudonym of who was scanned;
- `scale`: what the source's values were divided by;
- `largest_magnitude`: of the file;
- `sampling`: "full" where stored k-space told it; complex images are judged by their own
  Fourier transform elsewhere, which has zeros of its own where they are a phantom's;
- `spacing_mm`: distances between rows, columns and slices, as text: "1.5 1.25 3";
- `affine`: float64 (4, 4), takes (row, column, slice, 1) to mm towards right, anterior and superior
  (RAS+, as NIfTI counts them); there where orientation and position are known;
- `readout`: axis of slices, 0 (rows) or 1 (columns), along which the scanner read out; beside
  complex images and k-space of several coils.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from kdmri.data.attributes import Attribute, read_readout
from kdmri.data.cropping import fit_centre
from kdmri.data.hdf5 import DAMAGED, hdf5_written_aside, open_hdf5
from kdmri.data.stored_kspace import kspace_factor
from kdmri.errors import DataError

TARGET = "volfs"
COMPLEX_TARGET = "volfc"
LARGEST = "largest_magnitude"
"""Attribute of a file: its largest magnitude, known without reading the volume."""
SAMPLING, FULL = "sampling", "full"
"""Attribute of a file, and its value: stored k-space was judged to be fully sampled."""
SUBJECT = "subject"
"""Attribute of a file: pseudonym of who was scanned."""
BELOW_ZERO = -1e-3
"""Magnitudes, of which the largest is 1, may be this much below zero by rounding."""


@dataclass(frozen=True)
class Volume:
    """What a file holds, without its values.

    Attributes:
        path: the file.
        shape: (H, W, S), S = 1 for a file of one slice.
        target_key: `volfs` or `volfc`.
        kspace_key: `kspace_volus_*`, or None where k-space is simulated from the target.
        kspace_factor: what the stored k-space is multiplied by to become orthonormal.
        readout: axis of slices along which the scanner read out; None where that is not known.
    """

    path: Path
    shape: tuple[int, int, int]
    target_key: str
    kspace_key: str | None = None
    kspace_factor: float = 1.0
    readout: int | None = None

    @property
    def name(self) -> str:
        """The file name without its ending."""
        return self.path.stem

    @property
    def bytes_in_memory(self) -> int:
        """Size once read as float32 or complex64."""
        per_sample = (8 if self.target_key == COMPLEX_TARGET else 4) + (8 if self.kspace_key else 0)
        return int(np.prod(self.shape)) * per_sample


def open_volume(path: Path) -> h5py.File:
    """Open a file for reading.

    Raises:
        DataError: the file is missing, truncated, not HDF5, or shows what lies in other files.
    """
    try:
        return open_hdf5(path)
    except OSError as error:
        raise DataError(f"{path}: missing, truncated or not an HDF5 file ({error})") from error
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error


@contextmanager
def reading(path: Path) -> Iterator[h5py.File]:
    """Open a file for a block that reads it; damage that shows there is a DataError as well.

    Raises:
        DataError: like `open_volume`, or what the block reads is damaged.
    """
    with open_volume(path) as file:
        try:
            yield file
        except (OSError, *DAMAGED) as error:
            raise DataError(f"{path}: damaged ({error})") from error


def inspect(path: Path, channels: int, acceleration: str | None = None) -> Volume:
    """Describe a file and check its keys, shapes and types; reads one slice of stored k-space.

    Args:
        path: the h5 file.
        channels: 1 reads magnitude images, 2 complex ones.
        acceleration: such as "4x", where the file lies in an `acc_4x` folder and carries
            undersampled k-space; None elsewhere.

    Raises:
        DataError: a key is missing, or of a wrong shape or type, or the stored k-space does not
            belong to the stored image.
    """
    keys = TARGET, COMPLEX_TARGET
    target_key = keys[channels - 1]
    with reading(path) as file:
        target = _dataset(file, path, target_key, "fc"[channels - 1])
        _check_shapes(path, target, [file[key] for key in keys if key in file])
        volume = Volume(path, _volume_shape(target, path), target_key, readout=read_readout(file))
        if acceleration is None:
            return volume
        image = _dataset(file, path, f"img_volus_{acceleration}", "f")
        kspace_key = f"kspace_volus_{acceleration}"
        kspace = _dataset(file, path, kspace_key, "c")
        _check_shapes(path, target, [image, kspace])
        factor = kspace_factor(path, image, kspace)
    return Volume(path, volume.shape, target_key, kspace_key, factor)


def _check_shapes(path: Path, target: h5py.Dataset, others: Iterable[h5py.HLObject]) -> None:
    """See that what a file has beside its target is of the same slices."""
    for other in others:
        shape = getattr(other, "shape", None)  # a group has none
        if shape != target.shape:
            raise DataError(
                f"{path}: {other.name[1:]} has shape {shape}, {target.name[1:]} {target.shape}; "
                "they must be equal"
            )


def told_subject(path: Path) -> str | None:
    """Tell who was scanned where the file says it; None where it does not."""
    try:
        with open_volume(path) as file:
            return str(file.attrs[SUBJECT]) if SUBJECT in file.attrs else None
    except (OSError, *DAMAGED, DataError):
        return None  # what is wrong is said when it is read


def subject(path: Path) -> str | None:
    """Tell who was scanned, or take each volume for another subject.

    Returns:
        A pseudonym, the file's own name where it does not say and holds a volume; None where it
        holds one slice, since others may show the same subject.
    """
    description = told_subject(path)
    if description is not None:
        return description
    try:
        with h5py.File(path, "r") as file:
            target = file[TARGET if TARGET in file else COMPLEX_TARGET]
            return path.name if _volume_shape(target, path)[2] > 1 else None
    except (OSError, *DAMAGED, AttributeError, DataError):
        return path.name  # what is wrong is said when it is read


def subjects(volumes: Iterable[Volume]) -> list[str]:
    """Tell who was scanned in each volume; slices that nothing tells of count as one subject."""
    return [subject(volume.path) or "unknown" for volume in volumes]


def read_slice(file: h5py.File, volume: Volume, key: str, index: int) -> np.ndarray:
    """Read one slice (H, W) as float32 or complex64.

    Raises:
        DataError: the file is damaged, or the slice holds NaN, infinite values or magnitudes below
            zero.
    """
    dataset = file[key]
    try:
        values = dataset[...] if dataset.ndim == 2 else dataset[:, :, index]
    except OSError as error:
        raise DataError(f"{volume.path}: {key}, slice {index}: unreadable ({error})") from error
    return _checked(values, volume.path, key, f"{key}, slice {index}")


def read_volume(file: h5py.File, volume: Volume, key: str) -> np.ndarray:
    """Read all slices (H, W, S) as float32 or complex64; raises like `read_slice`."""
    try:
        values = file[key][...]
    except OSError as error:
        raise DataError(f"{volume.path}: {key}: unreadable ({error})") from error
    return _checked(values.reshape(volume.shape), volume.path, key, key)


def largest_magnitude(
    file: h5py.File, volume: Volume, image_size: tuple[int, int] | None = None
) -> float:
    """Return the data range of a volume, by its attribute or by reading it slice by slice.

    Args:
        file: the open file.
        volume: what `inspect` gave.
        image_size: (H, W) that slices are cropped or padded to; what is cut off does not count.

    Raises:
        DataError: all values are zero.
    """
    size = image_size or volume.shape[:2]
    stored = file.attrs.get(LARGEST) if size == volume.shape[:2] else None
    if stored is None:
        images = (read_slice(file, volume, volume.target_key, i) for i in range(volume.shape[2]))
        stored = max(float(np.abs(fit_centre(image, size)).max()) for image in images)
    if stored <= 0:
        raise DataError(f"{volume.path}: {volume.target_key} is zero everywhere")
    return float(stored)


def write_volume(path: Path, volume: np.ndarray, attributes: Mapping[str, Attribute]) -> None:
    """Write a volume that is in memory; see `write_slices`.

    Args:
        path: the h5 file.
        volume: (H, W, S), real magnitude or complex, scaled by the caller.
        attributes: facts of the scan (orientation, spacing in mm, source) kept as attributes.
    """
    slices = np.moveaxis(volume, -1, 0)
    write_slices(path, (target_keys(image) for image in slices), attributes)


def target_keys(image: np.ndarray) -> dict[str, np.ndarray]:
    """Return what is stored of one target slice (H, W), real magnitude or complex, by key."""
    if not np.iscomplexobj(image):
        return {TARGET: image.astype(np.float32)}
    return {TARGET: np.abs(image).astype(np.float32), COMPLEX_TARGET: image.astype(np.complex64)}


def write_slices(
    path: Path,
    slices: Iterable[Mapping[str, np.ndarray]],
    attributes: Mapping[str, Attribute],
) -> tuple[int, int, int]:
    """Write slices as they come, whole file or none, chunked by slice.

    Real arrays are compressed (the dark around a head pays for it), complex ones are not.

    Args:
        path: the h5 file.
        slices: each gives an array by key, `volfs` among them, such as (H, W) or (coils, H, W); the
            slices are stacked along a new last axis.
        attributes: kept as attributes of the file, beside its largest magnitude.

    Returns:
        Shape (H, W, S) of `volfs`.

    Raises:
        KdmriError: the file cannot be written.
    """
    largest, count = 0.0, 0
    with hdf5_written_aside(path) as file:
        for values in slices:
            for key, value in values.items():
                if key not in file:
                    file.create_dataset(
                        key,
                        shape=(*value.shape, 0),
                        maxshape=(*value.shape, None),
                        dtype=value.dtype,
                        chunks=(*value.shape, 1),
                        compression=None if np.iscomplexobj(value) else "lzf",
                    )
                file[key].resize(count + 1, axis=value.ndim)
                file[key][..., count] = value
            largest = max(largest, float(values[TARGET].max()))
            count += 1
        file.attrs[LARGEST] = largest
        file.attrs.update(attributes)
        return file[TARGET].shape


def _dataset(file: h5py.File, path: Path, key: str, kind: str) -> h5py.Dataset:
    if not isinstance(file.get(key), h5py.Dataset):
        found = ", ".join(sorted(file)) or "none"
        raise DataError(f"{path}: key {key} is missing (found: {found})")
    dataset = file[key]
    if dataset.dtype.kind != kind:
        wanted = {"f": "floating-point", "c": "complex"}[kind]
        raise DataError(f"{path}: {key} has type {dataset.dtype}; it must be {wanted}")
    return dataset


def _volume_shape(dataset: h5py.Dataset, path: Path) -> tuple[int, int, int]:
    if dataset.ndim not in (2, 3) or 0 in dataset.shape:
        raise DataError(
            f"{path}: {dataset.name[1:]} has shape {dataset.shape}; it must be (H, W, S), or "
            "(H, W) for a single slice"
        )
    return (*dataset.shape, 1) if dataset.ndim == 2 else dataset.shape


def _checked(values: np.ndarray, path: Path, key: str, place: str) -> np.ndarray:
    if not np.isfinite(values).all():
        raise DataError(f"{path}: {place} holds NaN or infinite values")
    if key == TARGET and not np.iscomplexobj(values) and values.min() < BELOW_ZERO:
        raise DataError(
            f"{path}: {place} reaches {values.min():g}; it holds magnitudes, which are not below "
            f"zero. Complex images belong into {COMPLEX_TARGET}, for dataset.channels=2"
        )
    return values.astype(np.complex64 if np.iscomplexobj(values) else np.float32)

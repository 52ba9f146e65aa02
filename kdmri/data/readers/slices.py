"""Slices of a volume that can be used: all of one size, and all numbers."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from kdmri.data.readers.base import Reader, SourceSlice, SourceVolume
from kdmri.errors import DataError

MOST_NAN = 0.95
"""A volume with a larger share of NaN is taken for damaged, whatever `format.nan` says."""


def volumes_of(reader: Reader, source: Path) -> list[SourceVolume]:
    """List the volumes of a reader, with what its option `nan` says of their images.

    Args:
        reader: to ask.
        source: file or directory.

    Raises:
        DataError: as for `Reader.volumes`.
    """
    nan = getattr(reader, "nan", None)
    return [replace(volume, nan=nan) for volume in reader.volumes(source)]


def check_names(volumes: Iterable[SourceVolume]) -> None:
    """See that no two volumes have one name, which files are called by.

    Raises:
        DataError: two have.
    """
    names: dict[str, SourceVolume] = {}
    for volume in volumes:
        other = names.setdefault(volume.name, volume)
        if other is not volume:
            raise DataError(
                f"{other.files[0]} and {volume.files[0]}: would both become {volume.name}; rename "
                "one"
            )


def checked(volume: SourceVolume) -> Iterator[SourceSlice]:
    """Read the slices of a volume; NaN of images is 0 where `volume.nan` is "zero".

    Values that were made from k-space are never replaced.

    Raises:
        DataError: slices are of several sizes or numbers of coils, or what belongs to their k-space
            is of another shape, or they hold NaN or infinite values; at the end, where nearly all
            values were NaN.
    """
    file, size, total, nan = volume.files[0], None, 0, 0
    first: SourceSlice | None = None
    for number, given in enumerate(volume.slices()):
        first = first or given
        size = size or given.image.shape
        if given.image.shape != size:
            raise DataError(
                f"{file}: slice {number} is {given.image.shape}, the first {size}; slices of a "
                "volume must be of one size"
            )
        _check_coils(given, first, number, file)
        item = _without_nan(given) if volume.nan == "zero" else given
        if not all(np.isfinite(array).all() for array in _arrays(item)):
            raise DataError(
                f"{file}: slice {number} holds NaN or infinite values{_hint(volume, item)}"
            )
        total, nan = total + item.image.size, nan + item.nan
        yield item
    if nan > MOST_NAN * total:
        raise DataError(
            f"{file}: {nan / total:.1%} of its values are NaN; that is more than a background, "
            f"and no more than {MOST_NAN:.0%} are set to 0"
        )


def _check_coils(item: SourceSlice, first: SourceSlice, number: int, file: Path) -> None:
    """See that a slice has k-space of the coils and the size of the first, and what belongs to it.

    Raises:
        DataError: it has not.
    """
    shape, wanted = (
        None if given.kspace_coils is None else given.kspace_coils.shape for given in (item, first)
    )
    if shape != wanted:
        raise DataError(
            f"{file}: k-space (coils, H, W) of slice {number} is {shape}, of the first {wanted}; "
            "slices of a volume must have the same coils and size: give them apart"
        )
    if shape is None:
        return
    if (item.sensitivities is None) != (first.sensitivities is None):
        raise DataError(
            f"{file}: some of its slices have sensitivities, slice {number} or 0 has not"
        )
    for what, other, ought in (
        ("sensitivities", item.sensitivities, shape),
        ("calibration", item.calibration, shape),
        ("mask", item.mask, shape[1:]),
    ):
        if other is not None and other.shape != ought:
            raise DataError(
                f"{file}: {what} of slice {number} has shape {other.shape}, its k-space {shape}"
            )


def dead_coils(alive: np.ndarray) -> str:
    """Name the coils of a volume that are zero everywhere.

    Args:
        alive: which are not, bool (coils,).

    Returns:
        A sentence, or an empty text where there are none.
    """
    dead = np.flatnonzero(~alive).tolist()
    if not dead:
        return ""
    return (
        f"coil(s) {', '.join(map(str, dead))} of {len(alive)} (counted from 0) are zero "
        "everywhere; they are kept, and tell nothing"
    )


def _without_nan(item: SourceSlice) -> SourceSlice:
    """Return a slice whose NaN is 0, unless it has k-space beside its image."""
    missing = np.isnan(item.image)
    if len(_arrays(item)) > 1 or not missing.any():
        return item
    image = item.image.copy()
    image[missing] = 0
    return item._replace(image=image, nan=int(missing.sum()))


def _hint(volume: SourceVolume, item: SourceSlice) -> str:
    """Say how NaN of images may be replaced; of k-space it never is."""
    made_of_kspace = item.mask is not None or item.note is not None or len(_arrays(item)) > 1
    if volume.nan != "refuse" or made_of_kspace or np.isinf(item.image).any():
        return ""
    return "; where NaN is the background of images, format.nan=zero (beside format=...) makes it 0"


def _arrays(item: SourceSlice) -> list[np.ndarray]:
    return [value for value in item if isinstance(value, np.ndarray)]

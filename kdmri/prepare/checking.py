"""Validates existing h5 files, of this project or of the original one."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from kdmri.data.coils import holds_coils, inspect_coils, read_kspace, read_sensitivities
from kdmri.data.companions import FOLDER, check_explained
from kdmri.data.explained import Explained, explained
from kdmri.data.layout import (
    COMPLEX_TARGET,
    FULL,
    LARGEST,
    SAMPLING,
    TARGET,
    inspect,
    largest_magnitude,
    read_slice,
    reading,
)
from kdmri.data.sampling_pattern import fault, measured_in_image
from kdmri.errors import DataError

UNDERSAMPLED = "acc_"


def check(folder: Path) -> Iterator[tuple[Path, str | tuple[int, int, int]]]:
    """Read every h5 file below a directory to its last value.

    Args:
        folder: such as `datasets/cardiac`; files below `acc_4x` must carry undersampled copies.

    Yields:
        Each file with what is wrong with it, or its shape (H, W, S) where nothing is.

    Raises:
        DataError: there are no h5 files.
    """
    paths = [p for p in sorted(folder.rglob("*.h5")) if FOLDER not in p.relative_to(folder).parts]
    if not paths:
        raise DataError(f"check={folder}: no h5 files there")
    for path in paths:
        try:
            shape = _check_file(path)
        except DataError as error:
            yield path, str(error).removeprefix(f"{path}: ")
        else:
            yield path, shape


def _check_file(path: Path) -> tuple[int, int, int]:
    parent = path.parent.name
    acceleration = parent.removeprefix(UNDERSAMPLED) if parent.startswith(UNDERSAMPLED) else None
    with reading(path) as file:
        has_magnitude, has_complex = TARGET in file, COMPLEX_TARGET in file
        has_coils = holds_coils(file)
    if has_coils:
        _check_coils(path)
    alone = has_complex and not has_magnitude  # enough for dataset.channels=2
    volume = inspect(path, 2 if alone else 1, acceleration)
    target, both = volume.target_key, has_complex and has_magnitude
    with reading(path) as file:
        keys = [target, volume.kspace_key]
        if both:
            inspect(path, channels=2)
            keys.append(COMPLEX_TARGET)
        reached = 0.0
        for key in filter(None, keys):
            for index in range(volume.shape[2]):
                values = read_slice(file, volume, key, index)
                if key == COMPLEX_TARGET and file.attrs.get(SAMPLING) != FULL:
                    _check_sampling(path, values, index)
                reached = max(reached, float(np.abs(values).max())) if key == target else reached
        largest = largest_magnitude(file, volume)
        if abs(largest - reached) > 1e-3 * reached:
            raise DataError(
                f"{path}: {target} reaches {reached:g}, its attribute {LARGEST} says {largest:g}, "
                "which training goes by; correct the attribute, or delete it"
            )
        if both:
            _check_magnitude(path, file[TARGET], file[COMPLEX_TARGET], largest)
    if largest > 1 + 1e-3:
        raise DataError(f"{path}: {target} reaches {largest:g}; volumes are scaled to [0, 1]")
    return volume.shape


def _check_coils(path: Path) -> None:
    """Read the k-space of several coils, and the sensitivities beside it, which must be theirs."""
    volume, found = inspect_coils(path), Explained()
    with reading(volume.kspace_path) as source, reading(path) as own:
        for index in range(volume.shape[2]):
            kspace = read_kspace(source, volume, index)
            if volume.has_sensitivities:
                found += explained(kspace, read_sensitivities(own, volume, index))
    check_explained(found, volume)


def _check_sampling(path: Path, image: np.ndarray, index: int) -> None:
    """See that a complex target was fully sampled: zero-filled images look like others."""
    reason = fault(measured_in_image(image))
    if reason is not None:
        raise DataError(f"{path}: slice {index}: {COMPLEX_TARGET}: {reason}")


def _check_magnitude(path: Path, real: np.ndarray, complex_: np.ndarray, largest: float) -> None:
    for index in range(real.shape[-1]):
        difference = np.abs(real[..., index] - np.abs(complex_[..., index])).max()
        if difference > 1e-3 * largest:
            raise DataError(f"{path}: slice {index}: {TARGET} is not |{COMPLEX_TARGET}|")

"""Scans of four coils as ISMRMRD files have them, and how they are read."""

from pathlib import Path
from typing import Any

import ismrmrd
import numpy as np

from kdmri.data.readers.base import SourceSlice, SourceVolume
from kdmri.data.readers.ismrmrd import Ismrmrd
from tests.data.readers.coils import sensitivities
from tests.data.readers.ismrmrd_files import oversampled

COILS = 4
NOISE = (ismrmrd.ACQ_IS_NOISE_MEASUREMENT,)
CALIBRATION = (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION,)
BOTH = (*CALIBRATION, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING)


def only(path: Path, **options: Any) -> SourceVolume:
    (volume,) = Ismrmrd(**options).volumes(path)
    return volume


def first(path: Path, **options: Any) -> SourceSlice:
    return next(only(path, **options).slices())


def coil_images(anatomy: np.ndarray) -> np.ndarray:
    """One slice of four coils, complex64 (4, 48, 80), oversampled."""
    images = oversampled(anatomy, 1)
    return (images * sensitivities(COILS, images.shape[1:])).astype(np.complex64)


def white(shape: tuple[int, ...]) -> np.ndarray:
    parts = np.random.default_rng(1).normal(size=(2, *shape)) / np.sqrt(2)
    return (parts[0] + 1j * parts[1]).astype(np.complex64)

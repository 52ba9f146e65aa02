"""The knee data of Hammernik et al. 2018: MATLAB files, a slice each, with coil sensitivities."""

import re
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import h5py
import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError, MatReadWarning

from kdmri.data.hdf5 import open_hdf5
from kdmri.data.readers.base import Reader, SourceSlice, SourceVolume, unreadable
from kdmri.data.readers.coil_slices import Wanted, coil_slice
from kdmri.data.readers.matlab5 import check_matlab5
from kdmri.data.readers.naming import blaming, find, natural
from kdmri.data.readers.options import check_flags
from kdmri.errors import DataError

EXPECTED = "case folders 1, 2, ... with rawdata1.mat and espirit1.mat, rawdata2.mat, ..."
TRAINING_CASES = range(1, 11)
VALIDATION_CASES = range(11, 21)
MATLAB_ERRORS = (TypeError, NotImplementedError, zlib.error, MatReadError, MatReadWarning)
"""What scipy raises for files that it cannot read; each becomes one error that names the file."""


@dataclass(frozen=True)
class HammernikKnee(Reader):
    """Reads `{case}/rawdata{N}.mat` and `{case}/espirit{N}.mat` of the variational network data.

    Layout: github.com/VLOGroup/mri-variationalnetwork; Hammernik et al., Magn Reson Med 79 (2018)
    3055. `rawdata` is the k-space of 15 coils, `sensitivities` their ESPIRiT sensitivities s, both
    (640, 368, 15) with the origin in the middle; the image is sum over coils of conj(s) times the
    coil's image, complex64. MATLAB files up to version 7 and of version 7.3 are read.

    Attributes:
        keep_coils: give the coils' k-space and sensitivities too.
        undersampled: give them of undersampled k-space, too, with its mask.
    """

    keep_coils: bool
    undersampled: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        check_flags(self, "keep_coils")

    def volumes(self, source: Path) -> Iterator[SourceVolume]:
        """Yield a volume of one slice for each N; see `Reader.volumes`.

        The subject is the case; cases 1 to 10 are for training and 11 to 20 for validation, as
        published. Where the source holds several sequences, their names go before the case.
        """
        slices: set[tuple[Path, int]] = set()
        for path in find(source, (".mat",), EXPECTED):
            match = re.fullmatch(r"(?:rawdata|espirit)(\d+)\.mat", path.name)
            if match:
                slices.add((path.parent, int(match[1])))
        if not slices:
            raise DataError(f"{source}: found no {EXPECTED}")
        several = len({folder.resolve().parent for folder, _ in slices}) > 1
        for folder, number in sorted(slices, key=lambda item: (natural(item[0]), item[1])):
            case = folder.resolve().name
            name = f"{folder.resolve().parent.name}_{case}" if several else case
            yield replace(
                self._volume(folder, number),
                name=f"{name}_{number}",
                subject=case,
                split=_published_split(case),
            )

    def _volume(self, folder: Path, number: int) -> SourceVolume:
        paths = folder / f"rawdata{number}.mat", folder / f"espirit{number}.mat"
        for missing, there in (paths, paths[::-1]):
            if not missing.is_file():
                return unreadable(there, f"{missing.name} is missing beside it")
        slices = partial(self._slices, *paths)
        return SourceVolume(name="", subject="", files=paths, slices=slices, readout=0)

    def _slices(self, rawdata: Path, espirit: Path) -> Iterator[SourceSlice]:
        kspace = _read(rawdata, "rawdata")
        sensitivities = _read(espirit, "sensitivities")
        if kspace.shape != sensitivities.shape:
            raise DataError(
                f"{espirit}: sensitivities (coils, H, W) are {sensitivities.shape}, but rawdata "
                f"of {rawdata.name} is {kspace.shape}"
            )
        with blaming(rawdata):
            wanted = Wanted(self.keep_coils, self.undersampled)
            yield coil_slice(kspace, 0, wanted, sensitivities)


def _published_split(case: str) -> str | None:
    number = int(case) if case.isdecimal() else 0
    if number in TRAINING_CASES:
        return "train"
    return "validation" if number in VALIDATION_CASES else None


def _read(path: Path, key: str) -> np.ndarray:
    """Read a complex MATLAB array (H, W, coils) as complex64 (coils, H, W).

    Raises:
        DataError: the file is damaged, or the array missing or of another kind.
    """
    with blaming(path, *MATLAB_ERRORS):
        values = _read_hdf5(path, key) if h5py.is_hdf5(path) else _read_classic(path, key)
        if values.ndim != 3 or 0 in values.shape or values.dtype.kind != "c":
            raise ValueError(
                f"{key} is {values.dtype} of shape {values.shape}; it must be complex, "
                "(H, W, coils)"
            )
    return np.ascontiguousarray(np.moveaxis(values, -1, 0), dtype=np.complex64)


def _read_classic(path: Path, key: str) -> np.ndarray:
    """Read one variable of a file up to version 7; objects in other variables are not touched."""
    check_matlab5(path, key)
    with warnings.catch_warnings():
        warnings.simplefilter("error", MatReadWarning)
        variables = loadmat(path, variable_names=[key], appendmat=False)
    if key not in variables:
        raise ValueError(f"variable {key} is missing")
    return np.asarray(variables[key])


def _read_hdf5(path: Path, key: str) -> np.ndarray:
    """Read one variable of a version 7.3 file: axes reversed, complex numbers as compounds."""
    with open_hdf5(path) as file:
        stored = file.get(key)
        if not isinstance(stored, h5py.Dataset):
            raise ValueError(f"variable {key} is missing (found: {', '.join(file)})")
        if stored.shape is None:
            raise ValueError(f"{key} holds no values")
        values = np.asarray(stored[()])
    if values.dtype.names == ("real", "imag"):
        parts, values = values, np.empty(values.shape, np.complex64)
        values.real, values.imag = parts["real"], parts["imag"]
    return values.T

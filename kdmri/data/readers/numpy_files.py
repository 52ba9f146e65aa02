"""Plain .npy files: magnitude or complex images, or k-space of one coil or several."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from kdmri.data.coils import from_middle
from kdmri.data.mask_convention import is_centred
from kdmri.data.npy import open_npy
from kdmri.data.readers.base import Reader, SourceSlice, SourceVolume
from kdmri.data.readers.kspace import (
    IN_PLANE,
    centred_ifft2,
    root_sum_of_squares,
)
from kdmri.data.readers.naming import UNREADABLE, blaming, find, name_of, split_of
from kdmri.data.readers.options import check_flags
from kdmri.data.sampling_pattern import corner_mask, judge, measured
from kdmri.errors import ConfigurationError


@dataclass(frozen=True)
class NumpyFiles(Reader):
    """Reads .npy files, a volume or a slice each; pickled ones are refused.

    Attributes:
        axis: 0, 1 or 2, the slice axis of arrays with three axes; the others are rows and columns.
            k-space of several coils has four: slices, coils, rows and columns.
        kspace: the files hold k-space, complex; otherwise images. What was not measured is exactly
            zero: what each slice's `mask` tells.
        centred: true: frequency zero of that k-space lies in the middle (N//2), and so does the
            image's origin, as in raw data; "kspace": the former alone, as in
            `fftshift(fft2(image))`; false: both lie at index 0.
        keep_coils: give the k-space of several coils too, not their root sum of squares alone.
        undersampled: give it, too, and of what is no target.
        nan: "zero" makes NaN of images 0, never of k-space; "refuse" refuses it.
    """

    axis: int
    kspace: bool
    centred: bool | str
    keep_coils: bool = field(default=False, repr=False)
    undersampled: bool = field(default=False, repr=False)
    nan: str = field(default="refuse", repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.axis, bool) or self.axis not in (0, 1, 2):
            raise ConfigurationError(f"format.axis={self.axis}: must be 0, 1 or 2")
        check_flags(self, "kspace", "keep_coils")
        if not isinstance(self.centred, bool) and self.centred != "kspace":
            raise ConfigurationError(f"format.centred={self.centred}: give true, kspace or false")
        if self.kspace and self.nan != "refuse":
            raise ConfigurationError(
                f"format.nan={self.nan}: is for images; a sample of k-space that is NaN is no 0"
            )

    def volumes(self, source: Path) -> Iterator[SourceVolume]:
        """Yield a volume for each file; see `Reader.volumes`.

        Names of files and folders tell the subject (`kdmri.data.readers.who`); folders train,
        val(idation) and test give the split.
        """
        for path in find(source, (".npy",), ".npy files"):
            yield SourceVolume(
                name=name_of(path, source),
                subject="",
                files=(path,),
                slices=partial(self._slices, path),
                split=split_of(path, source),
            )

    def holds_kspace(self, volume: SourceVolume) -> bool:
        """Tell whether a file is read as k-space, and has its type."""
        try:
            return self.kspace and open_npy(volume.files[0]).dtype.kind == "c"
        except UNREADABLE:
            return False

    def _slices(self, path: Path) -> Iterator[SourceSlice]:
        with blaming(path):
            yield from self.slices_of(self._open(path))

    def slices_of(self, array: np.ndarray) -> Iterator[SourceSlice]:
        """Read the slices of an array (H, W), of three axes or (S, coils, H, W).

        Raises:
            ValueError: it is no k-space or image as the options say.
        """
        if array.ndim == 4:
            for number, values in enumerate(array):
                yield self._coil_slice(np.asarray(values), number)
            return
        slices = array[None] if array.ndim == 2 else np.moveaxis(array, self.axis, 0)
        for values in slices:
            yield self._slice(np.asarray(values))

    def _open(self, path: Path) -> np.ndarray:
        """Map a file into memory; raises ValueError unless it holds numbers of a usable shape."""
        array = open_npy(path)
        if array.dtype.kind not in ("c" if self.kspace else "buifc"):
            wanted = "k-space must be complex" if self.kspace else "images must be numbers"
            raise ValueError(f"has type {array.dtype}; {wanted}")
        if array.ndim not in ((2, 3, 4) if self.kspace else (2, 3)) or 0 in array.shape:
            raise ValueError(
                f"has shape {array.shape}; it must have two or three axes, or four as k-space of "
                "several coils (S, coils, H, W) with format.kspace=true (Calgary-Campinas k-space "
                "is read with format=calgary)"
            )
        if array.ndim == 4 and self.axis != 0:
            raise ValueError(
                f"has shape {array.shape}; k-space of several coils is (S, coils, H, W): leave "
                "format.axis at 0"
            )
        return array

    def _coil_slice(self, values: np.ndarray, number: int) -> SourceSlice:
        """Make a slice of k-space of several coils (coils, H, W)."""
        self._check_origin(np.linalg.norm(values, axis=0))
        found = measured(values, bool(self.centred))
        note = judge(found, number, self.undersampled)
        image = root_sum_of_squares(self._image(values))
        if not (self.keep_coils or self.undersampled):
            return SourceSlice(image, note=note)
        kspace = from_middle(values) if self.centred is True else values
        if self.centred == "kspace":
            kspace = np.fft.ifftshift(values, IN_PLANE)
        mask = corner_mask(found) if self.undersampled else None
        return SourceSlice(image, kspace_coils=kspace.astype(np.complex64), mask=mask, note=note)

    def _slice(self, values: np.ndarray) -> SourceSlice:
        image = self._image(values)
        if not self.kspace:
            return SourceSlice(image)
        self._check_origin(values)
        return SourceSlice(image, mask=corner_mask(measured(values, bool(self.centred))))

    def _check_origin(self, kspace: np.ndarray) -> None:
        """Refuse k-space that is strongest where `centred` does not say."""
        found, description = is_centred(kspace), bool(self.centred)
        if found is None or found == description:
            return
        place, right = ("(0, 0)", "false") if description else ("(H//2, W//2)", "true or kspace")
        raise ValueError(
            f"its k-space is strongest around index {place}, not where "
            f"format.centred={str(self.centred).lower()} has the zero frequency; give {right}"
        )

    def _image(self, values: np.ndarray) -> np.ndarray:
        if self.kspace and self.centred is True:
            values = centred_ifft2(values)
        elif self.kspace:
            shifted = np.fft.ifftshift(values, IN_PLANE) if self.centred else values
            values = np.fft.ifft2(shifted, norm="ortho")
        return values.astype(np.complex64 if np.iscomplexobj(values) else np.float32)

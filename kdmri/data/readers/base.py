"""What every reader gives: named volumes, read slice by slice when their turn comes."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from kdmri.data.cropping import Window
from kdmri.data.explained import Explained
from kdmri.data.geometry import Geometry, Spacing
from kdmri.errors import DataError

UNKNOWN = "?"
"""Subject of files that are too damaged to tell whose they are."""

BELOW_ZERO = 0.1
"""Magnitudes of resampled images reach below zero by up to this share of their largest value."""


class SourceSlice(NamedTuple):
    """One slice in the units of its source.

    Attributes:
        image: (H, W), float32 magnitude or complex64.
        kspace_coils: coil data as acquired, complex64 (coils, H', W'), orthonormal, zero frequency
            at the corner, of coil images as displayed, whose middle `image` may be; never cropped
            along a phase encoding, since masks belong on the acquired grid. None where the source
            has none, it was not asked for, or it is read in place (`SourceVolume.in_place`).
            A reader with the option `undersampled` gives undersampled k-space of several coils too,
            with what was measured of it as `mask` (H', W'), 0 where the matrix was only padded.
        sensitivities: coil sensitivities, complex64 (coils, H', W'), or None.
        calibration: k-space of calibration lines that are no part of the image, complex64 (coils,
            H', W'), zero elsewhere; sensitivities are estimated from it. None without such lines.
        kspace: stored undersampled k-space, complex64 (H, W), orthonormal, zero frequency at the
            corner, of `image`; None where the source has none.
        mask: 1 where k-space was measured, uint8 (H, W), zero frequency at the corner, of stored
            k-space of one coil that `image` is made of, as it is before any crop of what was
            undersampled. Whether it is undersampled, is told by `sampling_pattern.fault` alone.
        nan: pixels of `image` that were NaN and are 0 now.
        declared: whether the source says that it is undersampled; see `sampling_pattern.fault`.
        is_reconstruction: whether `image` is a reconstruction that the source has of its coils.
        note: what the user should know of it, a sentence about the volume, or nothing: what
            `sampling_pattern.check_target` gave; None where the reader has not judged k-space.
        explained: how much of k-space the source's sensitivities explain, where it has some and
            `image` is made with them; None where undersampled k-space is asked for.
    """

    image: np.ndarray
    kspace_coils: np.ndarray | None = None
    sensitivities: np.ndarray | None = None
    calibration: np.ndarray | None = None
    kspace: np.ndarray | None = None
    mask: np.ndarray | None = None
    nan: int = 0
    declared: bool = False
    is_reconstruction: bool = False
    note: str | None = None
    explained: Explained | None = None


@dataclass(frozen=True)
class SourceVolume:
    """A volume that can be read; making one reads headers at most.

    Attributes:
        name: unique among the volumes of its source; becomes part of a file name, so it must tell
            nothing about a patient that the data owner's own file names do not tell.
        subject: who was scanned, where the format tells; all volumes of one subject go into one
            split. Empty where the names of files and folders must tell (`kdmri.data.readers.who`).
        files: what the volume is read from.
        slices: reads the slices in anatomical order; can be called more than once; raises
            DataError, which names the file, where one cannot be read.
        geometry: where the images lie, once they are cropped to `shown` where that is; None where
            nothing is known.
        split: "train", "validation" or "test" where the owner's release fixes it, else None.
        shown: (H, W) that images are cropped to, where `slices` gives all that k-space covers:
            fully sampled ones before they are used, others once they are reconstructed.
        fastmri_crop: whether images are cropped as fastMRI's (`Window.of_fastmri`), and those of
            several coils are measured against their root sum of squares.
        scaled: whether the largest magnitude is 1 already.
        notes: what the user should know of it although it is no error; sentences that name what
            they are about. Every command prints them, each once, before it reads slices.
        nan: "zero" where NaN of its images is background, "refuse" where it is not, None where its
            reader has no such option.
        study: pseudonym of the visit, where the format tells.
        in_place: file whose k-space of several coils is read where it lies, never copied; see
            `kdmri.data.coils`.
        readout: axis of slices, 0 (rows) or 1 (columns), along which the scanner reads out, and
            which no mask may undersample; None where both are phase encodings, or it is unknown.
        broken: whether its header cannot be read; `slices` raises why.
        frames: DICOM file and number of the frame in it, from 0, that each slice is read from;
            empty where the source is no DICOM.
    """

    name: str
    subject: str
    files: tuple[Path, ...]
    slices: Callable[[], Iterator[SourceSlice]]
    geometry: Geometry | None = None
    split: str | None = None
    shown: tuple[int, int] | None = None
    fastmri_crop: bool = False
    scaled: bool = False
    notes: tuple[str, ...] = ()
    nan: str | None = None
    study: str = ""
    in_place: Path | None = None
    readout: int | None = None
    broken: bool = False
    frames: tuple[tuple[Path, int], ...] = ()

    @property
    def spacing(self) -> Spacing | None:
        """Distances in mm between rows, columns and slices; None where unknown."""
        return None if self.geometry is None else self.geometry.spacing

    def window(self, size: tuple[int, int]) -> tuple[slice, slice]:
        """Return the rows and columns that are shown of images of a size (H, W)."""
        if self.shown is None:
            return slice(None), slice(None)
        cut = Window.of_fastmri if self.fastmri_crop else Window.centred
        return cut(size, self.shown).slices


SMALLEST, LARGEST = 1e-15, 1e15
"""Largest magnitudes of volumes whose squares single precision holds with all digits."""


class Extent:
    """How far the values of a volume reach, found slice by slice.

    Attributes:
        largest: largest magnitude of complex images, largest value of others; what is below zero
            in them is taken for zero.
    """

    def __init__(self) -> None:
        self.largest = self._lowest = self._highest = 0.0
        self._seen = False

    def add(self, image: np.ndarray) -> None:
        """Look at the image of a slice."""
        values = np.abs(image) if np.iscomplexobj(image) else image
        lowest, highest = float(values.min()), float(values.max())
        self._lowest = min(self._lowest, lowest)
        self._highest = max(self._highest, highest) if self._seen else highest
        self.largest, self._seen = max(self.largest, highest), True

    def check(self, path: Path) -> None:
        """See whether they are magnitudes.

        Args:
            path: of the volume.

        Raises:
            DataError: nothing is above zero, or too much below it.
        """
        if self._lowest < -BELOW_ZERO * self.largest:
            raise DataError(
                f"{path}: has values from {self._lowest:g} to {self._highest:g}, but magnitudes "
                "are not below zero; give the images as they were before they were normalised"
            )
        if self.largest > 0 and not SMALLEST <= self.largest <= LARGEST:
            raise DataError(
                f"{path}: its largest magnitude is {self.largest:g}, too far from 1 for single "
                f"precision; scale it to between {SMALLEST:g} and {LARGEST:g}"
            )
        if self.largest <= 0:
            raise DataError(f"{path}: holds no signal (no slices, or all of them zero)")


class Reader:
    """Base of all readers; a subclass is a frozen dataclass of its options.

    Readers of k-space judge it by `sampling_pattern`. One with an option `undersampled` gives
    k-space of one coil as it is where that is true, with the `mask` of each slice and uncropped,
    since k-space of other crops is sampled nowhere; otherwise it refuses what no target can be made
    of. One whose files may have NaN around the body has an option `nan`, "refuse" or "zero".

    Attributes:
        raw: whether it reads k-space, whose coils it combines to a magnitude image.
        subjects_by: what the subjects of its volumes are told by, where it tells them.
    """

    raw: ClassVar[bool] = False
    subjects_by: ClassVar[str] = "the data set's own convention"

    @abstractmethod
    def volumes(self, source: Path) -> Iterator[SourceVolume]:
        """Find the volumes below a directory, or the one in a file, in a stable order.

        Args:
            source: directory or file of the data set.

        Raises:
            DataError: nothing of this format is there. A single file that cannot be read is no
                reason: give `unreadable` for it.
        """

    def ismrmrd_header(self, volume: SourceVolume) -> bytes | str:
        """Return the XML header that a volume of raw data has; empty where it has none.

        Unlike all else that readers give, it may tell who was scanned.
        """
        return ""

    def holds_kspace(self, volume: SourceVolume) -> bool:
        """Tell from contents whether a volume is k-space, which no name makes a label map."""
        return self.raw and not volume.broken


def unreadable(path: Path, reason: object) -> SourceVolume:
    """Stand in for a file whose header cannot be read; its slices raise the reason.

    Names of files and folders tell its subject, unless the reader replaces it.

    Args:
        path: the file.
        reason: what is wrong with it.
    """

    def slices() -> Iterator[SourceSlice]:
        raise DataError(f"{path}: {' '.join(str(reason).split())}")

    return SourceVolume(name=path.stem, subject="", files=(path,), slices=slices, broken=True)

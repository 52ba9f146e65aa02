"""A first look at a volume of several coils: size, coils, and what was measured of its k-space."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kdmri.data.mask_convention import looks_shifted
from kdmri.data.readers.base import SourceSlice, SourceVolume
from kdmri.data.readers.slices import checked
from kdmri.data.sampling_pattern import (
    NO_CENTRE,
    Measured,
    fault,
    measured,
    measured_by_mask,
    zero_filling,
)
from kdmri.errors import DataError

Size = tuple[int, int]


@dataclass(frozen=True)
class CoilSurvey:
    """What a volume of several coils is.

    Attributes:
        size: (H, W) of its k-space.
        shown: (H, W) of its images as they are shown.
        coils: number of them.
        count: number of slices.
        samples: that were measured of a slice, their mean over those that are not empty.
        acquired: 1 where any slice was measured, uint8 (H, W), zero frequency at the corner.
        reference: 1 where every slice that is not empty was measured, calibration lines included,
            uint8 (H, W).
        is_full: whether its images are fully sampled.
        has_sensitivities: whether the file has them.
        notes: what the user should know of it, sentences.
    """

    size: Size
    shown: Size
    coils: int
    count: int
    samples: int
    acquired: np.ndarray
    reference: np.ndarray
    is_full: bool
    has_sensitivities: bool
    notes: tuple[str, ...] = ()


def survey_coils(volume: SourceVolume) -> CoilSurvey | None:
    """Read a volume once, one slice at a time.

    Returns:
        None where its slices have no k-space of several coils.

    Raises:
        DataError: it cannot be read, holds NaN or only zeros, slices with other coils or sizes than
            the first, sensitivities of another shape, or k-space whose zero frequency was never
            measured, or lies in the middle.
    """
    file = volume.files[0]
    first: SourceSlice | None = None
    acquired: np.ndarray | None = None
    reference: np.ndarray | None = None
    aliased, notes, count, numbers = False, dict[str, None](), 0, []
    for number, item in enumerate(checked(volume)):
        if item.kspace_coils is None:
            return None
        first, count = first or item, count + 1
        samples = sampled(item)
        if not samples.any():
            continue
        numbers.append(int(samples.sum()))
        aliased |= _is_aliased(item, samples, number, file, notes)
        known = samples if item.calibration is None else samples | _any_coil(item.calibration)
        acquired = samples if acquired is None else acquired | samples
        reference = known if reference is None else reference & known
    if first is None or acquired is None or reference is None:
        raise DataError(f"{file}: holds no signal (no slices, or all of them zero)")
    if aliased and looks_shifted(acquired.astype(np.uint8)):
        raise DataError(
            f"{file}: its k-space is measured most densely around the middle, but the zero "
            "frequency belongs at index (0, 0); it has to be shifted with numpy.fft.ifftshift"
        )
    assert first.kspace_coils is not None
    height, width = first.kspace_coils.shape[1:]
    return CoilSurvey(
        size=(height, width),
        shown=volume.shown or first.image.shape,
        coils=len(first.kspace_coils),
        count=count,
        samples=round(sum(numbers) / len(numbers)),
        acquired=acquired.astype(np.uint8),
        reference=reference.astype(np.uint8),
        is_full=not aliased,
        has_sensitivities=first.sensitivities is not None,
        notes=() if aliased else tuple(notes),
    )


def sampled(item: SourceSlice) -> np.ndarray:
    """Tell what was measured of a slice, bool (H, W), zero frequency at the corner."""
    assert item.kspace_coils is not None
    return _any_coil(item.kspace_coils) if item.mask is None else item.mask > 0


def _is_aliased(
    item: SourceSlice, samples: np.ndarray, number: int, file: Path, notes: dict[str, None]
) -> bool:
    """Tell whether a slice is undersampled, and note what is to be known of it."""
    found = _measured(item)
    if item.note is not None:
        notes.update(dict.fromkeys([item.note] if item.note else []))
        return False
    reason = fault(found, declared=item.declared)
    if reason == NO_CENTRE or not samples[0, 0]:
        raise DataError(f"{file}: {NO_CENTRE} (slice {number})")
    note = zero_filling(found)
    notes.update(dict.fromkeys([note] if note and reason is None else []))
    return reason is not None


def _measured(item: SourceSlice) -> Measured:
    assert item.kspace_coils is not None
    if item.mask is None:
        return measured(item.kspace_coils, centred=False)
    return measured_by_mask(item.mask)


def _any_coil(kspace: np.ndarray) -> np.ndarray:
    return np.asarray((kspace != 0).any(axis=0))

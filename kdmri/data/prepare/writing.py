"""One volume from its source to its h5 file, slice by slice."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kdmri.data.cropping import fit_centre
from kdmri.data.layout import SUBJECT, TARGET, target_keys, write_slices
from kdmri.data.prepare.manifest import Entry, fingerprint
from kdmri.data.prepare.naming import blaming
from kdmri.data.prepare.sampling_pattern import check_target, measured_by_mask, measured_in_image
from kdmri.data.prepare.simulation import Simulation
from kdmri.data.prepare.source import Extent, SourceSlice, SourceVolume
from kdmri.data.prepare.subjects import pseudonym
from kdmri.errors import DataError

HELD_BYTES = 2**28
"""A volume up to this size is read once and held; a larger one is read twice and never held."""


@dataclass(frozen=True)
class Form:
    """How slices are brought into shape.

    Attributes:
        image_size: (H, W) that slices are cropped or padded to at their centre; None keeps them.
        simulation: phase and noise for magnitude sources.
    """

    image_size: tuple[int, int] | None
    simulation: Simulation


def write_prepared(
    volume: SourceVolume, split: str, source: Path, folder: Path, form: Form
) -> Entry:
    """Write `{folder}/{split}/{name}.h5`, scaled to a largest magnitude of 1.

    Raises:
        DataError: the source cannot be read, holds NaN, only zeros or no magnitudes, or slices of
            several sizes.
        KdmriError: the file cannot be written.
    """
    scale, held, notes = _survey(volume)
    peak = _peak(volume, held, scale, form)
    relative = f"{split}/{volume.name}.h5"
    attributes: dict[str, str | float] = {
        SUBJECT: pseudonym(volume.subject),
        "scale": scale * peak,
    }
    if volume.spacing is not None:
        attributes["spacing_mm"] = " ".join(f"{distance:g}" for distance in volume.spacing)
    slices = held if held is not None else volume.slices()
    shaped = (_shape(item, scale, volume.name, n, form, peak) for n, item in enumerate(slices))
    shape = write_slices(folder / relative, shaped, attributes)
    return Entry(
        file=relative,
        sources=[fingerprint(path, source) for path in volume.files],
        subject=pseudonym(volume.subject),
        shape=list(shape),
        scale=scale * peak,
        spacing=None if volume.spacing is None else list(volume.spacing),
        split=split,
        notes=notes,
    )


def judged(item: SourceSlice, number: int) -> str:
    """See that a slice is a target, by its `mask` or by the k-space of a complex image.

    Args:
        item: the slice.
        number: of the slice.

    Returns:
        What the user should know of it; empty for nothing.

    Raises:
        ValueError: it is none, since not all of its k-space was measured.
    """
    if item.mask is not None:
        return check_target(measured_by_mask(item.mask), number, declared=item.declared)
    if np.iscomplexobj(item.image):
        return check_target(measured_in_image(item.image), number)
    return ""


def _survey(volume: SourceVolume) -> tuple[float, list[SourceSlice] | None, list[str]]:
    """Find the largest magnitude and check every slice; hold the slices if they are few.

    Returns:
        The largest magnitude, the slices or None, and what the user should know of them.
    """
    extent, held_bytes, first = Extent(), 0, None
    notes: dict[str, None] = {}
    held: list[SourceSlice] | None = []
    for number, item in enumerate(volume.slices()):
        first = item if first is None else first
        if item.image.shape != first.image.shape:
            raise DataError(
                f"{volume.files[0]}: slice {number} is {item.image.shape}, the first "
                f"{first.image.shape}; slices of a volume must be of one size"
            )
        arrays = [array for array in item if isinstance(array, np.ndarray)]
        if not all(np.isfinite(array).all() for array in arrays):
            raise DataError(f"{volume.files[0]}: slice {number} holds NaN or infinite values")
        with blaming(volume.files[0]):
            note = judged(item, number) if item.note is None else item.note
        if note:
            notes[note] = None
        extent.add(item.image)
        held_bytes += sum(array.nbytes for array in arrays)
        if held is not None:
            held.append(item)
            held = held if held_bytes <= HELD_BYTES else None
    extent.check(volume.files[0])
    return extent.largest, held, list(notes)


def _peak(volume: SourceVolume, held: list[SourceSlice] | None, scale: float, form: Form) -> float:
    """Tell by how much simulated noise raises the largest magnitude; 1 without noise."""
    if form.simulation.snr is None:
        return 1.0
    slices = held if held is not None else volume.slices()
    shaped = (_shape(item, scale, volume.name, n, form) for n, item in enumerate(slices))
    return max(1.0, *(float(np.abs(values[TARGET]).max()) for values in shaped))


def _shape(
    item: SourceSlice, scale: float, name: str, number: int, form: Form, peak: float = 1.0
) -> Mapping[str, np.ndarray]:
    """Give what is stored of a slice, by key; `peak` divides what noise was added to."""
    image = item.image / np.float32(scale)
    if form.image_size is not None:
        image = fit_centre(image, form.image_size)
    if form.simulation.active and not np.iscomplexobj(image):
        image = form.simulation(np.maximum(image, 0), name, number) / np.float32(peak)
    values = target_keys(image if np.iscomplexobj(image) else np.maximum(image, 0))
    for key in ("kspace_coils", "sensitivities"):
        coils = getattr(item, key)
        if coils is not None:
            values[key] = _shape_coils(coils, key, scale, form.image_size)
    return values


def _shape_coils(
    coils: np.ndarray, key: str, scale: float, size: tuple[int, int] | None
) -> np.ndarray:
    """Crop or pad coil data (coils, H, W) in image space; scale k-space, not sensitivities."""
    is_kspace = key == "kspace_coils"
    if size is not None:
        images = np.fft.ifft2(coils, norm="ortho") if is_kspace else coils
        images = np.moveaxis(fit_centre(np.moveaxis(images, 0, -1), size), -1, 0)
        coils = np.fft.fft2(images, norm="ortho") if is_kspace else images
    return (coils / scale if is_kspace else coils).astype(np.complex64)


def names_in_use(volumes: list[SourceVolume]) -> Iterator[str]:
    """Give names that occur more than once."""
    seen: set[str] = set()
    for volume in volumes:
        if volume.name in seen:
            yield volume.name
        seen.add(volume.name)

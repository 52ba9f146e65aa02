"""One volume from its source to its h5 file, slice by slice."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kdmri.data.attributes import READOUT, Attribute, geometry_attributes
from kdmri.data.coils import (
    CROP,
    FASTMRI,
    KSPACE,
    KSPACE_FILE,
    MEASURED_AGAINST,
    OF_COILS,
    OF_FILE,
    SENSITIVITIES,
)
from kdmri.data.cropping import fit_centre
from kdmri.data.explained import DOUBTFUL, REASONS, Explained
from kdmri.data.layout import FULL, SAMPLING, SUBJECT, TARGET, target_keys, write_slices
from kdmri.data.readers.base import Extent, SourceSlice, SourceVolume
from kdmri.data.readers.naming import blaming, pseudonym
from kdmri.data.readers.slices import checked
from kdmri.data.sampling_pattern import check_target, measured_by_mask, measured_in_image
from kdmri.data.simulation import Simulation
from kdmri.errors import DataError
from kdmri.prepare.compression import CoilEnergy, Compression, check_coils, copied
from kdmri.prepare.manifest import RULES, Entry, fingerprint

Size = tuple[int, int]

HELD_BYTES = 2**28
"""A volume up to this size is read once and held; a larger one is read twice and never held."""


@dataclass(frozen=True)
class Form:
    """How slices are brought into shape.

    Attributes:
        image_size: (H, W) that slices are cropped or padded to at their centre; None keeps them.
        simulation: phase and noise for magnitude sources.
        coils: number of virtual coils that k-space of more coils is compressed to; None keeps them.
    """

    image_size: Size | None
    simulation: Simulation
    coils: int | None = None


def write_prepared(
    volume: SourceVolume, split: str, source: Path, folder: Path, form: Form
) -> Entry:
    """Write `{folder}/{split}/{name}.h5`, scaled to a largest magnitude of 1.

    Raises:
        DataError: the source cannot be read, holds NaN, only zeros or no magnitudes, or slices of
            several sizes.
        KdmriError: the file cannot be written.
    """
    if form.coils is not None:
        volume = copied(volume)
    surveyed = _survey(volume)
    scale, held = surveyed.largest, surveyed.held
    _check_form(volume, surveyed, form)
    compression = None if form.coils is None else surveyed.coils.compression(form.coils)
    peak = _peak(volume, held, scale, form)
    relative = f"{split}/{volume.name}.h5"
    geometry = volume.geometry
    if geometry is not None and form.image_size is not None:
        geometry = geometry.fitted(surveyed.size, form.image_size)
    attributes: dict[str, Attribute] = {
        SUBJECT: pseudonym(volume.subject),
        "scale": scale * peak,
        **geometry_attributes(geometry),
        **({SAMPLING: FULL} if surveyed.judged else {}),
        **(_readout(volume, surveyed)),
        **({KSPACE_FILE: str(volume.in_place.resolve())} if volume.in_place else {}),
        **({} if compression is None else {"compressed_from": compression.matrix.shape[1]}),
        **(_of_coils(volume, surveyed) if surveyed.has_coils else {}),
    }
    slices = held if held is not None else checked(volume)
    combined = slices if compression is None else (_compressed(s, compression) for s in slices)
    shaped = (_shape(item, scale, volume.name, n, form, peak) for n, item in enumerate(combined))
    shape = write_slices(folder / relative, _left(shaped, volume, form), attributes)
    return Entry(
        file=relative,
        sources=[fingerprint(path, source) for path in volume.files],
        subject=pseudonym(volume.subject),
        shape=list(shape),
        scale=scale * peak,
        spacing=None if geometry is None else list(geometry.spacing),
        split=split,
        affine=geometry.affine.tolist() if geometry is not None and geometry.oriented else None,
        nan=surveyed.nan,
        notes=surveyed.notes,
        rules=RULES,
        coils=None
        if compression is None
        else {
            "acquired": compression.matrix.shape[1],
            "virtual": compression.matrix.shape[0],
            "energy": compression.energy,
        },
    )


def _check_form(volume: SourceVolume, surveyed: "_Surveyed", form: Form) -> None:
    """See that k-space of several coils is kept as it was acquired."""
    has_coils = surveyed.has_coils
    if form.coils is not None:
        check_coils(volume, has_coils, form.coils)
    if has_coils and (form.image_size is not None or form.simulation.active):
        raise DataError(
            f"{volume.files[0]}: its coils' k-space is kept as it was acquired, with its own phase "
            "and noise, and masks belong on its grid: leave image_size and simulate out, or give "
            "format.keep_coils=false"
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


class _Surveyed(NamedTuple):
    """What a first look at a volume tells.

    Attributes:
        largest: magnitude.
        size: (H, W) of its slices.
        held: its slices, if they are few.
        nan: share of its values that were NaN and are 0 here.
        notes: what the user should know of its slices, sentences.
        judged: whether stored k-space told of all of them that they are fully sampled.
        coils: the energy of their coils, where they have some.
        has_coils: whether k-space of several coils is kept, or read in place.
        by_source: whether all images are the source's own reconstructions.
        is_complex: whether images are.
    """

    largest: float
    size: Size
    held: list[SourceSlice] | None
    nan: float
    notes: list[str]
    judged: bool
    coils: CoilEnergy
    has_coils: bool
    by_source: bool
    is_complex: bool


def _readout(volume: SourceVolume, surveyed: _Surveyed) -> dict[str, Attribute]:
    """Say along which axis was read out, where there is k-space or the image that it gives."""
    if volume.readout is None or not (surveyed.has_coils or surveyed.is_complex):
        return {}
    return {READOUT: volume.readout}


def _of_coils(volume: SourceVolume, surveyed: _Surveyed) -> dict[str, Attribute]:
    """Say of several coils of fastMRI that their images are what is measured against."""
    if not volume.fastmri_crop:
        return {}
    return {CROP: FASTMRI, MEASURED_AGAINST: OF_FILE if surveyed.by_source else OF_COILS}


def _survey(volume: SourceVolume) -> _Surveyed:
    """Find largest magnitude and size and check every slice."""
    extent, held_bytes, nan, total = Extent(), 0, 0, 0
    coils, told = CoilEnergy(), Explained()
    size: Size = (0, 0)
    notes: dict[str, None] = {}
    by_kspace = by_source = True
    has_coils, is_complex = volume.in_place is not None, False
    held: list[SourceSlice] | None = []
    for number, item in enumerate(checked(volume)):
        by_kspace &= item.note is not None or item.mask is not None
        with blaming(volume.files[0]):
            note = judged(item, number) if item.note is None else item.note
        if note:
            notes[note] = None
        extent.add(item.image)
        if item.kspace_coils is not None:
            has_coils = True
            coils.add(item.kspace_coils)
        told += item.explained or Explained()
        by_source &= item.is_reconstruction
        is_complex |= np.iscomplexobj(item.image)
        size = item.image.shape
        nan, total = nan + item.nan, total + item.image.size
        held_bytes += sum(array.nbytes for array in item if isinstance(array, np.ndarray))
        if held is not None:
            held.append(item)
            held = held if held_bytes <= HELD_BYTES else None
    extent.check(volume.files[0])
    doubt = _check_explained(told, volume)
    notes.update(dict.fromkeys(note for note in (doubt, coils.note()) if note))
    return _Surveyed(
        extent.largest,
        size,
        held,
        nan / total,
        list(notes),
        by_kspace,
        coils,
        has_coils,
        by_source,
        is_complex,
    )


def _check_explained(told: Explained, volume: SourceVolume) -> str:
    """See that a source's sensitivities are those of its coils; gives doubts, a sentence, or "".

    Raises:
        DataError: they cannot be.
    """
    if told.is_wrong:
        raise DataError(
            f"{volume.files[0]}: the sensitivities beside it {told.described()}; correct them, or "
            "give the scan without them"
        )
    if told.unexplained <= DOUBTFUL:
        return ""
    return (
        f"its sensitivities explain less than {1 - DOUBTFUL:.0%} of the centre of its k-space, "
        f"where 99 % is usual: {REASONS}"
    )


def _peak(volume: SourceVolume, held: list[SourceSlice] | None, scale: float, form: Form) -> float:
    """Tell by how much simulated noise raises the largest magnitude; 1 without noise."""
    if form.simulation.snr is None:
        return 1.0
    slices = held if held is not None else checked(volume)
    shaped = (_shape(item, scale, volume.name, n, form) for n, item in enumerate(slices))
    return max(1.0, *(float(np.abs(values[TARGET]).max()) for values in shaped))


def _compressed(item: SourceSlice, compression: Compression) -> SourceSlice:
    """Combine the coils of a slice to virtual ones."""
    if item.kspace_coils is not None:
        item = item._replace(kspace_coils=compression(item.kspace_coils))
    if item.sensitivities is not None:
        item = item._replace(sensitivities=compression.of_sensitivities(item.sensitivities))
    return item


def _left(
    shaped: Iterable[Mapping[str, np.ndarray]], volume: SourceVolume, form: Form
) -> Iterator[Mapping[str, np.ndarray]]:
    """Pass slices on, and see that something is left of a volume that is cropped.

    Raises:
        DataError: nothing is.
    """
    largest = 0.0
    for values in shaped:
        largest = max(largest, float(values[TARGET].max()))
        yield values
    if form.image_size is not None and not largest > 0:
        height, width = form.image_size
        raise DataError(
            f"{volume.files[0]}: image_size=[{height},{width}] crops all of it that is not zero; "
            "give a larger one, or null"
        )


def _shape(
    item: SourceSlice, scale: float, name: str, number: int, form: Form, peak: float = 1.0
) -> Mapping[str, np.ndarray]:
    """Return what is stored of a slice, by key; `peak` divides what noise was added to."""
    image = item.image / np.float32(scale)
    if form.image_size is not None:
        image = fit_centre(image, form.image_size)
    if form.simulation.active and not np.iscomplexobj(image):
        image = form.simulation(np.maximum(image, 0), name, number) / np.float32(peak)
    values = target_keys(image if np.iscomplexobj(image) else np.maximum(image, 0))
    if item.kspace_coils is not None:
        values[KSPACE] = (item.kspace_coils / np.float32(scale)).astype(np.complex64)
    if item.sensitivities is not None:
        values[SENSITIVITIES] = item.sensitivities.astype(np.complex64)
    return values

"""Volumes of several coils: where their k-space lies, and what is computed once beside it.

A file of the layout (`kdmri.data.layout`) of several coils has its target `volfs` (H, W, S) and

- `kspace_coils`: complex64 (coils, H', W', S), as acquired, orthonormal, zero frequency at the
  corner, of coil images as displayed; of H' and W' the middle H and W are shown;
- or, instead, the attribute `kspace_file`: a fastMRI file that is read in place, whose `kspace` is
  complex64 (S, coils, H', W') with the zero frequency in the middle;
- `sensitivities`: complex64 (coils, H', W', S), where the source has them; they are brought to unit
  norm over the coils when they are read.

Sensitivities that no file has are estimated, and kept with the image that they combine to in a
folder beside the splits, `sensitivities/METHOD_HxW/...`, one file a volume.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

import h5py
import numpy as np
import torch
from torch import Tensor

from kdmri.data.cropping import fit_centre
from kdmri.data.layout import DAMAGED, TARGET, Volume, open_volume, reading
from kdmri.data.mask_convention import is_centred
from kdmri.data.sampling_pattern import fault, measured
from kdmri.errors import DataError
from kdmri.files import written_aside

KSPACE, SENSITIVITIES, KSPACE_FILE = "kspace_coils", "sensitivities", "kspace_file"
FOLDER = "sensitivities"
Size = tuple[int, int]
AT_ONCE = 2**28
"""Bytes of k-space for which sensitivities are estimated at once."""
RULES = 2
"""Of what is computed: a higher number makes all of it anew, as an earlier version made it."""


class Estimate(Protocol):
    """A way of estimating sensitivities; its text names the folder that they are kept in."""

    def __call__(self, kspace: Tensor, centre: Size) -> Tensor:
        """Estimate sensitivities from the fully sampled centre of k-space.

        Args:
            kspace: complex64 (B, coils, H, W), zero frequency at the corner.
            centre: (h, w) of what is fully sampled around the zero frequency.

        Returns:
            complex64 (B, coils, H, W), of unit norm over the coils where there is signal, else 0.

        Raises:
            ValueError: the centre is too small.
        """

    def used(self, centre: Size) -> Size:
        """Return how much (h, w) of a fully sampled centre is used."""


@dataclass(frozen=True)
class CoilVolume(Volume):
    """A volume of several coils, without its values; its shape is that of k-space.

    Attributes:
        coils: number of them.
        shown: (H, W) of the image that is shown and measured.
        source: fastMRI file that holds k-space, in place of the volume's own.
        has_sensitivities: whether the volume's own file has them.
    """

    coils: int = 1
    shown: Size = (0, 0)
    source: Path | None = None
    has_sensitivities: bool = False

    @property
    def bytes_in_memory(self) -> int:
        """Size once read: k-space, sensitivities and the combined image, complex64."""
        return int(np.prod(self.shape)) * 8 * (2 * self.coils + 1)

    @property
    def kspace_path(self) -> Path:
        """The file that holds k-space."""
        return self.source or self.path


def holds_coils(file: h5py.File) -> bool:
    """Tell whether an open file of the layout holds k-space of several coils, or says where."""
    return KSPACE in file or KSPACE_FILE in file.attrs


def inspect_coils(path: Path) -> CoilVolume:
    """Describe a file of several coils and check its keys, shapes and types.

    Raises:
        DataError: it has no k-space of several coils, or of another shape or type than it must, or
            what it is read from in place is not there.
    """
    with reading(path) as file:
        target = file.get(TARGET)
        if not isinstance(target, h5py.Dataset) or target.ndim != 3:
            raise DataError(f"{path}: key {TARGET} (H, W, S) is missing")
        height, width, slices = target.shape
        source = file.attrs.get(KSPACE_FILE)
        if source is not None:
            return _in_place(path, Path(str(source)), (height, width), slices)
        if KSPACE not in file:
            raise DataError(
                f"{path}: has no {KSPACE}; prepare it with format.keep_coils=true, or train on its "
                "images with dataset=own"
            )
        shapes = {key: _shape(file[key]) for key in (KSPACE, SENSITIVITIES) if key in file}
        shape = shapes[KSPACE]
        coils, *size, count = shape if isinstance(shape, tuple) else (0, 0, 0, 0)
        if coils < 1 or count != slices or len(set(shapes.values())) > 1:
            raise DataError(
                f"{path}: {', '.join(f'{k} is {s}' for k, s in shapes.items())}; each must be "
                f"complex (coils, H, W, {slices}), as many slices as {TARGET} has"
            )
        if height > size[0] or width > size[1]:
            raise DataError(
                f"{path}: {TARGET} is {height}x{width}, larger than its k-space, "
                f"{size[0]}x{size[1]}: it must be the middle of the coils' images"
            )
        return CoilVolume(
            path,
            (size[0], size[1], slices),
            TARGET,
            KSPACE,
            coils=coils,
            shown=(height, width),
            has_sensitivities=SENSITIVITIES in file,
        )


def _shape(stored: h5py.Dataset | h5py.Group) -> tuple[int, ...] | str:
    """Return the shape of a complex array of four axes; of anything else, say what it is."""
    if not isinstance(stored, h5py.Dataset):
        return "a group"
    if stored.ndim != 4 or stored.dtype.kind != "c":
        return f"{stored.dtype} of shape {stored.shape}"
    return stored.shape


def _in_place(path: Path, source: Path, shown: Size, slices: int) -> CoilVolume:
    if not source.is_file():
        raise DataError(
            f"{path}: its k-space is read in place from {source}, which is not there; move it "
            "back, or prepare the data set again"
        )
    with reading(source) as file:
        kspace = file.get("kspace")
        if not isinstance(kspace, h5py.Dataset) or kspace.ndim != 4 or kspace.dtype.kind != "c":
            raise DataError(f"{source}: key kspace, complex (S, coils, H, W), is missing")
        count, coils, height, width = kspace.shape
    if count != slices:
        raise DataError(
            f"{source}: has {count} slices, {path} {slices}; it is another file than was prepared"
        )
    return CoilVolume(
        path, (height, width, slices), TARGET, "kspace", coils=coils, shown=shown, source=source
    )


def read_kspace(file: h5py.File, volume: CoilVolume, index: int) -> np.ndarray:
    """Read one slice of k-space as it is used in the program.

    Args:
        file: `volume.kspace_path`, open.
        volume: what `inspect_coils` gave.
        index: of the slice.

    Returns:
        complex64 (coils, H, W), orthonormal, zero frequency at the corner, in the file's units.

    Raises:
        DataError: the file is damaged, or the slice holds NaN or infinite values.
    """
    assert volume.kspace_key is not None
    values = _read(file, volume.kspace_path, volume.kspace_key, index, first=bool(volume.source))
    return from_middle(values) if volume.source else values


def read_sensitivities(file: h5py.File, volume: CoilVolume, index: int) -> np.ndarray:
    """Read the stored sensitivities of a slice.

    Args:
        file: `volume.path`, open.
        volume: what `inspect_coils` gave.
        index: of the slice.

    Returns:
        complex64 (coils, H, W), of unit norm over the coils where they are not zero.

    Raises:
        DataError: the file is damaged, or the slice holds NaN or infinite values.
    """
    return unit_norm(_read(file, volume.path, SENSITIVITIES, index))


def unit_norm(sensitivities: np.ndarray) -> np.ndarray:
    """Bring sensitivities (coils, H, W) to unit norm over the coils where they are not zero.

    Data consistency takes them to have it: with others the true image would not agree with its own
    k-space.

    Returns:
        complex64, same shape.
    """
    norm = np.linalg.norm(sensitivities, axis=0)
    return (sensitivities / np.where(norm > 0, norm, 1)).astype(np.complex64)


def _read(file: h5py.File, path: Path, key: str, index: int, first: bool = False) -> np.ndarray:
    """Read a slice, complex64, along the first or the last axis of an array."""
    place = f"{path}: {key}, slice {index}"
    try:
        stored = file[key]
        values = np.asarray(stored[index] if first else stored[..., index])
    except (OSError, *DAMAGED) as error:
        raise DataError(f"{place}: unreadable ({error})") from error
    if not np.isfinite(values).all():
        raise DataError(f"{place} holds NaN or infinite values")
    return values.astype(np.complex64, copy=False)


def from_middle(kspace: np.ndarray) -> np.ndarray:
    """Move the zero frequency of k-space (..., H, W) from the middle to the corner.

    Its plain inverse transform is the image as displayed then, not one that begins in its middle.

    Returns:
        complex64, same shape.
    """
    rows, columns = (_turn(n) for n in kspace.shape[-2:])
    return np.fft.ifftshift(kspace, (-2, -1)) * (rows[:, None] * columns)


@cache
def _turn(count: int) -> np.ndarray:
    """Phase that moves an image by half its width: exactly 1 and -1 for an even one."""
    frequency = np.rint(np.fft.fftfreq(count) * count)
    if count % 2 == 0:
        return np.where(frequency % 2 == 0, 1, -1).astype(np.complex64)
    return np.exp(-2j * np.pi * frequency * (count // 2) / count).astype(np.complex64)


@dataclass(frozen=True)
class Companion:
    """What is computed once of a volume's k-space, and kept.

    Attributes:
        path: h5 file with `sensitivities` complex64 (S, coils, H, W), unless the volume has its
            own, and `target` complex64 (S, H, W), the combined image, in the units of k-space.
        scale: what k-space and target are divided by: the largest magnitude of the root sum of
            squares of coil images that the fully sampled centre alone gives.
        largest: largest magnitude of the target as it is shown, in the units of k-space.
        acquired: 1 where any coil of any slice was measured, uint8 (H, W).
    """

    path: Path
    scale: float
    largest: float
    acquired: np.ndarray


def companion(volume: CoilVolume, folder: Path, centre: Size, estimate: Estimate) -> Companion:
    """Read what was computed of a volume, or compute it.

    Args:
        volume: what `inspect_coils` gave.
        folder: of the data set.
        centre: (h, w) of the fully sampled centre that sensitivities and scale are found from.
        estimate: see `Estimate`.

    Raises:
        DataError: k-space is damaged, zero everywhere, or has no signal in its centre.
    """
    below = volume.path.relative_to(folder)
    path = folder / FOLDER / f"{estimate}_{centre[0]}x{centre[1]}" / below
    made_of = json.dumps([RULES, *(_fingerprint(p) for p in (volume.path, volume.kspace_path))])
    if path.is_file():
        with reading(path) as file:
            if file.attrs.get("made_of") == made_of:
                scale, largest = float(file.attrs["scale"]), float(file.attrs["largest"])
                return Companion(path, scale, largest, file["acquired"][...])
    with written_aside(path) as aside, h5py.File(aside, "w") as file:
        scale, largest, acquired = _compute(file, volume, centre, estimate)
        file["acquired"] = acquired
        file.attrs.update({"made_of": made_of, "scale": scale, "largest": largest})
    return Companion(path, scale, largest, acquired)


def _fingerprint(path: Path) -> list[str | int]:
    found = path.stat()
    return [path.name, found.st_size, found.st_mtime_ns]


def _compute(
    file: h5py.File, volume: CoilVolume, centre: Size, estimate: Estimate
) -> tuple[float, float, np.ndarray]:
    """Fill a companion's arrays; gives its scale, largest magnitude and what was acquired."""
    height, width, slices = volume.shape
    shape = (slices, volume.coils, height, width)
    target = file.create_dataset("target", (slices, height, width), "c8", chunks=(1, height, width))
    kept = None
    if not volume.has_sensitivities:
        kept = file.create_dataset(SENSITIVITIES, shape, "c8", chunks=(1, *shape[1:]))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    step = max(1, AT_ONCE // (8 * int(np.prod(shape[1:]))))
    scale, largest, acquired = 0.0, 0.0, np.zeros((height, width), np.uint8)
    with open_volume(volume.kspace_path) as source, open_volume(volume.path) as own:
        for first in range(0, slices, step):
            last = min(slices, first + step)
            stored = np.stack([read_kspace(source, volume, n) for n in range(first, last)])
            for number, kspace_of_slice in enumerate(stored, start=first):
                _check_sampling(volume, kspace_of_slice, number)
            acquired |= (stored != 0).any(axis=(0, 1)).astype(np.uint8)
            kspace = torch.from_numpy(stored).to(device)
            scale = float(np.maximum(scale, centre_scale(kspace, centre)))
            if kept is None:
                given = [read_sensitivities(own, volume, n) for n in range(first, last)]
                sensitivities = torch.from_numpy(np.stack(given)).to(device)
            else:
                sensitivities = _estimated(volume, kspace, centre, estimate)
                kept[first:last] = sensitivities.cpu().numpy()
            images = torch.fft.ifft2(kspace, norm="ortho")
            combined = (sensitivities.conj() * images).sum(dim=1).cpu().numpy()
            target[first:last] = combined
            seen = fit_centre(np.moveaxis(np.abs(combined), 0, -1), volume.shown)
            largest = float(np.maximum(largest, seen.max()))  # which keeps NaN, as max does not
    if not (0 < scale < np.inf and 0 < largest < np.inf):
        raise DataError(
            f"{volume.kspace_path}: its k-space is zero, or has no signal at its centre"
        )
    return scale, largest, acquired


def _check_sampling(volume: CoilVolume, kspace: np.ndarray, number: int) -> None:
    """See that a slice (coils, H, W) is a target, and that its zero frequency is at the corner.

    Raises:
        DataError: it is none.
    """
    if is_centred(np.linalg.norm(kspace, axis=0)):
        raise DataError(
            f"{volume.kspace_path}: {volume.kspace_key}, slice {number} is strongest in the "
            "middle, but the zero frequency belongs at index (0, 0); it has to be shifted with "
            "numpy.fft.ifftshift"
        )
    reason = fault(measured(kspace, centred=False))
    if reason is not None:
        raise DataError(f"{volume.kspace_path}: {reason} (slice {number})")


def _estimated(volume: CoilVolume, kspace: Tensor, centre: Size, estimate: Estimate) -> Tensor:
    try:
        return estimate(kspace, centre)
    except ValueError as error:
        raise DataError(f"{volume.kspace_path}: {error}") from error


def centre_scale(kspace: Tensor, centre: Size) -> float:
    """Find the scale of k-space from its fully sampled centre.

    Args:
        kspace: complex64 (B, coils, H, W), zero frequency at the corner.
        centre: (h, w) of what is fully sampled around the zero frequency.

    Returns:
        The largest magnitude of the root sum of squares of the images of that centre alone. It does
        not depend on what else was measured.
    """
    kept = central(kspace, centre)
    images = torch.fft.ifft2(kept, norm="ortho")
    # torch.linalg.vector_norm takes ten times as long over such an axis of complex numbers.
    return float((images.real.square() + images.imag.square()).sum(dim=1).max().sqrt())


def central(kspace: Tensor, centre: Size) -> Tensor:
    """Set k-space (..., H, W) to zero outside a centre (h, w) around index (0, 0)."""
    for axis, kept in zip((-2, -1), centre, strict=True):
        count = kspace.shape[axis]
        frequency = (torch.arange(count, device=kspace.device) + count // 2) % count - count // 2
        inside = (frequency >= -(kept // 2)) & (frequency < kept - kept // 2)
        kspace = kspace * (inside[:, None] if axis == -2 else inside)
    return kspace

"""What is computed once of a volume of several coils, and kept beside the splits.

Sensitivities that no file has are estimated, and kept with the image that they combine to in the
folder `sensitivities/METHOD_HxW/...` of a data set, one file a volume.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import h5py
import numpy as np
import torch
from torch import Tensor

from kdmri.data.coils import (
    SENSITIVITIES,
    CoilVolume,
    Size,
    read_kspace,
    read_sensitivities,
    read_truth,
)
from kdmri.data.explained import Explained, explained
from kdmri.data.hdf5 import hdf5_written_aside
from kdmri.data.layout import open_volume, reading
from kdmri.data.mask_convention import is_centred
from kdmri.data.sampling_pattern import fault, measured
from kdmri.errors import DataError

FOLDER = "sensitivities"
AT_ONCE = 2**28
"""Bytes of k-space for which sensitivities are estimated at once."""
RULES = 5
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
class Companion:
    """What is computed once of a volume's k-space, and kept.

    Attributes:
        path: h5 file with `sensitivities` complex64 (S, coils, H, W), unless the volume has its
            own, and `target` complex64 (S, H, W), the combined image, in the units of k-space.
        scale: what k-space and target are divided by: the largest magnitude of the root sum of
            squares of coil images that the fully sampled centre alone gives.
        largest: largest magnitude of what is measured against, in the units of k-space.
        acquired: 1 where any coil of any slice was measured, uint8 (H, W).
        unexplained: share of the centre of k-space that sensitivities do not explain, 0 to 1, see
            `kdmri.data.explained`.
    """

    path: Path
    scale: float
    largest: float
    acquired: np.ndarray
    unexplained: float


def companion(volume: CoilVolume, folder: Path, centre: Size, estimate: Estimate) -> Companion:
    """Read what was computed of a volume, or compute it.

    Args:
        volume: what `inspect_coils` gave.
        folder: of the data set.
        centre: (h, w) of the fully sampled centre that sensitivities and scale are found from.
        estimate: see `Estimate`.

    Raises:
        DataError: k-space is damaged, zero everywhere, or has no signal in its centre, or
            sensitivities are not those of its coils.
    """
    below = volume.path.relative_to(folder)
    path = folder / FOLDER / f"{estimate}_{centre[0]}x{centre[1]}" / below
    made_of = json.dumps([RULES, *(_fingerprint(p) for p in (volume.path, volume.kspace_path))])
    if path.is_file():
        with reading(path) as file:
            if file.attrs.get("made_of") == made_of:
                return _read(file, path)
    with hdf5_written_aside(path) as file:
        told = _compute(file, volume, centre, estimate)
        file.attrs.update({"made_of": made_of, **told})
        return _read(file, path)


def _read(file: h5py.File, path: Path) -> Companion:
    """Describe a companion, open, that lies at a path in the end."""
    scale, largest, unexplained = (
        float(file.attrs[key]) for key in ("scale", "largest", "unexplained")
    )
    return Companion(path, scale, largest, file["acquired"][...], unexplained)


def _fingerprint(path: Path) -> list[str | int]:
    found = path.stat()
    return [path.name, found.st_size, found.st_mtime_ns]


def _compute(
    file: h5py.File, volume: CoilVolume, centre: Size, estimate: Estimate
) -> dict[str, float]:
    """Fill a companion's arrays; gives its attributes."""
    height, width, slices = volume.shape
    shape = (slices, volume.coils, height, width)
    target = file.create_dataset("target", (slices, height, width), "c8", chunks=(1, height, width))
    kept = None
    if not volume.has_sensitivities:
        kept = file.create_dataset(SENSITIVITIES, shape, "c8", chunks=(1, *shape[1:]))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    step = max(1, AT_ONCE // (8 * int(np.prod(shape[1:]))))
    scale, largest, acquired = 0.0, 0.0, np.zeros((height, width), np.uint8)
    found = Explained()
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
                maps = np.stack([read_sensitivities(own, volume, n) for n in range(first, last)])
                sensitivities = torch.from_numpy(maps).to(device)
            else:
                sensitivities = _estimated(volume, kspace, centre, estimate)
                kept[first:last] = maps = sensitivities.cpu().numpy()
            found = sum(map(explained, stored, maps), found)
            images = torch.fft.ifft2(kspace, norm="ortho")
            combined = (sensitivities.conj() * images).sum(dim=1).cpu().numpy()
            target[first:last] = combined
            seen = volume.shown.of(np.abs(combined))
            if volume.against:
                seen = np.stack([read_truth(own, volume, n) for n in range(first, last)])
            largest = float(np.maximum(largest, seen.max()))  # which keeps NaN, as max does not
    check_explained(found, volume)
    if not (0 < scale < np.inf and 0 < largest < np.inf):
        raise DataError(
            f"{volume.kspace_path}: its k-space is zero, or has no signal at its centre"
        )
    file["acquired"] = acquired
    return {"scale": scale, "largest": largest, "unexplained": found.unexplained}


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


def check_explained(found: Explained, volume: CoilVolume) -> None:
    """See that sensitivities, stored or estimated, are those of a volume.

    Args:
        found: how much they explain, of all slices.
        volume: what `inspect_coils` gave.

    Raises:
        DataError: they cannot be.
    """
    if not found.is_wrong:
        return
    if volume.has_sensitivities:
        raise DataError(
            f"{volume.path}: its {SENSITIVITIES} {found.described()}; correct them, or delete them "
            "from the file, and they are estimated"
        )
    raise DataError(
        f"{volume.kspace_path}: the sensitivities that are estimated {found.described()}; the "
        "mask's fully sampled centre may be too small (dataset.mask), or there is hardly anything "
        "but noise; leave the file out then"
    )


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

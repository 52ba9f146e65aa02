"""Reconstructs k-space that a program holds in memory, as `kdmri reconstruct` does a file of it."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from kdmri.data.coils import unit_norm
from kdmri.data.readers.base import SourceSlice, SourceVolume
from kdmri.data.readers.naming import blaming
from kdmri.data.readers.numpy_files import NumpyFiles
from kdmri.errors import DataError
from kdmri.models.trained import Trained
from kdmri.reconstruct.pipeline import Done, fed, reconstruct_volume

ARRAY = Path("kspace")
"""Stands for the file that errors name."""


def reconstruct_kspace(
    trained: Trained,
    kspace: np.ndarray,
    sensitivities: np.ndarray | None = None,
    centred: bool = True,
    batch_size: int = 1,
) -> np.ndarray:
    """Reconstruct a volume of undersampled k-space, any mask, at the scale of the training.

    The mask is detected: what was not measured is exactly zero. A volume has one scale, so that
    slices belong into one call.

    Args:
        trained: the network and its task, see `kdmri.open_checkpoint`; computes where its network
            is.
        kspace: complex, orthonormal, in any unit. (S, coils, H, W) for a network that was trained
            on several coils, a single one as (S, 1, H, W); else (S, H, W) or (H, W).
        sensitivities: of the coils, complex, of the shape of `kspace` or (1, coils, H, W) for all
            slices; None estimates them from the fully sampled centre, as in training.
        centred: whether the zero frequency and the origin of the image lie in the middle (N // 2),
            as in raw data; False: at index 0, as `numpy.fft.fft2` and `kdmri.fft2` have them.
        batch_size: slices that pass the network together.

    Returns:
        (S, H, W) in the unit of `kspace`: complex64 of a network of two channels, else magnitudes,
        float32. A UserWarning tells of sensitivities that do not explain the k-space.

    Raises:
        DataError: the array is no such k-space, or is fully sampled; says why.
    """
    array = np.asarray(kspace)
    maps = None if sensitivities is None else np.asarray(sensitivities)
    _check(trained, array, maps)
    reader = NumpyFiles(axis=0, kspace=True, centred=centred, undersampled=True)

    def slices() -> Iterator[SourceSlice]:
        with blaming(ARRAY):
            for number, one in enumerate(reader.slices_of(array)):
                if maps is None:
                    yield one
                else:
                    given = maps[number if len(maps) > 1 else 0]
                    yield one._replace(sensitivities=unit_norm(given))

    device = next(trained.network.parameters()).device
    one = fed(SourceVolume(ARRAY.name, "", (ARRAY,), slices), trained, None, 1, batch_size, device)
    if one.has_target:
        raise DataError(
            f"{ARRAY}: is fully sampled, so that there is nothing to reconstruct; set to zero what "
            "is not to be measured"
        )
    images: list[np.ndarray] = []

    def keep(number: int, image: np.ndarray) -> None:
        images.append(image * np.float32(one.scale))

    done = Done({}, 0, {}, {}, [])
    reconstruct_volume(one, keep, batch_size, device, lambda *_: None, done)
    for doubt in one.doubts():
        warnings.warn(doubt, stacklevel=2)
    return np.stack(images)


def _check(trained: Trained, kspace: np.ndarray, sensitivities: np.ndarray | None) -> None:
    """Refuse arrays whose axes could be taken for others.

    Raises:
        DataError: says what is wrong.
    """
    several = trained.estimate is not None
    shapes = "(S, coils, H, W)" if several else "(S, H, W) or (H, W)"
    if kspace.dtype.kind != "c":
        raise DataError(f"{ARRAY}: has type {kspace.dtype}; k-space is complex")
    if kspace.ndim not in ((4,) if several else (2, 3)) or 0 in kspace.shape:
        trained_on = "several coils" if several else "one coil"
        raise DataError(
            f"{ARRAY}: has shape {kspace.shape}; {trained.path} was trained on {trained_on} and "
            f"takes {shapes}"
        )
    if sensitivities is None:
        return
    if not several:
        raise DataError(f"sensitivities: {trained.path} was trained on one coil and takes none")
    if sensitivities.shape not in (kspace.shape, (1, *kspace.shape[1:])):
        raise DataError(
            f"sensitivities: have shape {sensitivities.shape}, k-space has {kspace.shape}"
        )

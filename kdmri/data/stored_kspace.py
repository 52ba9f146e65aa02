"""The scale of undersampled k-space that files of the original KD-MRI project carry."""

from pathlib import Path

import h5py
import numpy as np

from kdmri.data.mask_convention import is_centred
from kdmri.errors import DataError


def kspace_factor(path: Path, image: h5py.Dataset, kspace: h5py.Dataset) -> float:
    """Recognise the scale of stored k-space on the middle slice: 1, or off by sqrt(H*W).

    Where that is empty, it is the first one that is not.
    """
    order = [*range(image.shape[-1] // 2, image.shape[-1]), *range(image.shape[-1] // 2)]
    chosen = next((n for n in order if image.ndim == 2 or image[:, :, n].any()), 0)
    slices = [d[...] if d.ndim == 2 else d[:, :, chosen] for d in (image, kspace)]
    if is_centred(slices[1]):  # its image has the same magnitude, where sizes are even
        raise DataError(
            f"{path}: {kspace.name[1:]} is strongest in the middle, but the zero frequency belongs "
            "at index (0, 0); it has to be shifted with numpy.fft.ifftshift"
        )
    expected, transformed = slices[0], np.abs(np.fft.ifft2(slices[1], norm="ortho"))
    unnormalised = float(np.sqrt(np.prod(expected.shape)))
    for factor in (1.0, 1 / unnormalised, unnormalised):
        if np.allclose(factor * transformed, expected, rtol=1e-3, atol=1e-3 * expected.max()):
            return factor
    raise DataError(
        f"{path}: |IFFT2({kspace.name[1:]})| is not {image.name[1:]}, neither orthonormal nor "
        "scaled by sqrt(H*W); is the k-space shifted? The zero frequency belongs at index (0, 0)"
    )

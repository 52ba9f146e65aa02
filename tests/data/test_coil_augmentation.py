"""Random changes of slices of several coils: all parts stay one measurement."""

import numpy as np
import pytest
import torch
from torch import Tensor

from kdmri.data.augmentation import Affine, flipped
from kdmri.data.batch import Coils, Slice
from kdmri.data.coil_augmentation import DrawnCoils
from kdmri.data.cropping import Window
from kdmri.errors import ConfigurationError
from kdmri.physics import fft2, ifft2, to_complex
from kdmri.physics.coils import combine
from tests.data.readers.coils import phased, sensitivities


def slices(anatomy: np.ndarray, items: int = 6, padded: bool = True) -> Slice:
    image = torch.from_numpy(phased(anatomy, slice(10, 10 + items)))[:, None]
    maps = torch.from_numpy(sensitivities(4, (48, 40))).expand(items, -1, -1, -1)
    acquired = torch.ones(items, 1, 48, 40)
    if padded:
        acquired[..., 17:20] = 0  # high frequencies of one sign: partial Fourier
    kspace = acquired * fft2(maps * image)
    target = combine(ifft2(kspace), maps)
    number = torch.arange(items)
    coils = Coils(maps, acquired, torch.zeros(items, 1, dtype=torch.int64), Window(0, 0, 48, 40))
    parts = torch.cat((target.real, target.imag), dim=1)
    return Slice(parts, kspace, torch.ones(items), number, number, number * 0, coils=coils)


def mismatch(found: Slice) -> tuple[Tensor, Tensor]:
    """Compare the target with what the coils measured; and k-space with what was acquired."""
    assert found.coils is not None
    assert found.kspace is not None
    image = combine(ifft2(found.kspace), found.coils.sensitivities)
    outside = found.kspace * (1 - found.coils.acquired)
    return (image - to_complex(found.target)).abs().max(), outside.abs().max()


def test_flips_mirror_coils_and_what_was_acquired(anatomy: np.ndarray) -> None:
    given = slices(anatomy)
    found = flipped(given)
    assert found.variant is not None
    assert len(set(found.variant.tolist())) > 1
    assert all(float(error) < 1e-5 for error in mismatch(found))
    assert found.coils is not None
    moved = (found.coils.acquired != given.coils.acquired).any(dim=(1, 2, 3))  # type: ignore[union-attr]
    assert moved.tolist() == [variant >= 2 for variant in found.variant.tolist()]


def test_what_turned_is_measured_by_the_coils_that_stay(anatomy: np.ndarray) -> None:
    given = slices(anatomy)
    found = Affine(share=1, degrees=20, scale=0.1, shear=0.1)(given)
    assert not torch.equal(found.target, given.target)
    assert float(mismatch(found)[0]) < 1e-5
    assert found.coils is not None
    assert given.coils is not None
    assert torch.equal(found.coils.sensitivities, given.coils.sensitivities)


def test_other_coils_measure_the_same_object(anatomy: np.ndarray) -> None:
    given = slices(anatomy, padded=False)
    found = DrawnCoils(share=0.5, noise=0.0)(given)
    assert found.coils is not None
    assert given.coils is not None
    assert float(mismatch(found)[0]) < 1e-5
    torch.testing.assert_close(to_complex(found.target).abs(), to_complex(given.target).abs())
    other = (found.coils.sensitivities != given.coils.sensitivities).any(dim=(1, 2, 3))
    assert 0 < int(other.sum()) < len(other)
    noisy = DrawnCoils(share=1, noise=0.2)(slices(anatomy))
    assert float(mismatch(noisy)[1]) == 0, "nothing is measured that was not acquired"
    assert float(mismatch(noisy)[0]) < 1e-5
    assert float((noisy.target - given.target).abs().mean()) > 0.01


def test_one_coil_is_refused(anatomy: np.ndarray) -> None:
    with pytest.raises(ConfigurationError, match="DrawnCoils: is for data of several coils"):
        DrawnCoils(share=1, noise=0)(slices(anatomy)._replace(coils=None))
    with pytest.raises(ConfigurationError, match="share must be"):
        DrawnCoils(share=0, noise=0)

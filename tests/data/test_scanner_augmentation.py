"""Training slices as other scanners would see them: all parts stay one measurement."""

import numpy as np
import pytest
import torch

from kdmri.data.companions import central
from kdmri.data.scanner_augmentation import DrawnScanner
from kdmri.errors import ConfigurationError
from kdmri.physics import Espirit
from tests.data.test_coil_augmentation import mismatch, slices

PARTS = {
    "estimate": Espirit(calibration=16, kernel=4),
    **{"sizes": [48, 64], "coils": [3, 5], "noise_range": (0.002, 0.02)},
    **{"contrast": 0.5, "detail": 0.3, "log_scale": (-0.2, 0.2), "shift": 0.1},
}


def test_scans_agree_with_themselves_and_differ_from_each_other(anatomy: np.ndarray) -> None:
    given, draw = slices(anatomy, padded=False), DrawnScanner(**PARTS)
    found = [draw(given) for _ in range(6)]
    for one in found:
        assert one.coils is not None
        assert one.kspace is not None
        assert one.variant is None
        assert float(mismatch(one)[0]) < 1e-5
        low = torch.fft.ifft2(central(one.kspace, (16, 16)), norm="ortho")
        largest = low.abs().square().sum(dim=1).amax(dim=(1, 2)).sqrt()
        torch.testing.assert_close(largest, torch.ones(6), rtol=1e-4, atol=0)
        norm = one.coils.sensitivities.abs().square().sum(dim=1)
        assert ((norm < 1e-6) | ((norm - 1).abs() < 1e-3)).all()
        assert 0.1 < (norm > 0.5).float().mean() < 1
        assert one.coils.shown.size == tuple(one.target.shape[-2:])
        squares = torch.fft.ifft2(one.kspace, norm="ortho").abs().square().sum(1, True)
        torch.testing.assert_close(one.coils.image, squares.sqrt())
        torch.testing.assert_close(one.data_range, squares.amax(dim=(1, 2, 3)).sqrt())
    assert len({one.kspace.shape for one in found}) > 2  # type: ignore[union-attr]
    again = draw(given).target
    assert not torch.equal(again[0], again[1])


def test_photographs_stand_in_for_the_share_of_slices_asked_for(anatomy: np.ndarray) -> None:
    given = slices(anatomy, padded=False)
    other = given._replace(target=torch.full_like(given.target, 0.5))
    for share, same in ((1.0, True), (0.0, False)):
        found = []
        for source in (given, other):
            torch.manual_seed(2)
            found.append(DrawnScanner(**PARTS, photographs=share)(source).target)
        assert torch.equal(*found) == same


def test_noise_is_as_much_as_asked_for(anatomy: np.ndarray) -> None:
    given = slices(anatomy, padded=False)
    levels = []
    for noise in (0.001, 0.1):
        torch.manual_seed(3)
        draw = DrawnScanner(**PARTS | {"noise_range": (noise, noise), "detail": 0.0})
        kspace = draw(given).kspace
        assert kspace is not None
        middle = slice(kspace.shape[-2] // 2 - 6, kspace.shape[-2] // 2 + 6)
        levels.append(kspace[:, :, middle, middle].abs().mean())
    assert levels[1] / levels[0] > 3


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"sizes": [16]}, "must be at least 32"),
        ({"coils": []}, "coils="),
        ({"noise_range": (0.0, 0.1)}, "noise_range="),
        ({"detail": 1.0}, "detail="),
        ({"photographs": 1.5}, "photographs="),
    ],
)
def test_wrong_settings_are_named(change: dict[str, object], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        DrawnScanner(**PARTS | change)


def test_images_of_one_coil_are_refused(anatomy: np.ndarray) -> None:
    with pytest.raises(ConfigurationError, match="several coils"):
        DrawnScanner(**PARTS)(slices(anatomy)._replace(coils=None))

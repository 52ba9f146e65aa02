import numpy as np
import pytest

from kdmri.data.cropping import fit_centre
from kdmri.data.geometry import Geometry, is_usable

OBLIQUE = np.array([[0, -2, 0.3, 80], [1.5, 0, 0, -60], [0, 0.2, 3, 7], [0, 0, 0, 1.0]])


def places(geometry: Geometry, shape: tuple[int, int, int]) -> np.ndarray:
    """RAS+ mm of every sample, (3, H, W, S)."""
    indices = np.stack([*np.indices(shape), np.ones(shape)])
    return np.tensordot(geometry.affine, indices, 1)[:3]


@pytest.mark.parametrize("size", [(8, 7), (9, 12), (4, 3), (5, 5)])
@pytest.mark.parametrize("wanted", [(8, 7), (6, 13), (11, 4), (3, 2)])
def test_crops_and_pads_keep_samples_at_their_place(
    size: tuple[int, int], wanted: tuple[int, int]
) -> None:
    geometry = Geometry(OBLIQUE)
    before = np.moveaxis(places(geometry, (*size, 2)), 0, -1)
    after = np.moveaxis(places(geometry.fitted(size, wanted), (*wanted, 2)), 0, -1)
    kept = fit_centre(np.ones(size), wanted) > 0
    np.testing.assert_allclose(fit_centre(before, wanted)[kept], after[kept], atol=1e-9)


def test_flips_and_stored_axes() -> None:
    geometry = Geometry.of_array(OBLIQUE, (2, 0, 1))
    stored = places(Geometry(OBLIQUE), (4, 5, 6))
    np.testing.assert_allclose(places(geometry, (6, 4, 5)), stored.transpose(0, 3, 1, 2))
    flipped = places(geometry.flipped(6), (6, 4, 5))
    np.testing.assert_allclose(flipped, places(geometry, (6, 4, 5))[:, ::-1], atol=1e-9)
    assert geometry.spacing == pytest.approx((np.hypot(0.3, 3), 1.5, np.hypot(2, 0.2)))


def test_spacing_alone_has_no_position_to_shift() -> None:
    geometry = Geometry.of_spacing((1, 2, 3))
    for changed in (
        geometry.shifted(3, 4, 5),
        geometry.fitted((4, 4), (9, 2)),
        geometry.flipped(4),
    ):
        np.testing.assert_array_equal(changed.affine, np.diag([1, 2, 3, 1]))
        assert not changed.oriented


def test_affines_that_tell_no_places() -> None:
    assert is_usable(OBLIQUE)
    assert is_usable(np.diag([1e-3, 1, 1e3, 1]))
    for row in range(4):
        singular = OBLIQUE.copy()
        singular[row] = 0
        assert not is_usable(singular)
    for wrong in (OBLIQUE[:3], OBLIQUE * np.nan, np.ones((4, 4)), OBLIQUE[:, [0, 0, 2, 3]]):
        assert not is_usable(wrong)

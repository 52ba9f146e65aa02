"""What a volume is, slice by slice: one mask for all of them, or none is told."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from kdmri.data.readers.base import SourceSlice, SourceVolume
from kdmri.errors import DataError
from kdmri.reconstruct.survey import survey

COLUMNS = np.isin(np.arange(40), [0, 1, 2, 3, 9, 14, 17, 22, 30, 36, 37, 38, 39])


def stored(image: np.ndarray, kspace: np.ndarray) -> SourceSlice:
    """Return a slice with its k-space beside a target, as in files of the original project."""
    return SourceSlice(np.abs(image).astype(np.float32), kspace=kspace)


def bare(image: np.ndarray, kspace: np.ndarray) -> SourceSlice:
    """Return a slice of nothing but stored k-space."""
    return SourceSlice(image, kspace=kspace, mask=(kspace != 0).astype(np.uint8))


def zero_filled(image: np.ndarray, kspace: np.ndarray) -> SourceSlice:
    """Return a complex image alone, as in NIfTI files."""
    return SourceSlice(image)


FORMS = (stored, bare, zero_filled)
Form = Callable[[np.ndarray, np.ndarray], SourceSlice]


def volume(anatomy: np.ndarray, form: Form, columns: list[np.ndarray]) -> SourceVolume:
    def slices() -> Iterator[SourceSlice]:
        for number, measured in enumerate(columns):
            kspace = np.fft.fft2(anatomy[:, :, 10 + number], norm="ortho") * measured
            image = np.fft.ifft2(kspace, norm="ortho").astype(np.complex64)
            yield form(image, kspace.astype(np.complex64))

    return SourceVolume("scan", "p1", (Path("scan.h5"),), slices)


@pytest.mark.parametrize("form", FORMS)
def test_a_mask_for_each_slice_is_no_mask_of_the_volume(anatomy: np.ndarray, form: Form) -> None:
    """Their union was never measured: a network would be told that its zeros were."""
    other = COLUMNS.copy()
    other[[9, 11]] = False, True
    with pytest.raises(DataError, match=r"scan\.h5: .* slice 2 otherwise than slice 0"):
        survey(volume(anatomy, form, [COLUMNS, COLUMNS, other]))


@pytest.mark.parametrize("form", FORMS)
def test_one_mask_of_all_slices_is_told(anatomy: np.ndarray, form: Form) -> None:
    found = survey(volume(anatomy, form, [COLUMNS] * 3))
    assert found.mask is not None
    np.testing.assert_array_equal(found.mask, np.tile(COLUMNS, (48, 1)))


def test_edges_of_a_weak_image_are_no_mask_of_its_own(anatomy: np.ndarray) -> None:
    """Rounding leaves nothing of what is weak at the edge of k-space, in one slice or another."""
    rows = np.fft.ifftshift(np.abs(np.arange(48) - 24) < 20)[:, None]
    found = survey(volume(anatomy, zero_filled, [COLUMNS, COLUMNS & rows, COLUMNS & rows]))
    assert found.mask is not None
    np.testing.assert_array_equal(found.mask, np.tile(COLUMNS, (48, 1)))

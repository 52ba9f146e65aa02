"""Which images become one volume, and which series one; gaps between slices."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.readers.dicom_files import (
    expected,
    image,
    read,
    read_one,
    save,
    save_series,
    volumes,
)

Stored = np.ndarray


@pytest.mark.parametrize("keyword", ["AcquisitionNumber", "TriggerTime", "InversionTime"])
def test_what_differs_between_slices_alone_parts_nothing(
    tmp_path: Path, stored: Stored, keyword: str
) -> None:
    for place in range(4):
        save(image(stored[:, :, place], place, **{keyword: 7 * place + 1}), tmp_path / f"{place}")
    np.testing.assert_array_equal(read_one(tmp_path), expected(stored[:, :, :4]))


def test_derived_map_of_one_slice_is_a_volume(tmp_path: Path, stored: Stored) -> None:
    save_series(tmp_path / "a", stored[:, :, :4])
    derived = image(stored[:, :, 9], 2, ImageType=["DERIVED", "SECONDARY", "T1 MAP"])
    save(derived, tmp_path / "map")
    map_, original = volumes(tmp_path)
    np.testing.assert_array_equal(read(map_), expected(stored[:, :, 9:10]))
    np.testing.assert_array_equal(read(original), expected(stored[:, :, :4]))


def test_pixels_of_another_size_are_another_volume(tmp_path: Path, stored: Stored) -> None:
    for place in range(6):
        pixel = [1.5, 1.25] if place < 4 else [3.0, 2.5]
        save(image(stored[:, :, place], place, PixelSpacing=pixel), tmp_path / f"{place}")
    fine, coarse = volumes(tmp_path)
    np.testing.assert_array_equal(read(fine), expected(stored[:, :, :4]))
    np.testing.assert_array_equal(read(coarse), expected(stored[:, :, 4:6]))


@pytest.mark.parametrize(("lost", "said"), [(2, 1), (0, 0), (4, 0)])
def test_gap_between_slices_is_told(tmp_path: Path, stored: Stored, lost: int, said: int) -> None:
    paths = save_series(tmp_path, stored[:, :, :5])
    paths[lost].unlink()
    (volume,) = volumes(tmp_path)
    kept = [place for place in range(5) if place != lost]
    np.testing.assert_array_equal(read(volume), expected(stored[:, :, kept]))
    assert len(volume.notes) == said
    if said:
        assert volume.name in volume.notes[0]
        assert "5 mm between slices 2 and 3, but 2.5 mm between others" in volume.notes[0]


def test_slices_that_differ_in_contrast_are_told(tmp_path: Path, stored: Stored) -> None:
    for place in range(4):
        made = image(stored[:, :, place], place, EchoTime=10 + place, FlipAngle=place)
        save(made, tmp_path / f"{place}")
    found = volumes(tmp_path)
    assert [read(volume).shape[2] for volume in found] == [1] * 4
    assert "4 slices differ in EchoTime: each is a volume of its own" in found[0].notes[0]


def test_echo_times_that_differ_by_rounding_are_one(tmp_path: Path, stored: Stored) -> None:
    for place in range(4):
        made = image(stored[:, :, place], place, EchoTime=f"{4.92 + 1e-4 * place:.4f}")
        save(made, tmp_path / f"{place}")
    np.testing.assert_array_equal(read_one(tmp_path), expected(stored[:, :, :4]))


def test_series_of_one_slice_each_are_joined(tmp_path: Path, stored: Stored) -> None:
    for place in (3, 0, 4, 1, 2):
        for echo in range(2):
            number = 2 * place + echo
            values = {"SeriesInstanceUID": f"1.2.9.{number}", "EchoTime": 10 + 70 * echo}
            save(image(stored[:, :, number], place, **values), tmp_path / f"{number}")
    other = {"SeriesInstanceUID": "1.2.8", "SeriesNumber": 2}
    save(image(stored[:, :, 20], 0, **other), tmp_path / "scout")
    first, second, scout = volumes(tmp_path)
    np.testing.assert_array_equal(read(first), expected(stored[:, :, 0:10:2]))
    np.testing.assert_array_equal(read(second), expected(stored[:, :, 1:10:2]))
    assert scout.name.endswith("_002")
    assert "10 series of one slice" in first.notes[0]
    assert "joined" in first.notes[0]
    assert not second.notes + scout.notes


@pytest.mark.parametrize(
    ("values", "why"),
    [({"StudyInstanceUID": "1.2.7.{}"}, "StudyInstanceUID"), ({"SeriesNumber": None}, "number")],
)
def test_slices_that_are_not_joined_are_told(
    tmp_path: Path, stored: Stored, values: dict[str, Any], why: str
) -> None:
    for place in range(4):
        own = {key: value and value.format(place) for key, value in values.items()}
        made = image(stored[:, :, place], place, SeriesInstanceUID=f"1.2.9.{place}", **own)
        save(made, tmp_path / f"{place}")
    found = volumes(tmp_path)
    assert [read(volume).shape[2] for volume in found] == [1] * 4
    assert "4 series of one slice" in found[0].notes[0]
    assert why in found[0].notes[0]


def test_series_of_several_slices_are_not_joined(tmp_path: Path, stored: Stored) -> None:
    for n in range(2):
        save_series(tmp_path / f"{n}", stored[:, :, n : n + 3], SeriesInstanceUID=f"1.2.9.{n}")
    assert [read(volume).shape[2] for volume in volumes(tmp_path)] == [3, 3]

"""Images that were lost: their volume is named, and no other image takes their place."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset

from tests.data.readers.dicom_files import (
    dataset,
    enhanced,
    expected,
    image,
    save,
    volumes,
    whole,
)

CONDITIONS, PLACES = 3, 5
LOST = (1, 2)
"""Condition and place of the image that is lost."""

Stored = np.ndarray
Change = Callable[[Dataset, int, int], None]
"""Gives an image the tags of its condition and place."""


def by(keyword: str, *values: Any) -> Change:
    return lambda made, condition, place: setattr(made, keyword, values[condition])


def private(group: int, creator: str, kind: str, *values: Any, elements: tuple[int, ...]) -> Change:
    def change(made: Dataset, condition: int, place: int) -> None:
        block = made.private_block(group, creator, create=True)
        several = values[condition] if len(elements) > 1 else [values[condition]]
        for element, value in zip(elements, several, strict=True):
            block.add_new(element, kind, value)

    return change


def both(*changes: Change) -> Change:
    def change(made: Dataset, condition: int, place: int) -> None:
        for one in changes:
            one(made, condition, place)

    return change


AXES = ([0.0, 0.6, 0.8], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0])
B = by("DiffusionBValue", 800, 800, 800)
TOLD_BY: dict[str, Change] = {
    "EchoTime": by("EchoTime", 2.3, 4.6, 80),
    "EchoNumbers": by("EchoNumbers", 1, 2, 3),
    "TriggerTime": by("TriggerTime", 0, 41.5, 83),
    "TemporalPositionIdentifier": by("TemporalPositionIdentifier", 1, 2, 3),
    "InversionTime": by("InversionTime", 120, 900, 2500),
    "AcquisitionNumber": by("AcquisitionNumber", 1, 2, 3),
    "DiffusionBValue": by("DiffusionBValue", 0, 50, 800),
    "direction": both(B, by("DiffusionGradientOrientation", *AXES)),
    "ImageType": by(
        "ImageType",
        ["DERIVED", "PRIMARY", "DIXON", "FAT"],
        ["DERIVED", "PRIMARY", "DIXON", "OPP_PHASE"],
        ["DERIVED", "PRIMARY", "DIXON", "WATER"],
    ),
    "Siemens b-value": private(0x19, "SIEMENS MR HEADER", "IS", 0, 50, 800, elements=(0x0C,)),
    "Siemens direction": both(B, private(0x19, "SIEMENS MR HEADER", "FD", *AXES, elements=(0x0E,))),
    "Philips b-value": private(
        0x2001, "Philips Imaging DD 001", "FL", 0.0, 50.0, 800.0, elements=(0x03,)
    ),
    "Philips direction": both(
        B, private(0x2005, "Philips MR Imaging DD 001", "FL", *AXES, elements=(0xB0, 0xB1, 0xB2))
    ),
    "GE b-value": private(
        *(0x43, "GEMS_PARM_01", "IS"),
        *([0, 8, 0, 0], [1000000050, 8, 0, 0], [1000000800, 8, 0, 0]),
        elements=(0x39,),
    ),
    "GE direction": both(
        B, private(0x19, "GEMS_ACQU_01", "DS", *AXES, elements=(0xBB, 0xBC, 0xBD))
    ),
    "United Imaging b-value": private(
        0x65, "Image Private Header", "FD", 0.0, 50.0, 800.0, elements=(0x09,)
    ),
}


def save_all(
    folder: Path,
    stored: Stored,
    change: Change,
    lost: tuple[int, int] | None = LOST,
    conditions: int = CONDITIONS,
) -> Stored:
    """Write an image for each condition and place, but the lost one; returns (H, W, cond, place).

    Neither names nor InstanceNumbers tell condition or place.
    """
    values = stored[:, :, : conditions * PLACES].reshape(*stored.shape[:2], conditions, PLACES)
    order = np.random.default_rng(5).permutation(conditions * PLACES)
    for number, (condition, place) in zip(order, np.ndindex(conditions, PLACES), strict=True):
        made = image(values[:, :, condition, place], place, InstanceNumber=int(number) + 1)
        change(made, condition, place)
        if (condition, place) != lost:
            save(made, folder / f"{number}")
    return values


@pytest.mark.parametrize("told_by", TOLD_BY)
def test_lost_image_is_named_and_moves_no_other(
    tmp_path: Path, stored: Stored, told_by: str
) -> None:
    values = save_all(tmp_path, stored, TOLD_BY[told_by])
    found = volumes(tmp_path)
    assert [volume.name[-4:] for volume in found] == ["_t01", "_t02", "_t03"]
    for condition, have in enumerate(whole(found)):
        if condition == LOST[0]:
            assert isinstance(have, str)
            assert f"{tmp_path}" in have
            assert "has 4 slices, others of its series 5" in have
            assert f"volume {found[condition].name} (" in have
            assert "no image of slice 3 (at " in have
        else:
            np.testing.assert_array_equal(have, expected(values[:, :, condition]))
    assert not any(volume.notes for volume in found)


def test_reason_says_which_volume_it_is(tmp_path: Path, stored: Stored) -> None:
    save_all(tmp_path, stored, TOLD_BY["EchoTime"])
    assert "_t02 (EchoTime 4.6) has 4" in whole(volumes(tmp_path))[1]


def test_echoes_that_each_lack_another_slice(tmp_path: Path, stored: Stored) -> None:
    for condition, place in np.ndindex(2, 3):
        if (condition, place) not in ((0, 1), (1, 2)):
            made = image(stored[:, :, 3 * condition + place], place, EchoTime=10 + condition)
            save(made, tmp_path / f"{condition}{place}")
    first, second = whole(volumes(tmp_path))
    assert "no image of slice 2" in first
    assert "no image of slice 3" in second


@pytest.mark.parametrize("beats", [(0, 1.5, -2, 1, 2.5), (0, 200, 90, 310, 55)])
@pytest.mark.parametrize("lost", [None, LOST])
def test_cine_of_slices_with_heartbeats_of_their_own(
    tmp_path: Path, stored: Stored, beats: tuple[float, ...], lost: tuple[int, int] | None
) -> None:
    """Phases of 40 ms and a little, or of steps that differ widely from slice to slice."""

    def change(made: Dataset, condition: int, place: int) -> None:
        step = 40 + (beats[place] / 3 if max(beats) > 100 else 0)
        start = 10 + (beats[place] if max(beats) <= 100 else 0)
        made.TriggerTime = round(start + step * condition, 2)

    values = save_all(tmp_path, stored, change, lost)
    found = volumes(tmp_path)
    have = whole(found)
    if lost is None:
        for condition, one in enumerate(have):
            np.testing.assert_array_equal(one, expected(values[:, :, condition]))
        assert all("trigger time differs from slice to slice" in v.notes[0] for v in found)
        assert len({volume.notes for volume in found}) == 1, "said once"
    elif max(beats) <= 100:  # it is clear which phase was lost
        assert [isinstance(one, str) for one in have] == [False, True, False]
        for condition in (0, 2):
            np.testing.assert_array_equal(have[condition], expected(values[:, :, condition]))
    else:
        *phases, refused = have
        rest = [0, 1, 3, 4]
        for condition, one in enumerate(phases):
            np.testing.assert_array_equal(one, expected(values[:, :, condition, rest]))
        assert isinstance(refused, str)
        assert "with 2 images where others of its series have 3" in refused
        assert len(found[-1].files) == 2
        assert all("not evenly spaced" in " ".join(v.notes) for v in found[:-1])


def test_two_slices_of_one_heartbeat_and_one_of_another(tmp_path: Path, stored: Stored) -> None:
    times = [(0, 40, 80), (0, 40, 80), (0, 43, 84), (0, 40, 80), (0, 40, 80)]

    def change(made: Dataset, condition: int, place: int) -> None:
        made.TriggerTime = times[place][condition]

    values = save_all(tmp_path, stored, change, None)
    for condition, one in enumerate(whole(volumes(tmp_path))):
        np.testing.assert_array_equal(one, expected(values[:, :, condition]))


def test_times_of_which_each_slice_lacks_another_one(tmp_path: Path, stored: Stored) -> None:
    kept = [(0, 1), (1, 2), (0, 2)]  # as many a slice, but not the same: order would mix them
    for place, conditions in enumerate(kept):
        for condition in conditions:
            made = image(
                stored[:, :, 3 * place + condition], place, TriggerTime=10 + 40 * condition
            )
            save(made, tmp_path / f"{condition}{place}")
    reasons = whole(volumes(tmp_path))
    assert len(reasons) == 3
    assert all("others of its series 3" in str(reason) for reason in reasons)


@pytest.mark.parametrize("time_outside", [True, False])
@pytest.mark.parametrize("lost", [LOST, (0, 0)])
def test_lost_image_told_by_instance_numbers_alone(
    tmp_path: Path, stored: Stored, time_outside: bool, lost: tuple[int, int]
) -> None:
    def change(made: Dataset, condition: int, place: int) -> None:
        outside = condition * PLACES + place, place * CONDITIONS + condition
        made.InstanceNumber = outside[not time_outside] + 1

    values = save_all(tmp_path, stored, change, lost)
    found = whole(volumes(tmp_path))
    if lost == (0, 0) and time_outside:  # it may be the last one as well
        *times, refused = found
        assert [np.shape(one) for one in times] == [(48, 40, 4)] * 3
        assert "with 2 images where others of its series have 3" in refused
        return
    for condition, one in enumerate(found):
        if condition == lost[0]:
            assert f"no image of slice {lost[1] + 1}" in one
        else:
            np.testing.assert_array_equal(one, expected(values[:, :, condition]))


def test_slice_that_nothing_tells_is_left_out(tmp_path: Path, stored: Stored) -> None:
    def change(made: Dataset, condition: int, place: int) -> None:
        del made.InstanceNumber

    save_all(tmp_path, stored, change)
    *times, refused = whole(volumes(tmp_path))
    assert [np.shape(one) for one in times] == [(48, 40, 4)] * 3
    assert "nothing tells which is of which time; the slice is left out" in refused


def test_lost_image_without_positions(tmp_path: Path, stored: Stored) -> None:
    def change(made: Dataset, condition: int, place: int) -> None:
        made.EchoTime = 10 + condition
        made.InstanceNumber = place + 1
        del made.ImagePositionPatient

    save_all(tmp_path, stored, change)
    first, second, third = whole(volumes(tmp_path))
    assert np.shape(first) == np.shape(third) == (48, 40, 5)
    assert "has 4 slices, others of its series 5" in second


def test_time_point_that_was_cut_short_is_left_out(tmp_path: Path, stored: Stored) -> None:
    for number in range(10):
        time, place = divmod(number, 6)
        made = image(stored[:, :, number], place, TemporalPositionIdentifier=time + 1)
        save(made, tmp_path / f"{number}")
    first, second = whole(volumes(tmp_path))
    np.testing.assert_array_equal(first, expected(stored[:, :, :6]))
    assert "has 4 slices, others of its series 6: there is no image of slice 5" in second


def test_frames_of_an_enhanced_file_with_diffusion(tmp_path: Path, stored: Stored) -> None:
    keys = [(time, place) for time in range(3) for place in range(4)][::-1]
    made = enhanced(stored[:, :, : len(keys)], keys)
    for (time, _), groups in zip(keys, made.PerFrameFunctionalGroupsSequence, strict=True):
        groups.FrameContentSequence = [dataset(FrameAcquisitionNumber=1)]
        kind = "NONE" if time == 0 else "DIRECTIONAL"
        diffusion = dataset(DiffusionBValue=800.0 if time else 0.0, DiffusionDirectionality=kind)
        if time:
            gradient = dataset(DiffusionGradientOrientation=AXES[time])
            diffusion.DiffusionGradientDirectionSequence = [gradient]
        groups.MRDiffusionSequence = [diffusion]
    del made.PerFrameFunctionalGroupsSequence[5]  # time 1, place 2
    frames = np.frombuffer(made.PixelData, np.uint16).reshape(len(keys), *stored.shape[:2])
    made.PixelData = np.delete(frames, 5, axis=0).tobytes()
    made.NumberOfFrames = len(keys) - 1
    save(made, tmp_path / "dwi.dcm")
    found = whole(volumes(tmp_path))
    (lost,) = (n for n, one in enumerate(found) if isinstance(one, str))
    assert "no image of slice 3" in found[lost]
    assert "b-value" in found[lost]
    for time in (0, 2):
        at = [len(keys) - 1 - (4 * time + place) for place in range(4)]
        wanted = [stored[:, :, n] * (n + 1.0) + n for n in at]
        assert any(
            np.array_equal(one, np.stack(wanted, axis=-1).astype(np.float32))
            for one in found
            if not isinstance(one, str)
        )

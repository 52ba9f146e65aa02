"""Sensitivities of training sets: right ones pass in silence, others are told or refused."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from kdmri.data import coils
from kdmri.data.coils import inspect_coils
from kdmri.data.companions import Companion, companion
from kdmri.data.explained import DOUBTFUL, WRONG, Explained, explained, limit
from kdmri.data.scans import doubted
from kdmri.data.simulated_coils import draw_sensitivities
from kdmri.errors import DataError
from kdmri.prepare.checking import check
from tests.data.coil_volumes import Known, write
from tests.data.readers.coils import phased

SIZE = (48, 40)
Change = Callable[[np.ndarray], np.ndarray]


def scan(
    anatomy: np.ndarray, count: int, snr: float = 30.0, first: int = 15
) -> tuple[np.ndarray, np.ndarray]:
    """K-space (coils, H, W) of a slice, and the sensitivities behind it."""
    image = phased(anatomy, slice(first, first + 1))[0]
    maps = draw_sensitivities(SIZE, count, [5])[0].numpy()
    noise = np.random.default_rng(count).standard_normal((2, *maps.shape))
    deviation = np.abs(image)[np.abs(image) > 0.1].mean() / snr
    kspace = np.fft.fft2(maps * image, norm="ortho") + deviation * (noise[0] + 1j * noise[1])
    return kspace.astype(np.complex64), maps


@pytest.mark.parametrize("count", [1, 2, 3, 8, 33])
@pytest.mark.parametrize("snr", [1000.0, 5.0, 1.5])
def test_right_sensitivities_are_never_doubted(anatomy: np.ndarray, count: int, snr: float) -> None:
    kspace, maps = scan(anatomy, count, snr)
    object_ = np.abs(phased(anatomy, slice(15, 16))[0])
    for given in (maps, maps * (object_ > 0.02), maps * np.exp(3j * np.arange(40))):
        found = explained(kspace, given.astype(np.complex64))
        assert found.unexplained < DOUBTFUL, found
        assert not found.is_wrong


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ("conjugated", np.conj),
        ("shifted by half the field of view", lambda maps: np.fft.fftshift(maps, (-2, -1))),
        ("turned by 180 degrees and conjugated", lambda maps: maps[:, ::-1, ::-1].conj()),
        ("mirrored along the rows' axis", lambda maps: maps[:, ::-1]),
        ("mirrored along the columns' axis", lambda maps: maps[..., ::-1]),
        ("with the coils in reverse order", lambda maps: maps[::-1]),
    ],
)
@pytest.mark.parametrize("count", [4, 9])
def test_what_is_wrong_with_them_is_named(
    anatomy: np.ndarray, words: str, wrong: Change, count: int
) -> None:
    kspace, maps = scan(anatomy, count, snr=5)
    found = explained(kspace, np.ascontiguousarray(wrong(maps)))
    assert found.better == words
    assert found.is_wrong
    assert f"({words} they would explain it)" in found.described()


@pytest.mark.parametrize("count", [4, 9, 33])
def test_those_of_other_coils_are_wrong(anatomy: np.ndarray, count: int) -> None:
    kspace, maps = scan(anatomy, count)
    for other in (np.roll(maps, count // 2, 0), 0 * maps, np.full_like(maps, count**-0.5)):
        found = explained(kspace, other)
        assert found.unexplained > WRONG, found


def test_slices_count_by_their_energy() -> None:
    strong = Explained(100, 1, 0, 0)
    weak = Explained(1, 1, 0, 0, "conjugated")
    assert (strong + weak).unexplained == pytest.approx(2 / 101)
    assert not (strong + weak).is_wrong
    assert Explained().unexplained == 0
    assert Explained(10, 9.5, 9.5, 9.0).unexplained == 0, "noise alone tells nothing"


def test_a_narrow_centre_may_leave_more(anatomy: np.ndarray) -> None:
    kspace, maps = scan(anatomy, 8)
    for centre in ((48, 4), (6, 6), (24, 24)):
        assert explained(kspace, maps, centre).unexplained < limit(centre)
    assert limit((48, 4)) > 3 * limit((24, 24)) == 3 * DOUBTFUL


def stored(path: Path, anatomy: np.ndarray, change: Change, count: int = 6) -> Path:
    """Write a volume of which sensitivities (coils, H, W, S) are changed."""
    write(path, phased(anatomy, slice(14, 17)), count)
    with h5py.File(path, "r+") as file:
        file[coils.SENSITIVITIES][...] = change(file[coils.SENSITIVITIES][...])
    return path


def found_of(path: Path, folder: Path) -> Companion:
    return companion(inspect_coils(path), folder, (24, 24), Known())


def test_training_sets_whose_sensitivities_are_wrong_are_refused(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    good = stored(tmp_path / "train" / "good.h5", anatomy, lambda maps: 3 * maps)
    assert found_of(good, tmp_path).unexplained < DOUBTFUL
    bad = stored(tmp_path / "train" / "bad.h5", anatomy, np.conj)
    words = (
        r"bad\.h5: its sensitivities explain only \d+\.\d% of the centre of its k-space, where "
        r"99 % is usual \(conjugated they would explain it\); correct them, or delete them"
    )
    for _ in range(2):  # nothing of the first is kept
        with pytest.raises(DataError, match=words):
            found_of(bad, tmp_path)
    told = {path.name: verdict for path, verdict in check(tmp_path)}
    assert told["good.h5"] == (48, 40, 3)
    assert "conjugated they would explain it" in str(told["bad.h5"])
    stored(bad, anatomy, lambda maps: maps)
    assert found_of(bad, tmp_path).unexplained < DOUBTFUL


def test_doubtful_volumes_of_a_training_set_are_told_in_one_line(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    """Sensitivities shifted by a fifth of the rows are not refused."""
    shares = {"a": 0, "b": 9, "c": 10}
    paths = [
        stored(tmp_path / "train" / f"{n}.h5", anatomy, lambda maps, by=by: np.roll(maps, by, 1))
        for n, by in shares.items()
    ]
    found = [found_of(path, tmp_path) for path in paths]
    again = [found_of(path, tmp_path) for path in paths]
    assert [f.unexplained for f in again] == [f.unexplained for f in found]
    volumes = [inspect_coils(path) for path in paths]
    (line,) = doubted(volumes, [f.unexplained for f in found], tmp_path)
    assert "sensitivities of 2 of 3 volumes explain less than 97% of the centre" in line
    assert "(worst train/c.h5, " in line
    assert doubted(volumes[:1], [found[0].unexplained], tmp_path) == []

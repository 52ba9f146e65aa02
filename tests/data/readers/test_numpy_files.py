from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from kdmri.data.readers.base import SourceVolume
from kdmri.data.readers.numpy_files import NumpyFiles
from kdmri.data.readers.who import find_subjects
from kdmri.errors import ConfigurationError, DataError
from tests.conftest import ROOT
from tests.data.readers.coils import centred_fft2, phased, truncate

IMAGES = NumpyFiles(axis=0, kspace=False, centred=True)


def save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, values)


def stacked(volume: SourceVolume) -> np.ndarray:
    slices = list(volume.slices())
    assert all(item[1:3] == (None, None) for item in slices)
    return np.stack([item.image for item in slices])


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("order", ["C", "F"])
def test_slice_axis_is_the_one_given(
    tmp_path: Path, anatomy: np.ndarray, axis: int, order: str
) -> None:
    moved = np.moveaxis(anatomy, -1, axis)
    save(tmp_path / "scan.npy", np.asarray(moved, order=order))  # type: ignore[call-overload]
    (volume,) = NumpyFiles(axis, kspace=False, centred=True).volumes(tmp_path)
    found = stacked(volume)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.moveaxis(anatomy, -1, 0), atol=1e-7)


@pytest.mark.parametrize("dtype", [">f4", "f2", "i2", "u1", "?"])
def test_numbers_of_any_kind_keep_their_values(
    tmp_path: Path, anatomy: np.ndarray, dtype: str
) -> None:
    values = (anatomy[:, :, 18] * 200).astype(dtype)
    save(tmp_path / "slice.npy", values)
    (volume,) = IMAGES.volumes(tmp_path / "slice.npy")
    found = stacked(volume)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, values[None].astype(np.float32))


def test_complex_images_stay_complex(tmp_path: Path, anatomy: np.ndarray) -> None:
    images = phased(anatomy, slice(10, 13))
    save(tmp_path / "scan.npy", images.astype(np.complex128))
    (volume,) = IMAGES.volumes(tmp_path)
    assert stacked(volume).dtype == np.complex64
    np.testing.assert_array_equal(stacked(volume), images)


@pytest.mark.parametrize("centred", [True, "kspace", False])
@pytest.mark.parametrize("odd", [True, False])
def test_kspace_gives_the_complex_image(
    tmp_path: Path, anatomy: np.ndarray, centred: bool | str, odd: bool
) -> None:
    images = phased(anatomy, slice(10, 13))[:, odd:, odd:]
    kspace = centred_fft2(images) if centred is True else np.fft.fft2(images, norm="ortho")
    kspace = np.fft.fftshift(kspace, (1, 2)) if centred == "kspace" else kspace
    save(tmp_path / "scan.npy", kspace)
    (volume,) = NumpyFiles(axis=0, kspace=True, centred=centred).volumes(tmp_path)
    found = stacked(volume)
    assert found.dtype == np.complex64
    np.testing.assert_allclose(found, images, atol=1e-6)


def test_folders_tell_subject_and_split(tmp_path: Path, anatomy: np.ndarray) -> None:
    places = {
        "10": ("10", "10", None),
        "9": ("9", "9", None),
        "p2/rest/run": ("p2_rest_run", "p2", None),
        "p10/rest/run": ("p10_rest_run", "p10", None),
        "train/1": ("train_1", "1", "train"),
        "Training/p3/1": ("Training_p3_1", "p3", "train"),
        "val/p4/1": ("val_p4_1", "p4", "validation"),
        "validation/1": ("validation_1", "1", "validation"),
        "test/1": ("test_1", "1", "test"),
        "testing/1": ("testing_1", "1", "test"),
        "knee_multicoil_val_batch_0/1": ("knee_multicoil_val_batch_0_1", "1", "validation"),
        "p5/train/1": ("p5_train_1", "p5", "train"),
        "contest/1": ("contest_1", "contest", None),
        "latest/1": ("latest_1", "latest", None),
    }
    source = tmp_path / "study"
    for place in places:
        save(source / f"{place}.npy", anatomy[:, :, 0])
    volumes = find_subjects(IMAGES, source, None).volumes
    found = {v.name: (v.name, v.subject, v.split) for v in volumes}
    assert found == {name: (name, *rest) for name, *rest in places.values()}
    names = [volume.name for volume in volumes]
    assert names.index("9") < names.index("10")
    assert names.index("p2_rest_run") < names.index("p10_rest_run")


def test_name_of_the_source_itself_tells_the_split_but_no_subject(
    tmp_path: Path, anatomy: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "test" / "p1_val" / "a.npy", anatomy[:, :, 0])
    save(tmp_path / "test" / "p2" / "b.npy", anatomy[:, :, 0])
    for source in (tmp_path / "test" / "p2", tmp_path / "test" / "p2" / "b.npy"):
        (volume,) = find_subjects(IMAGES, source, None).volumes
        assert (volume.subject, volume.split) == ("b", None), "folders above do not count"
    monkeypatch.chdir(tmp_path / "test")
    inner, outer = find_subjects(IMAGES, Path(), None).volumes
    assert (inner.subject, inner.split) == ("a", "validation"), "the innermost folder counts"
    assert (outer.subject, outer.split) == ("p2", "test")


def pickled(path: Path) -> None:
    np.save(path, np.array([{"a": 1}, None], dtype=object), allow_pickle=True)


def archived(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.ones((3, 3)))


DAMAGES = {
    "pickled": (pickled, "Python objects"),
    "truncated": (truncate, ""),
    "empty": (lambda path: path.write_bytes(b""), ""),
    "text": (lambda path: path.write_bytes(b"1 2 3"), ""),
    "archive": (archived, "npz archive"),
    "four axes": (lambda path: np.save(path, np.ones((2, 2, 2, 2))), r"shape \(2, 2, 2, 2\)"),
    "no values": (lambda path: np.save(path, np.ones((0, 2, 2))), r"shape \(0, 2, 2\)"),
    "strings": (lambda path: np.save(path, np.array([["a"]])), "images must be numbers"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_bad_file_among_good_ones_is_named_when_read(
    tmp_path: Path, anatomy: np.ndarray, damage: str
) -> None:
    for name in ("1", "2"):
        save(tmp_path / f"{name}.npy", anatomy)
    change, message = DAMAGES[damage]
    change(tmp_path / "1.npy")
    broken, good = IMAGES.volumes(tmp_path)
    np.testing.assert_allclose(stacked(good), anatomy, atol=1e-7)
    with pytest.raises(DataError, match=rf"1\.npy: .*{message}"):
        next(broken.slices())


def test_code_in_a_pickle_is_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "sprung",))  # type: ignore[return-value]

    np.save(tmp_path / "1.npy", np.array([Trap()]), allow_pickle=True)
    (volume,) = IMAGES.volumes(tmp_path)
    with pytest.raises(DataError, match=r"1\.npy"):
        next(volume.slices())
    assert not (tmp_path / "sprung").exists()
    np.load(tmp_path / "1.npy", allow_pickle=True)
    assert (tmp_path / "sprung").exists(), "the trap works"


def test_magnitude_is_no_kspace(tmp_path: Path, anatomy: np.ndarray) -> None:
    save(tmp_path / "1.npy", anatomy)
    (volume,) = NumpyFiles(axis=0, kspace=True, centred=True).volumes(tmp_path)
    with pytest.raises(DataError, match=r"1\.npy: has type float64; k-space must be complex"):
        next(volume.slices())


def test_empty_directory_is_named_with_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"{tmp_path}: found no \.npy files"):
        list(IMAGES.volumes(tmp_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axis": 3}, r"format\.axis=3: must be 0, 1 or 2"),
        ({"axis": True}, r"format\.axis=True: must be 0, 1 or 2"),
        ({"kspace": "yes"}, r"format\.kspace=yes: must be true or false"),
        ({"centred": None}, r"format\.centred=None: give true"),
        ({"centred": 1}, r"format\.centred=1: give true, kspace or false"),
    ],
)
def test_options_are_checked(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        NumpyFiles(**({"axis": 0, "kspace": False, "centred": True} | options))  # type: ignore[arg-type]


def test_configuration_gives_this_reader() -> None:
    assert instantiate(OmegaConf.load(ROOT / "configs" / "format" / "numpy.yaml")) == IMAGES

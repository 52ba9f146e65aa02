"""The layout is that of github.com/VLOGroup/mri-variationalnetwork (Hammernik et al. 2018).

`{case}/rawdata{N}.mat` holds `rawdata`, `{case}/espirit{N}.mat` holds `sensitivities` and
`reference`; complex, (readout, phase encoding, coils), origin in the middle (`mridata.py` and
`mriutils.py` there). Version 7.3 files are HDF5 behind 512 bytes of text, with axes reversed and
complex numbers as compounds `real`, `imag` (MathWorks, "MAT-File Versions").
"""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from scipy.io import savemat

from kdmri.data.readers.base import SourceSlice, SourceVolume
from kdmri.data.readers.hammernik import HammernikKnee
from kdmri.errors import ConfigurationError, DataError
from tests.conftest import ROOT
from tests.data.readers.coils import centred_fft2, phased, sensitivities, truncate

COILS = 5


def write_classic(path: Path, variables: dict[str, np.ndarray]) -> None:
    savemat(path, variables, do_compression=True)


def write_73(path: Path, variables: dict[str, np.ndarray]) -> None:
    with h5py.File(path, "w", userblock_size=512) as file:
        for key, values in variables.items():
            turned = values.T
            stored = np.empty(turned.shape, [("real", "f4"), ("imag", "f4")])
            stored["real"], stored["imag"] = turned.real, turned.imag
            file[key] = stored
            file[key].attrs["MATLAB_class"] = np.bytes_("single")
    with path.open("r+b") as file_:
        file_.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 .".ljust(124))
        file_.write(b"\x00\x02IM")


WRITERS = {"version 5": write_classic, "version 7.3": write_73}
Writer = Callable[[Path, dict[str, np.ndarray]], None]


def write_slice(folder: Path, number: int, image: np.ndarray, write: Writer) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    coils = sensitivities(COILS, image.shape)
    kspace = centred_fft2(coils * image)
    write(folder / f"rawdata{number}.mat", {"rawdata": np.moveaxis(kspace, 0, -1)})
    maps = {"sensitivities": np.moveaxis(coils, 0, -1), "reference": image}
    write(folder / f"espirit{number}.mat", maps)


def only_slice(volume: SourceVolume) -> SourceSlice:
    (item,) = volume.slices()
    return item


@pytest.mark.parametrize("version", WRITERS)
def test_image_and_coils_come_back(tmp_path: Path, anatomy: np.ndarray, version: str) -> None:
    image = phased(anatomy, slice(20, 21))[0]
    write_slice(tmp_path / "coronal_pd" / "3", 7, image, WRITERS[version])
    (volume,) = HammernikKnee(keep_coils=True).volumes(tmp_path)
    assert (volume.name, volume.subject, volume.split) == ("3_7", "3", "train")
    assert [path.name for path in volume.files] == ["rawdata7.mat", "espirit7.mat"]
    item = only_slice(volume)
    assert item.image.dtype == np.complex64
    np.testing.assert_allclose(item.image, image, atol=1e-6)
    assert item.kspace_coils is not None
    assert item.sensitivities is not None
    assert item.kspace_coils.dtype == item.sensitivities.dtype == np.complex64
    coils = sensitivities(COILS, image.shape)
    np.testing.assert_allclose(item.sensitivities, coils, atol=1e-6)
    plain = np.fft.fft2(coils * image, norm="ortho")
    np.testing.assert_allclose(item.kspace_coils, plain, atol=1e-5)

    (without,) = HammernikKnee(keep_coils=False).volumes(tmp_path)
    assert only_slice(without)[1:3] == (None, None)


def test_both_versions_give_the_same_arrays(tmp_path: Path, anatomy: np.ndarray) -> None:
    image = phased(anatomy, slice(20, 21))[0]
    found = []
    for version, write in WRITERS.items():
        write_slice(tmp_path / version / "1", 1, image, write)
        found += [only_slice(v) for v in HammernikKnee(True).volumes(tmp_path / version)]
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_cases_and_slices_in_natural_order_with_published_split(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    image = phased(anatomy, slice(20, 21))[0, ::4, ::4]
    for case, number in ((11, 1), (2, 10), (2, 9), (10, 1), (20, 3), (21, 1)):
        write_slice(tmp_path / str(case), number, image, write_classic)
    (tmp_path / "masks").mkdir()
    savemat(tmp_path / "masks" / "mask_at4.mat", {"mask": np.ones((12, 10))})
    volumes = list(HammernikKnee(keep_coils=False).volumes(tmp_path))
    assert [volume.name for volume in volumes] == ["2_9", "2_10", "10_1", "11_1", "20_3", "21_1"]
    assert [volume.subject for volume in volumes] == ["2", "2", "10", "11", "20", "21"]
    known = ["train"] * 3 + ["validation"] * 2
    assert [volume.split for volume in volumes] == [*known, None]


def test_names_of_several_sequences_differ(tmp_path: Path, anatomy: np.ndarray) -> None:
    image = phased(anatomy, slice(20, 21))[0, ::4, ::4]
    for sequence in ("sagittal_pd", "coronal_pd"):
        write_slice(tmp_path / sequence / "1", 1, image, write_classic)
    names = [volume.name for volume in HammernikKnee(False).volumes(tmp_path)]
    assert names == ["coronal_pd_1_1", "sagittal_pd_1_1"]


def test_one_file_of_a_slice_is_enough_as_the_source(tmp_path: Path, anatomy: np.ndarray) -> None:
    image = phased(anatomy, slice(20, 21))[0]
    write_slice(tmp_path / "12", 4, image, write_classic)
    write_slice(tmp_path / "12", 5, image, write_classic)
    (volume,) = HammernikKnee(False).volumes(tmp_path / "12" / "rawdata5.mat")
    assert (volume.name, volume.split) == ("12_5", "validation")
    np.testing.assert_allclose(only_slice(volume).image, image, atol=1e-6)


@pytest.mark.parametrize("gone", ["espirit2.mat", "rawdata2.mat"])
def test_missing_partner_is_named_when_its_slice_is_read(
    tmp_path: Path, anatomy: np.ndarray, gone: str
) -> None:
    image = phased(anatomy, slice(20, 21))[0]
    for case in ("1", "2"):
        for number in (1, 2):
            write_slice(tmp_path / case, number, image, write_classic)
        (tmp_path / case / gone).unlink()
    volumes = list(HammernikKnee(False).volumes(tmp_path))
    assert [volume.name for volume in volumes] == ["1_1", "1_2", "2_1", "2_2"]
    np.testing.assert_allclose(only_slice(volumes[2]).image, image, atol=1e-6)
    with pytest.raises(DataError, match=rf"2\.mat: {gone} is missing"):
        only_slice(volumes[3])


def in_mat(key: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def rewrite(path: Path) -> None:
        values = np.ones((12, 10, COILS), np.complex64)
        savemat(path, {key: change(values)})

    return rewrite


def with_object(path: Path) -> None:
    savemat(path, {"rawdata": np.array([{"a": 1}, {"a": 2}], dtype=object)})


DAMAGES = {
    "truncated": (truncate, ""),
    "empty": (lambda path: path.write_bytes(b""), ""),
    "text": (lambda path: path.write_bytes(b"no such thing" * 100), ""),
    "other variable": (in_mat("other", lambda v: v), "variable rawdata is missing"),
    "real": (in_mat("rawdata", np.abs), "must be complex"),
    "one axis less": (in_mat("rawdata", lambda v: v[:, :, 0]), "must be complex"),
    "objects": (with_object, "rawdata is no array of numbers"),
}


@pytest.mark.parametrize("version", WRITERS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file_is_named_when_its_slice_is_read(
    tmp_path: Path, anatomy: np.ndarray, damage: str, version: str
) -> None:
    image = phased(anatomy, slice(20, 21))[0]
    for number in (1, 2):
        write_slice(tmp_path / "1", number, image, WRITERS[version])
    change, message = DAMAGES[damage]
    change(tmp_path / "1" / "rawdata1.mat")
    broken, good = HammernikKnee(False).volumes(tmp_path)
    np.testing.assert_allclose(only_slice(good).image, image, atol=1e-6)
    with pytest.raises(DataError, match=rf"rawdata1\.mat: .*{message}"):
        only_slice(broken)


def test_other_variables_are_left_alone(tmp_path: Path, anatomy: np.ndarray) -> None:
    image = phased(anatomy, slice(20, 21))[0]
    write_slice(tmp_path / "1", 1, image, write_classic)
    with (tmp_path / "1" / "rawdata1.mat").open("ab") as file:
        file.write(b"\x0f\0\0\0\x20\0\0\0" + b"not compressed at all, whatever!")
    (volume,) = HammernikKnee(False).volumes(tmp_path)
    np.testing.assert_allclose(only_slice(volume).image, image, atol=1e-6)


def test_damaged_version_73_variables_are_refused(tmp_path: Path, anatomy: np.ndarray) -> None:
    image = phased(anatomy, slice(20, 21))[0]
    for number in (1, 2):
        write_slice(tmp_path / "1", number, image, write_73)
    with h5py.File(tmp_path / "1" / "rawdata1.mat", "a") as file:
        file["other"] = file["rawdata"][...]
        del file["rawdata"]
    with h5py.File(tmp_path / "1" / "rawdata2.mat", "a") as file:
        kept = file["rawdata"][:2]
        del file["rawdata"]
        file["rawdata"] = kept
    missing, short = HammernikKnee(False).volumes(tmp_path)
    with pytest.raises(DataError, match=r"variable rawdata is missing \(found: other\)"):
        only_slice(missing)
    with pytest.raises(DataError, match=r"espirit2\.mat: sensitivities .*rawdata2\.mat is \(2,"):
        only_slice(short)


def test_empty_directory_is_named_with_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"{tmp_path}: found no case folders .*rawdata1\.mat"):
        list(HammernikKnee(False).volumes(tmp_path))
    savemat(tmp_path / "mask.mat", {"mask": np.ones((2, 2))})
    with pytest.raises(DataError, match="found no case folders"):
        list(HammernikKnee(False).volumes(tmp_path))


def test_option_is_checked() -> None:
    with pytest.raises(ConfigurationError, match=r"format\.keep_coils=maybe: must be true or fal"):
        HammernikKnee(keep_coils="maybe")  # type: ignore[arg-type]


def test_configuration_gives_this_reader() -> None:
    settings = OmegaConf.load(ROOT / "configs" / "format" / "knee.yaml")
    assert instantiate(settings) == HammernikKnee(keep_coils=False)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (np.arange(40) % 3 == 2, "its k-space is undersampled: no target can be made of it"),
        (np.arange(40) != 31, "its k-space is undersampled: no target can be made of it"),
        (np.arange(40) < 20, "the zero frequency was never measured"),
        (np.arange(40) >= 7, None),
    ],
)
def test_kspace_that_was_not_measured_makes_no_target(
    tmp_path: Path, anatomy: np.ndarray, columns: np.ndarray, message: str | None
) -> None:
    image = phased(anatomy, slice(20, 21))[0]
    coils = sensitivities(COILS, image.shape)
    kspace = centred_fft2(coils * image) * columns
    (tmp_path / "1").mkdir()
    write_classic(tmp_path / "1" / "rawdata1.mat", {"rawdata": np.moveaxis(kspace, 0, -1)})
    maps = {"sensitivities": np.moveaxis(coils, 0, -1)}
    write_classic(tmp_path / "1" / "espirit1.mat", maps)
    (volume,) = HammernikKnee(keep_coils=False).volumes(tmp_path)
    if message is None:
        assert only_slice(volume).image.any()
        return
    with pytest.raises(DataError, match=rf"rawdata1\.mat: {message}"):
        only_slice(volume)
    (measured,) = HammernikKnee(keep_coils=False, undersampled=True).volumes(tmp_path)
    if "under" not in message:
        with pytest.raises(DataError, match=message):
            only_slice(measured)
        return
    item = only_slice(measured)
    assert item.note is None
    assert item.mask is not None
    assert item.kspace_coils is not None
    np.testing.assert_array_equal(np.fft.fftshift(item.mask[0]), columns)
    assert not item.kspace_coils[:, item.mask == 0].any()
    whole = np.fft.fft2(coils * image, norm="ortho") * item.mask
    np.testing.assert_allclose(item.kspace_coils, whole, atol=1e-5)
    np.testing.assert_allclose(item.sensitivities, coils, atol=1e-6)

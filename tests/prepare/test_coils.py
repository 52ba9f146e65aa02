"""Volumes of several coils: as they were acquired, or compressed to virtual coils."""

import json
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from kdmri.data.coils import inspect_coils, read_kspace
from kdmri.data.companions import companion
from kdmri.data.readers.base import Reader, SourceSlice, SourceVolume
from kdmri.data.readers.fastmri import FastMRI
from kdmri.data.readers.hammernik import HammernikKnee
from kdmri.data.readers.ismrmrd import Ismrmrd
from kdmri.data.readers.numpy_files import NumpyFiles
from kdmri.data.readers.slices import checked, volumes_of
from kdmri.data.simulation import Simulation
from kdmri.errors import DataError
from kdmri.prepare.manifest import Entry
from kdmri.prepare.writing import Form, write_prepared
from kdmri.reconstruct.coil_survey import survey_coils
from tests.data.coil_volumes import Combining
from tests.data.readers import test_fastmri
from tests.data.readers.coils import centred_fft2, phased, sensitivities
from tests.data.readers.test_hammernik import COILS, write_classic, write_slice
from tests.prepare.conftest import Run

NONE = Simulation(phase=False, snr=None, seed=0)


def write(reader: Reader, source: Path, out: Path, coils: int | None = None) -> tuple[Entry, Path]:
    (volume,) = reader.volumes(source)
    entry = write_prepared(volume, "train", source, out, Form(None, NONE, coils))
    return entry, out / entry.file


def coils_of(anatomy: np.ndarray, count: int = 6) -> np.ndarray:
    images = phased(anatomy, slice(10, 13))
    return (images[:, None] * sensitivities(count, (48, 40))).astype(np.complex64)


@pytest.mark.parametrize("options", [{}, {"coils": 6}, {"coils": 9}])
def test_coils_come_back_as_they_were_acquired(
    tmp_path: Path, anatomy: np.ndarray, options: dict[str, Any]
) -> None:
    """No more virtual coils than coils: nothing is compressed."""
    images = coils_of(anatomy)
    np.save(tmp_path / "a.npy", centred_fft2(images))
    reader = NumpyFiles(0, True, True, keep_coils=True)
    entry, path = write(reader, tmp_path, tmp_path / "out", **options)
    assert entry.coils is None
    volume = inspect_coils(path)
    assert (volume.shape, volume.coils, volume.shown.size) == ((48, 40, 3), 6, (48, 40))
    with h5py.File(path) as file:
        for n, expected in enumerate(images):
            found = np.fft.ifft2(read_kspace(file, volume, n), norm="ortho") * entry.scale
            np.testing.assert_allclose(found, expected, atol=1e-5)
            combined = np.linalg.norm(expected, axis=0) / entry.scale
            np.testing.assert_allclose(file["volfs"][..., n], combined, atol=1e-5)


def test_virtual_coils_hold_the_most_energy_that_so_many_can(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    images = coils_of(anatomy)
    np.save(tmp_path / "a.npy", centred_fft2(images))
    reader = NumpyFiles(0, True, True, keep_coils=True)
    entry, path = write(reader, tmp_path, tmp_path / "out", coils=3)
    values = np.linalg.svd(np.moveaxis(images, 1, 0).reshape(6, -1), compute_uv=False)
    energy = float((values[:3] ** 2).sum() / (values**2).sum())
    assert entry.coils is not None
    assert (entry.coils["acquired"], entry.coils["virtual"]) == (6, 3)
    assert entry.coils["energy"] == pytest.approx(energy, abs=1e-5)
    assert 0.5 < energy < 0.9999
    volume = inspect_coils(path)
    assert volume.coils == 3
    with h5py.File(path) as file:
        assert file.attrs["compressed_from"] == 6
        kspace = np.stack([read_kspace(file, volume, n) for n in range(3)], 1) * entry.scale
        target = file["volfs"][()]
    kept = np.linalg.svd(kspace.reshape(3, -1), compute_uv=False)
    np.testing.assert_allclose(kept, values[:3], rtol=1e-4)
    powers = (np.abs(kspace) ** 2).sum(axis=(1, 2, 3))
    assert (np.diff(powers) < 0).all(), "the strongest first"
    whole, _ = write(reader, tmp_path, tmp_path / "whole")
    with h5py.File(tmp_path / "whole" / whole.file) as file:
        np.testing.assert_array_equal(target, file["volfs"][()], "targets are of all coils")


def test_coils_that_are_copies_are_compressed_without_loss(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    """Two coils and four mixtures of them, conjugated phases included: rank two."""
    two = coils_of(anatomy, 2)
    mixing = np.array([[1, 0], [0, 1], [1j, 2], [1, -1j], [0.5, 0.5j], [-1j, 1j]], np.complex64)
    np.save(tmp_path / "a.npy", centred_fft2(np.einsum("vc,schw->svhw", mixing, two)))
    entry, path = write(
        NumpyFiles(0, True, True, keep_coils=True), tmp_path, tmp_path / "out", coils=2
    )
    assert entry.coils is not None
    assert entry.coils["energy"] == pytest.approx(1, abs=1e-6)
    volume = inspect_coils(path)
    with h5py.File(path) as file:
        for n in range(3):
            images = np.fft.ifft2(read_kspace(file, volume, n), norm="ortho")
            seen = np.linalg.norm(images, axis=0)
            np.testing.assert_allclose(seen, file["volfs"][..., n], atol=1e-5)


def test_sensitivities_are_compressed_with_their_coils(tmp_path: Path, anatomy: np.ndarray) -> None:
    image = phased(anatomy, slice(20, 21))[0]
    (tmp_path / "in" / "1").mkdir(parents=True)
    write_slice(tmp_path / "in" / "1", 1, image, write_classic)
    entry, path = write(HammernikKnee(keep_coils=True), tmp_path / "in", tmp_path / "out", coils=4)
    assert entry.coils is not None
    assert entry.coils["acquired"] == COILS
    volume = inspect_coils(path)
    assert volume.has_sensitivities
    with h5py.File(path) as file:
        maps = file["sensitivities"][..., 0]
        images = np.fft.ifft2(read_kspace(file, volume, 0), norm="ortho")
        target = file["volfc"][..., 0]
    np.testing.assert_allclose(np.linalg.norm(maps, axis=0), 1, atol=1e-4)
    error = np.abs((maps.conj() * images).sum(axis=0) - target).max()
    assert error < 0.1, "of images whose largest magnitude is 1: little energy is lost"


@pytest.mark.parametrize("keep_coils", [False, True])
def test_images_are_not_combined_with_sensitivities_of_others(
    tmp_path: Path, anatomy: np.ndarray, keep_coils: bool
) -> None:
    """A shift that leaves much unexplained is a note, conjugated ones are refused."""
    image = phased(anatomy, slice(20, 21))[0]
    folder = tmp_path / "in" / "1"
    folder.mkdir(parents=True)
    write_slice(folder, 1, image, write_classic)
    maps = np.moveaxis(sensitivities(COILS, image.shape), 0, -1)
    reader = HammernikKnee(keep_coils=keep_coils)
    write_classic(folder / "espirit1.mat", {"sensitivities": np.roll(maps, 12, 0)})
    entry, _ = write(reader, tmp_path / "in", tmp_path / "out")
    assert any("its sensitivities explain less than 97% of the centre" in n for n in entry.notes)
    write_classic(folder / "espirit1.mat", {"sensitivities": maps.conj()})
    with pytest.raises(DataError, match=r"rawdata1\.mat: .* \(conjugated they would explain it\)"):
        write(reader, tmp_path / "in", tmp_path / "out")
    write_classic(folder / "espirit1.mat", {"sensitivities": maps})
    assert write(reader, tmp_path / "in", tmp_path / "out")[0].notes == []


def test_file_that_would_be_read_in_place_is_copied_to_be_compressed(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    images = test_fastmri.oversampled(anatomy)
    test_fastmri.write(tmp_path / "in" / "file1.h5", images, coils=4)
    reader = FastMRI(keep_coils=True)
    _, path = write(reader, tmp_path / "in", tmp_path / "out")
    assert inspect_coils(path).source == (tmp_path / "in" / "file1.h5").resolve()
    entry, path = write(reader, tmp_path / "in", tmp_path / "copied", coils=2)
    volume = inspect_coils(path)
    assert (volume.source, volume.coils, volume.shape[:2]) == (None, 2, (96, 40))
    with h5py.File(path) as file:
        found = np.fft.ifft2(read_kspace(file, volume, 0), norm="ortho")
        seen = np.linalg.norm(found, axis=0)[24:72, 4:36]
        assert entry.coils is not None
        error = np.abs(seen - file["volfs"][..., 0]).max()
        assert error < 3 * np.sqrt(1 - entry.coils["energy"])


@pytest.mark.parametrize("in_place", [False, True])
def test_dead_coil_is_kept_and_named(tmp_path: Path, anatomy: np.ndarray, in_place: bool) -> None:
    images = coils_of(anatomy, 4)
    images[:, 2] = 0
    reader: Reader = NumpyFiles(0, True, True, keep_coils=True)
    (tmp_path / "in").mkdir()
    if in_place:
        reader = FastMRI(keep_coils=True)
        with h5py.File(tmp_path / "in" / "a.h5", "w") as file:
            file["kspace"] = centred_fft2(images)
            file["reconstruction_rss"] = np.linalg.norm(images, axis=1)
    else:
        np.save(tmp_path / "in" / "a.npy", centred_fft2(images))
    entry, path = write(reader, tmp_path / "in", tmp_path / "out")
    assert inspect_coils(path).coils == 4
    assert any("coil(s) 2 of 4 (counted from 0) are zero everywhere" in n for n in entry.notes)


def test_nan_in_one_line_of_one_coil_is_refused(tmp_path: Path, anatomy: np.ndarray) -> None:
    kspace = centred_fft2(coils_of(anatomy))
    kspace[1, 3, 20] = np.nan
    np.save(tmp_path / "a.npy", kspace)
    for options in ({}, {"keep_coils": True}):
        with pytest.raises(DataError, match=r"a\.npy: slice 1 holds NaN"):
            write(NumpyFiles(0, True, True, **options), tmp_path, tmp_path / "out")


@pytest.mark.parametrize("keep_coils", [False, True])
def test_no_way_out_is_named_that_helps_images_alone(
    tmp_path: Path, anatomy: np.ndarray, keep_coils: bool
) -> None:
    """NaN of k-space is no background, whatever format.nan says."""
    kspace = centred_fft2(coils_of(anatomy))
    kspace[1, 3, 20] = np.nan
    np.save(tmp_path / "a.npy", kspace)
    (volume,) = volumes_of(NumpyFiles(0, True, True, keep_coils=keep_coils), tmp_path)
    with pytest.raises(DataError, match=r"a\.npy: slice 1 holds NaN or infinite values$"):
        list(checked(volume))


def test_what_has_no_coils_is_not_compressed(tmp_path: Path, anatomy: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", centred_fft2(coils_of(anatomy)))
    with pytest.raises(DataError, match=r"a\.npy: coils=2 compresses .* format\.keep_coils=true"):
        write(NumpyFiles(0, True, True), tmp_path, tmp_path / "out", coils=2)


def test_command_tells_the_energy_that_is_kept(
    run: Run, tmp_path: Path, anatomy: np.ndarray
) -> None:
    (tmp_path / "in").mkdir()
    for name in ("ann", "bob", "cid"):
        np.save(tmp_path / "in" / f"{name}.npy", centred_fft2(coils_of(anatomy)))
    words = ("format=numpy", "format.kspace=true", "format.keep_coils=true", "processes=1")
    here = (f"source={tmp_path / 'in'}", f"paths.datasets={tmp_path}", "name=many")
    ratios = "ratios={train: 0.4, validation: 0.3, test: 0.3}"
    result = run("kdmri/prepare/__main__.py", *words, *here, ratios, "coils=3")
    assert result.code == 0, result.err
    assert (
        "coils=3: 3 volumes of 6 coils are compressed to 3 virtual ones, which keep" in result.out
    )
    manifest = json.loads((tmp_path / "many" / "manifest.json").read_text())
    assert manifest["settings"]["coils"] == 3
    for entry in manifest["volumes"].values():
        assert entry["coils"]["acquired"] == 6
        assert f"{entry['coils']['energy']:.2%}" in result.out
    again = run("kdmri/prepare/__main__.py", *words, *here, ratios)
    assert again.code == 2
    assert "coils was 3, now None" in again.err


@pytest.mark.parametrize("coils", [None, 2])
def test_what_was_not_measured_is_told_of_prepared_volumes(
    tmp_path: Path, anatomy: np.ndarray, coils: int | None
) -> None:
    """Partial Fourier of an ISMRMRD file: neither readers nor compression fill rows up."""
    ismrmrd_files = pytest.importorskip("tests.data.readers.ismrmrd_files")
    images = ismrmrd_files.oversampled(anatomy, 1)
    kspace = centred_fft2(images * sensitivities(4, images.shape[1:]))
    (tmp_path / "in").mkdir()
    with ismrmrd_files.Scan(tmp_path / "in" / "a.h5", ismrmrd_files.header(4)) as scan:
        for row in range(10, 48):
            scan.line(kspace[:, row], row=row)
    _, path = write(Ismrmrd(keep_coils=True), tmp_path / "in", tmp_path / "out", coils)
    found = companion(inspect_coils(path), tmp_path / "out", (8, 8), Combining())
    rows = np.fft.fftshift(found.acquired, 0)
    assert not rows[:10].any()
    assert rows[10:].all()


def of_slices(slices: list[SourceSlice]) -> SourceVolume:
    return SourceVolume("a", "anna", (Path("a.raw"),), lambda: iter(slices))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kspace_coils": (3, 48, 40)}, "slice 1 is (3, 48, 40), of the first (4, 48, 40)"),
        ({"kspace_coils": (4, 48, 44)}, "slice 1 is (4, 48, 44), of the first (4, 48, 40)"),
        ({"kspace_coils": None}, "slice 1 is None, of the first (4, 48, 40)"),
        ({"kspace_coils": (0, 48, 40)}, "slice 1 is (0, 48, 40), of the first (4, 48, 40)"),
        ({"sensitivities": None}, "some of its slices have sensitivities, slice 1 or 0 has not"),
        ({"sensitivities": (4, 40, 48)}, "sensitivities of slice 1 has shape (4, 40, 48)"),
        ({"calibration": (2, 48, 40)}, "calibration of slice 1 has shape (2, 48, 40)"),
        ({"mask": (48,)}, "mask of slice 1 has shape (48,), its k-space (4, 48, 40)"),
    ],
)
def test_slices_that_differ_in_their_coils_are_refused_whatever_the_reader(
    tmp_path: Path, change: dict[str, tuple[int, ...] | None], message: str
) -> None:
    ones = np.ones((4, 48, 40), np.complex64)
    first = SourceSlice(np.ones((48, 40), np.float32), ones, ones, note="")
    other = {k: None if s is None else np.ones(s, np.complex64) for k, s in change.items()}
    volume = of_slices([first, first._replace(**other)])
    form = Form(None, NONE)
    with pytest.raises(DataError, match=re.escape(message)) as told:
        write_prepared(volume, "train", tmp_path, tmp_path / "out", form)
    assert str(told.value).startswith("a.raw: ")
    with pytest.raises(DataError, match=re.escape(message)):
        survey_coils(volume)
    assert not list(tmp_path.rglob("*.h5")), "nothing half-written"

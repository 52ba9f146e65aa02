"""Slabs undersampled along both phase encodings: the readout is transformed, planes are slices."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from kdmri.data.readers.base import SourceVolume
from kdmri.data.readers.ismrmrd import Ismrmrd
from kdmri.data.readers.siemens import Siemens
from tests.data.readers.coils import sensitivities
from tests.data.readers.ismrmrd_files import ROWS, SAMPLES, Scan, header, oversampled
from tests.data.readers.ismrmrd_scans import CALIBRATION
from tests.data.readers.siemens_files import Line, Measurement
from tests.data.readers.siemens_files import write as write_siemens
from tests.data.readers.test_siemens import PROTOCOL
from tests.reconstruct.coils import TRAINED, by_hand, scale_of
from tests.reconstruct.expected import Run
from tests.reconstruct.test_several_coils import maps_of

PARTITIONS = 12
PLANE = (ROWS, PARTITIONS)


def coil_images(anatomy: np.ndarray, coils: int = 3) -> np.ndarray:
    """Return complex64 (coils, partitions, rows, 80)."""
    images = oversampled(anatomy, PARTITIONS)
    maps = sensitivities(max(coils, 2), images.shape[1:])[:coils]
    return (images * maps[:, None]).astype(np.complex64)


def lines_of() -> np.ndarray:
    """Which lines are measured, bool (rows, partitions), zero frequency in the middle."""
    lines = np.random.default_rng(3).random(PLANE) < 0.3
    lines[ROWS // 2 - 7 : ROWS // 2 + 7] = True
    lines[:, 1] = False
    return lines


def kspace_of(images: np.ndarray) -> np.ndarray:
    """Transform along all three axes, zero frequency in the middle."""
    axes = (-3, -2, -1)
    shifted = np.fft.fftn(np.fft.ifftshift(images, axes), axes=axes, norm="ortho")
    return np.fft.fftshift(shifted, axes).astype(np.complex64)


def write(
    path: Path, images: np.ndarray, lines: np.ndarray, alone: np.ndarray, slabs: int = 1
) -> Path:
    """Write an ISMRMRD file; lines that are `alone` calibrate and are no part of the image."""
    shown, counts = (40, 48, PARTITIONS), {"slice": slabs}
    xml = header(len(images), (SAMPLES, ROWS, PARTITIONS), shown, centres=(24, 6), **counts)
    kspace = kspace_of(images)
    with Scan(path, xml) as scan:
        scan.place, scan.directions = [10.0, 20.0, 30.0], np.eye(3)[[1, 0, 2]]
        for row, slab in np.argwhere(lines):
            flags = CALIBRATION if alone[row, slab] else ()
            for number in range(slabs):
                places = {"row": row, "kspace_encode_step_2": slab, "slice": number}
                scan.line(kspace[:, slab, row], flags, **places)
    return path


def planes_of(images: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """Return k-space across the readout, (40, coils, rows, partitions), zero frequency first."""
    planes = np.moveaxis(images[..., 20:60], (3, 0, 2, 1), (0, 1, 2, 3))
    kspace = np.fft.fft2(planes, norm="ortho").astype(np.complex64)
    return np.where(np.fft.ifftshift(lines), kspace, 0)


def test_each_readout_position_is_reconstructed(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    """Every seventh of the calibrating lines is no part of the image."""
    images, lines = coil_images(anatomy), lines_of()
    alone = np.zeros(PLANE, bool)
    alone[18:30:7, ::2] = lines[18:30:7, ::2]
    write(tmp_path / "scan.h5", images, lines, alone)
    path = checkpoint(**TRAINED)
    result = reconstruct(checkpoint=path, input="scan.h5", output="out.h5")
    assert result.code == 0, result.err
    text = " ".join(result.out.split())
    assert "undersampled along both phase encodings: slices lie across the readout" in text
    assert f"mask detected: {int((lines & ~alone).sum())} of 576 samples" in text

    values, reference = planes_of(images, lines & ~alone), planes_of(images, lines)
    centre = (14, 9)  # partition 1, which lacks, is at -5 of -6 to 5
    scale, maps = scale_of(reference, centre), maps_of(reference, centre)
    mask = np.fft.ifftshift(lines & ~alone)
    expected = by_hand(path, values, mask, maps, scale) * scale
    with h5py.File(tmp_path / "out.h5") as file:
        found = file["reconstruction"][...] * file.attrs["scale"]
    assert found.shape == (40, *PLANE)
    np.testing.assert_allclose(found, expected, atol=2e-4 * scale)
    assert reconstruct(checkpoint=path, input="scan.h5", output="out.nii.gz").code == 0


def test_several_slabs_are_refused_with_the_way_out(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    write(tmp_path / "scan.h5", coil_images(anatomy), lines_of(), np.zeros(PLANE, bool), slabs=2)
    result = reconstruct(checkpoint=checkpoint(**TRAINED), input="scan.h5", output="out.h5")
    assert result.code == 2
    text = " ".join(result.err.split())
    assert "scan.h5: its partitions are not all sampled along the same rows" in text
    assert "keep each of several in a file of its own" in text
    assert not (tmp_path / "out.h5").exists()


def test_planes_lie_where_slices_would(tmp_path: Path, anatomy: np.ndarray) -> None:
    images, none = coil_images(anatomy, 1), np.zeros(PLANE, bool)
    read = Ismrmrd(undersampled=True).volumes
    (whole,) = read(write(tmp_path / "whole.h5", images, ~none, none))
    (part,) = read(write(tmp_path / "part.h5", images, lines_of(), none))
    assert (whole.readout, part.readout, part.shown) == (1, None, PLANE)
    assert whole.geometry is not None
    assert part.geometry is not None
    place = np.array([5, 7, 9, 1])  # row, column, partition
    np.testing.assert_allclose(
        part.geometry.affine @ place[[0, 2, 1, 3]], whole.geometry.affine @ place
    )


def one_coil(anatomy: np.ndarray, folder: Path) -> SourceVolume:
    none = np.zeros(PLANE, bool)
    path = write(folder / "scan.h5", coil_images(anatomy, 1), lines_of(), none)
    (volume,) = Ismrmrd(undersampled=True).volumes(path)
    return volume


def siemens(anatomy: np.ndarray, folder: Path) -> SourceVolume:
    pytest.importorskip("mapvbvd")
    kspace, made = kspace_of(coil_images(anatomy)), []
    for row, slab in np.argwhere(lines_of()):
        counters, middle = {"Lin": int(row), "Par": int(slab)}, (SAMPLES // 2, 24, 6)
        made.append(Line(kspace[:, slab, row], 0, middle, counters=counters))
    protocol = {**PROTOCOL, "sKSpace.lPartitions": PARTITIONS}
    path = write_siemens(folder / "meas.dat", [Measurement(protocol, made)])
    (volume,) = Siemens(undersampled=True).volumes(path)
    return volume


@pytest.mark.parametrize(("read", "coils"), [(one_coil, 1), (siemens, 3)])
def test_planes_of_one_coil_and_of_siemens(
    tmp_path: Path,
    anatomy: np.ndarray,
    read: Callable[[np.ndarray, Path], SourceVolume],
    coils: int,
) -> None:
    volume, lines = read(anatomy, tmp_path), lines_of()
    items = list(volume.slices())
    expected = planes_of(coil_images(anatomy, coils), lines)
    assert len(items) == len(expected)
    for item, plane in zip(items, expected, strict=True):
        np.testing.assert_array_equal(item.mask, np.fft.ifftshift(lines))
        found = item.kspace_coils
        if coils == 1:
            found = np.fft.fft2(item.image, norm="ortho")[None]
        np.testing.assert_allclose(found, plane, atol=1e-4)

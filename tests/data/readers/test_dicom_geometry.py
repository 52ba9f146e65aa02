"""Where the samples of DICOM volumes lie, against the header and against dcm2niix."""

import shutil
import subprocess
from pathlib import Path

import nibabel
import numpy as np
import pytest
from pydicom.config import disable_value_validation

from kdmri.data.geometry import Geometry
from kdmri.data.readers.base import SourceVolume
from tests.data.readers.dicom_files import (
    COLUMN,
    ROW,
    STEP,
    enhanced,
    image,
    position,
    read,
    save,
    save_series,
    volumes,
)

Stored = np.ndarray
FIRST = np.array([9.0, -20.0, 5.0])
LPS = np.diag([-1.0, -1.0, 1.0])


def turned(*angles: float) -> np.ndarray:
    """Turn about z, then x: the first two columns are the directions of rows and columns."""
    (c, d), (s, t) = np.cos(angles), np.sin(angles)
    about_z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return about_z @ np.array([[1, 0, 0], [0, d, -t], [0, t, d]])


PLANES = {
    "axial": np.eye(3),
    "sagittal": np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]]),
    "coronal": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "oblique": turned(0.3, -0.45),
}


def save_plane(
    folder: Path, stored: Stored, axes: np.ndarray, step: float, **values: object
) -> None:
    """Write slices whose rows and columns run along the first two axes (columns of a matrix)."""
    row, column, normal = axes.T
    for n in range(stored.shape[2]):
        made = image(stored[:, :, n], InstanceNumber=n + 1, **values)
        made.ImageOrientationPatient = [round(float(v), 7) for v in (*row, *column)]
        made.ImagePositionPatient = [round(float(v), 5) for v in FIRST + n * step * normal]
        save(made, folder / f"{n:03d}.dcm")


def at_world(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the places (N, 3) in mm of all samples of a grid, in the order of `ravel`."""
    indices = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 3)
    return indices @ affine[:3, :3].T + affine[:3, 3]


def check_against(path: Path, volume: SourceVolume) -> None:
    """Compare the values of a NIfTI file at the places of our samples."""
    assert volume.geometry is not None
    assert volume.geometry.oriented
    other, values = nibabel.load(path), read(volume)
    places = at_world(volume.geometry.affine, values.shape)
    inverse = np.linalg.inv(other.affine)
    found = places @ inverse[:3, :3].T + inverse[:3, 3]
    indices = found.round().astype(int)
    assert np.abs(found - indices).max() < 1e-3, "samples lie on the other's grid"
    assert (indices.min(axis=0) == 0).all()
    assert (indices.max(axis=0) + 1 == other.shape[:3]).all()
    theirs = other.get_fdata()[tuple(indices.T)]
    np.testing.assert_allclose(theirs, values.ravel(), rtol=1e-6)


needs_dcm2niix = pytest.mark.skipif(shutil.which("dcm2niix") is None, reason="needs dcm2niix")


def converted(source: Path, folder: Path) -> list[Path]:
    folder.mkdir()
    command = ["dcm2niix", "-z", "n", "-b", "n", "-f", "%s_%e", "-o", folder, source]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    found = sorted(folder.glob("*.nii"))
    assert found, done.stdout + done.stderr
    return found


@needs_dcm2niix
@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("step", [STEP, -STEP])
def test_samples_lie_where_dcm2niix_puts_them(
    tmp_path: Path, stored: Stored, plane: str, step: float
) -> None:
    save_plane(tmp_path / "in", stored[:, :, :7], PLANES[plane], step, SpacingBetweenSlices=9)
    (path,) = converted(tmp_path / "in", tmp_path / "out")
    (volume,) = volumes(tmp_path / "in")
    check_against(path, volume)
    assert volume.spacing == pytest.approx((1.5, 1.25, STEP), abs=1e-4)


@needs_dcm2niix
@pytest.mark.parametrize("description", [{}, {"SpacingBetweenSlices": 3.5}])
def test_single_slice_lies_where_dcm2niix_puts_it(
    tmp_path: Path, stored: Stored, description: dict[str, float]
) -> None:
    save_plane(tmp_path / "in", stored[:, :, 9:10], PLANES["oblique"], STEP, **description)
    (path,) = converted(tmp_path / "in", tmp_path / "out")
    (volume,) = volumes(tmp_path / "in")
    check_against(path, volume)
    distances = nibabel.load(path).header.get_zooms()
    assert volume.spacing == pytest.approx((distances[1], distances[0], distances[2]))


@needs_dcm2niix
def test_echoes_lie_where_dcm2niix_puts_them(tmp_path: Path, stored: Stored) -> None:
    for echo in range(2):
        values = {"EchoTime": 10 + 70 * echo, "EchoNumbers": echo + 1, "Manufacturer": "SIEMENS"}
        cut = stored[:, :, 8 * echo : 8 * echo + 8]
        save_plane(tmp_path / "in" / f"{echo}", cut, PLANES["oblique"], STEP, **values)
    paths = converted(tmp_path / "in", tmp_path / "out")
    found = volumes(tmp_path / "in")
    assert len(paths) == len(found) == 2
    for path, volume in zip(paths, found, strict=True):
        check_against(path, volume)


@needs_dcm2niix
def test_frames_lie_where_dcm2niix_puts_them(tmp_path: Path, stored: Stored) -> None:
    order = [4, 0, 2, 1, 3]
    made = enhanced(stored[:, :, 8:13], [(0, place) for place in order])
    row, column, normal = PLANES["oblique"].T
    plane = made.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    plane.ImageOrientationPatient = [round(float(v), 7) for v in (*row, *column)]
    for place, groups in zip(order, made.PerFrameFunctionalGroupsSequence, strict=True):
        where = [round(float(v), 5) for v in FIRST + place * STEP * normal]
        groups.PlanePositionSequence[0].ImagePositionPatient = where
        groups.FrameContentSequence[0].DimensionIndexValues = [1, place + 1]
        groups.FrameContentSequence[0].InStackPositionNumber = place + 1  # dcm2niix goes by it
        groups.PixelValueTransformationSequence[0].RescaleSlope = 1
        groups.PixelValueTransformationSequence[0].RescaleIntercept = 0
    save(made, tmp_path / "in" / "enhanced.dcm")
    (path,) = converted(tmp_path / "in", tmp_path / "out")
    (volume,) = volumes(tmp_path / "in")
    check_against(path, volume)


@pytest.mark.parametrize("multiframe", [False, True])
def test_affine_of_slanted_slices_is_that_of_the_header(
    tmp_path: Path, stored: Stored, multiframe: bool
) -> None:
    """Each slice begins further along its rows; PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1."""
    if multiframe:
        order = [4, 0, 2, 1, 3]
        save(enhanced(stored[:, :, order], [(0, place) for place in order]), tmp_path / "a")
    else:
        save_series(tmp_path, stored[:, :, :5])
    (volume,) = volumes(tmp_path)
    assert volume.geometry is not None
    for row, column, place in [(0, 0, 0), (47, 39, 4), (3, 20, 2)]:
        wanted = position(place) + 1.5 * row * COLUMN + 1.25 * column * ROW
        have = volume.geometry.affine @ [row, column, place, 1]
        np.testing.assert_allclose(have, [*(LPS @ wanted), 1], atol=1e-5)


def test_geometry_with_a_gap_holds_for_the_slices_before_it(tmp_path: Path, stored: Stored) -> None:
    save_series(tmp_path, stored[:, :, :6])[4].unlink()
    (volume,) = volumes(tmp_path)
    assert volume.geometry is not None
    for place in range(4):
        have = volume.geometry.affine @ [0, 0, place, 1]
        np.testing.assert_allclose(have[:3], LPS @ position(place), atol=1e-5)


@pytest.mark.parametrize("lacks", ["ImageOrientationPatient", "ImagePositionPatient"])
def test_without_orientation_or_position_distances_remain(
    tmp_path: Path, stored: Stored, lacks: str
) -> None:
    for n in range(3):
        made = image(stored[:, :, n], n, InstanceNumber=n)
        delattr(made, lacks)
        save(made, tmp_path / f"{n}")
    geometry = volumes(tmp_path)[0].geometry
    assert isinstance(geometry, Geometry)
    assert not geometry.oriented
    np.testing.assert_array_equal(geometry.affine, np.diag([1.5, 1.25, 2, 1]))


@pytest.mark.parametrize("between", [0, None, "nan"])
@pytest.mark.parametrize("thickness", [0, None, "nan"])
def test_distances_that_tell_nothing_are_told_by_positions(
    tmp_path: Path, stored: Stored, between: object, thickness: object
) -> None:
    """Converters write a thickness of 0 where they do not know it."""
    told = {"SpacingBetweenSlices": between, "SliceThickness": thickness}
    with disable_value_validation():
        save_plane(tmp_path, stored[:, :, :3], PLANES["oblique"], STEP, **told)
    (volume,) = volumes(tmp_path)
    assert volume.geometry is not None
    assert volume.geometry.oriented
    assert volume.spacing == pytest.approx((1.5, 1.25, STEP), abs=1e-4)


def test_a_single_slice_has_its_thickness_where_the_distance_is_zero(
    tmp_path: Path, stored: Stored
) -> None:
    told = {"SpacingBetweenSlices": 0, "SliceThickness": 3}
    save_plane(tmp_path, stored[:, :, :1], PLANES["oblique"], STEP, **told)
    assert volumes(tmp_path)[0].spacing == pytest.approx((1.5, 1.25, 3))


@pytest.mark.parametrize("pixel", [[1.5], [0, 1.5], [-1.5, 1.5], ["nan", 1.5]])
def test_pixels_without_two_sizes_tell_no_geometry(
    tmp_path: Path, stored: Stored, pixel: list[object]
) -> None:
    with disable_value_validation():
        save_plane(tmp_path, stored[:, :, :3], PLANES["axial"], STEP, PixelSpacing=pixel)
    assert volumes(tmp_path)[0].geometry is None


def test_senseless_orientation_is_none(tmp_path: Path, stored: Stored) -> None:
    save(image(stored[:, :, 0], ImageOrientationPatient=[0] * 6), tmp_path / "a")
    (volume,) = volumes(tmp_path)
    assert volume.geometry is not None
    assert not volume.geometry.oriented


def test_time_points_have_a_geometry_each(tmp_path: Path, stored: Stored) -> None:
    for time in range(2):
        folder = tmp_path / f"{time}"
        save_plane(folder, stored[:, :, :3], PLANES["coronal"], STEP, TriggerTime=40 * time)
    first, second = volumes(tmp_path)
    assert first.geometry is not None
    assert second.geometry is not None
    np.testing.assert_array_equal(first.geometry.affine, second.geometry.affine)
    np.testing.assert_allclose(first.geometry.affine[:3, 3], LPS @ FIRST)

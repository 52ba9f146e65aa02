"""Headers as other tools write them; nibabel says where a voxel lies."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from kdmri.data.readers.base import SourceVolume
from kdmri.data.readers.nifti import Nifti
from kdmri.errors import DataError

OBLIQUE = np.array([[0.1, -2, 0.3, 80], [1.5, 0, 0.1, -60], [0.2, 0.2, -3, 7], [0, 0, 0, 1.0]])
SHAPE = (6, 7, 8)


def coordinates(affine: np.ndarray) -> np.ndarray:
    """Place of each voxel in RAS+ mm, (3, X, Y, Z)."""
    return np.tensordot(affine, np.stack([*np.indices(SHAPE), np.ones(SHAPE)]), 1)[:3]


def read_places(path: Path, reader: Nifti) -> tuple[np.ndarray, SourceVolume]:
    """Read a file that holds coordinates, and tell each sample's place by the geometry."""
    volume = next(iter(reader.volumes(path)))
    stacked = np.stack([item.image for item in volume.slices()], axis=-1)
    assert volume.geometry is not None
    indices = np.stack([*np.indices(stacked.shape), np.ones(stacked.shape)])
    return np.tensordot(volume.geometry.affine, indices, 1)[:3], volume


READERS = [Nifti(None, axis) for axis in range(3)] + [
    Nifti(orientation, 2) for orientation in ("axial", "coronal", "sagittal")
]


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SAL", "ILP"])
@pytest.mark.parametrize("reader", READERS, ids=str)
def test_values_lie_where_the_geometry_says(tmp_path: Path, reader: Nifti, codes: str) -> None:
    """A file whose values are a coordinate of their place, stored along any axes."""
    for axis, values in enumerate(coordinates(OBLIQUE).astype(np.float32)):
        image = nibabel.Nifti1Image(values, OBLIQUE)
        turn = nibabel.orientations.ornt_transform(
            nibabel.io_orientation(OBLIQUE), nibabel.orientations.axcodes2ornt(codes)
        )
        nibabel.save(image.as_reoriented(turn), tmp_path / "a.nii")
        places, volume = read_places(tmp_path / "a.nii", reader)
        stacked = np.stack([item.image for item in volume.slices()], axis=-1)
        np.testing.assert_allclose(places[axis], stacked, atol=1e-4)


def big_endian(affine: np.ndarray) -> nibabel.Nifti1Image:
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(np.float32)
    return nibabel.Nifti1Image(np.ones(SHAPE, ">f4"), affine, header)


def nifti2(affine: np.ndarray) -> nibabel.Nifti2Image:
    return nibabel.Nifti2Image(np.ones(SHAPE, np.float32), affine)


def qform_only(affine: np.ndarray) -> nibabel.Nifti1Image:
    image = nibabel.Nifti1Image(np.ones(SHAPE, np.float32), None)
    image.set_qform(affine, 1)
    return image


def two_forms(affine: np.ndarray) -> nibabel.Nifti1Image:
    image = nibabel.Nifti1Image(np.ones(SHAPE, np.float32), affine)
    image.set_sform(affine, "mni")
    image.set_qform(np.diag([5, 5, 5, 1]), 1)
    return image


@pytest.mark.parametrize("make", [big_endian, nifti2, qform_only, two_forms])
def test_header_variants_have_nibabels_affine(
    tmp_path: Path, make: Callable[[np.ndarray], nibabel.Nifti1Image]
) -> None:
    turned = np.array([[0, 0, -2.5, 4], [1.5, 0, 0, -6], [0, -1.25, 0, 9], [0, 0, 0, 1.0]])
    nibabel.save(make(turned), tmp_path / "a.nii.gz")
    (volume,) = Nifti(None, 2).volumes(tmp_path)
    assert volume.geometry is not None
    np.testing.assert_allclose(volume.geometry.affine, turned, atol=1e-6)
    assert volume.notes == ()


def test_no_code_tells_distances_alone(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.ones(SHAPE, np.float32), None)
    image.header.set_zooms((1.5, 2, 3))
    nibabel.save(image, tmp_path / "a.nii")
    (stored,), (axial,) = (Nifti(o, 2).volumes(tmp_path) for o in (None, "axial"))
    for volume, spacing in ((stored, (1.5, 2, 3)), (axial, (2, 1.5, 3))):
        assert volume.geometry is not None
        assert not volume.geometry.oriented
        assert volume.spacing == pytest.approx(spacing)
    assert stored.notes == ()
    (note,) = axial.notes
    assert note.startswith(f"{tmp_path / 'a.nii'}: its header tells no orientation")
    assert "taken for LAS" in note


@pytest.mark.parametrize(("code", "factor"), [("meter", 1e3), ("mm", 1), ("micron", 1e-3)])
def test_units_are_those_of_sizes_and_affine(tmp_path: Path, code: str, factor: float) -> None:
    stored = OBLIQUE.copy()
    stored[:3] /= factor
    image = nibabel.Nifti1Image(np.ones(SHAPE, np.float32), stored)
    image.header.set_xyzt_units(code, "sec")
    nibabel.save(image, tmp_path / "a.nii")
    (volume,) = Nifti(None, 2).volumes(tmp_path)
    assert volume.geometry is not None
    np.testing.assert_allclose(volume.geometry.affine, OBLIQUE, rtol=1e-6, atol=1e-5)
    assert volume.notes == ()


ODD_SIZES: list[tuple[float, str | int, str]] = [
    (0.001, "unknown", "no known unit, which is taken for mm: voxels of 0.001 x 0.001 x 0.001"),
    (1000, "unknown", "no known unit, which is taken for mm: voxels of 1000 x 1000 x 1000"),
    (1, "meter", "in metres: voxels of 1000 x 1000 x 1000"),
    (1, "micron", "in micrometres: voxels of 0.001 x 0.001 x 0.001"),
    (2000, 7, "no known unit, which is taken for mm: voxels of 2000 x 2000 x 2000"),
]


@pytest.mark.parametrize(("size", "code", "message"), ODD_SIZES)
def test_sizes_that_no_body_has_are_told(
    tmp_path: Path, size: float, code: str | int, message: str
) -> None:
    image = nibabel.Nifti1Image(np.ones(SHAPE, np.float32), np.diag([size, size, size, 1]))
    if isinstance(code, int):
        image.header["xyzt_units"] = code
    else:
        image.header.set_xyzt_units(code)
    nibabel.save(image, tmp_path / "a.nii")
    (volume,) = Nifti(None, 2).volumes(tmp_path)
    (note,) = volume.notes
    assert message in note
    assert len(list(volume.slices())) == 8


@pytest.mark.parametrize("size", [0.02, 0.3, 1, 10])
def test_sizes_of_mice_and_men_are_not_told(tmp_path: Path, size: float) -> None:
    affine = np.diag([size, size, 2 * size, 1])
    nibabel.save(nibabel.Nifti1Image(np.ones((60, 60, 8), np.float32), affine), tmp_path / "a.nii")
    (volume,) = Nifti("axial", 2).volumes(tmp_path)
    assert volume.notes == ()


@pytest.mark.parametrize(
    ("shape", "names"),
    [
        ((6, 7), ["a"]),
        ((6, 7, 8, 1), ["a"]),
        ((6, 7, 8, 1, 1), ["a"]),
        ((6, 7, 1, 1, 1, 1, 1), ["a"]),
        ((6, 7, 8, 2), ["a_frame01", "a_frame02"]),
        ((6, 7, 8, 2, 1, 1), ["a_frame01", "a_frame02"]),
        ((6, 7, 1, 2), ["a_frame01", "a_frame02"]),
    ],
)
@pytest.mark.parametrize("orientation", [None, "coronal"])
def test_trailing_axes_of_length_1_mean_nothing(
    tmp_path: Path, shape: tuple[int, ...], names: list[str], orientation: str | None
) -> None:
    rng = np.random.default_rng(0)
    values = rng.random(shape).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([1, 2, 3, 1])), tmp_path / "a.nii.gz")
    volumes = list(Nifti(orientation, 2).volumes(tmp_path))
    assert [volume.name for volume in volumes] == names
    whole = values.reshape((*shape, 1)[:3] if len(shape) < 4 else shape[:3] + shape[3:4])
    for number, volume in enumerate(volumes):
        one = whole[..., number] if whole.ndim == 4 else whole
        found = np.stack([item.image for item in volume.slices()], axis=-1)
        expected = one if orientation is None else one[:, :, ::-1].transpose(2, 0, 1)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shape", [(4, 5, 6, 1, 3), (4, 5, 1, 1, 6), (4, 5, 6, 2, 3)])
def test_vectors_a_voxel_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    nibabel.save(nibabel.Nifti1Image(np.ones(shape, np.float32), np.eye(4)), tmp_path / "a.nii")
    (volume,) = Nifti(None, 2).volumes(tmp_path)
    with pytest.raises(DataError, match=r"a\.nii: has shape .* several values a voxel"):
        next(volume.slices())


def patch(path: Path, **fields: Any) -> None:
    """Overwrite fields of a header that nibabel would correct."""
    raw = bytearray(path.read_bytes())
    header = np.frombuffer(bytes(raw[:348]), nibabel.Nifti1Header.template_dtype).copy()
    for key, value in fields.items():
        header[key] = value
    raw[:348] = header.tobytes()
    path.write_bytes(bytes(raw))


def test_broken_forms_are_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    for fields, spacing in (
        ({"srow_x": 0}, (2, 1.5, 3)),
        ({"srow_x": np.nan}, (2, 1.5, 3)),
        ({"srow_x": np.inf, "srow_y": -np.inf}, (2, 1.5, 3)),
        ({"srow_x": 0, "pixdim": np.nan}, None),
    ):
        affine = np.diag([2, 1.5, 3, 1])
        nibabel.save(nibabel.Nifti1Image(np.ones(SHAPE, np.float32), affine), path)
        patch(path, **fields)
        (volume,) = Nifti(None, 2).volumes(tmp_path)
        assert volume.spacing == spacing
        assert volume.geometry is None or not volume.geometry.oriented
        assert len(list(volume.slices())) == 8
        (turned,) = Nifti("axial", 2).volumes(tmp_path)
        with pytest.raises(DataError, match=r"a\.nii: .*use format\.orientation=null"):
            next(turned.slices())


def test_quaternion_that_is_no_rotation_is_named(tmp_path: Path) -> None:
    nibabel.save(qform_only(np.diag([1, 2, 3, 1])), tmp_path / "a.nii")
    patch(tmp_path / "a.nii", quatern_b=2)
    (volume,) = Nifti(None, 2).volumes(tmp_path)
    with pytest.raises(DataError, match=r"a\.nii: the quaternion of its header is no rotation"):
        next(volume.slices())


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_array_that_is_not_there_fills_no_memory(tmp_path: Path, ending: str) -> None:
    nibabel.save(nibabel.Nifti1Image(np.ones(SHAPE, np.float32), np.eye(4)), tmp_path / "a.nii")
    patch(tmp_path / "a.nii", dim=[3, 30000, 30000, 30000, 1, 1, 1, 1])
    if ending == ".nii.gz":
        (tmp_path / "a.nii.gz").write_bytes(gzip.compress((tmp_path / "a.nii").read_bytes()))
    (volume,) = Nifti(None, 2).volumes(tmp_path / f"a{ending}")
    with pytest.raises(DataError, match=r"declares 108,000,000,000,000 bytes of values"):
        next(volume.slices())

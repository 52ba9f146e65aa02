"""Where reconstructions lie in the patient: what comes in at a place comes out at it."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from kdmri.data.geometry import LPS_TO_RAS, Geometry
from kdmri.data.readers.base import SourceSlice, SourceVolume
from kdmri.data.readers.numpy_files import NumpyFiles
from kdmri.reconstruct import output
from kdmri.reconstruct.writing import Target, opened
from tests.conftest import Result
from tests.data.readers.dicom_files import COLUMN, ROW, save
from tests.data.readers.dicom_files import image as dicom_image
from tests.data.readers.ismrmrd_files import Scan, header, oversampled
from tests.reconstruct.expected import Run

OBLIQUE = np.array([[0, -2, 0.3, 80], [1.5, 0, 0, -60], [0, 0.2, 3, 7], [0, 0, 0, 1.0]])
SHEARED = OBLIQUE + np.array([[0, 0, 2.0, 0], [0] * 4, [0] * 4, [0] * 4])


def sample(image: nibabel.Nifti1Image, places: np.ndarray) -> np.ndarray:
    """Values at places (N, 3) in RAS+ mm, which are those of voxels."""
    indices = nibabel.affines.apply_affine(np.linalg.inv(image.affine), places)
    np.testing.assert_allclose(indices, indices.round(), atol=1e-2)
    return image.get_fdata()[tuple(indices.round().astype(int).T)]


def every_place(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return nibabel.affines.apply_affine(affine, np.indices(shape).reshape(3, -1).T)


def write(path: Path, values: np.ndarray, geometry: Geometry | None) -> nibabel.Nifti1Image:
    """Write slices (H, W, S) as `reconstruct` does, and read them as others do."""
    slices = np.moveaxis(values.astype(np.float32), -1, 0)

    def read() -> list[SourceSlice]:
        return [SourceSlice(image) for image in slices]

    volume = SourceVolume("a", "a", (Path("a.npy"),), read, geometry)  # type: ignore[arg-type]
    reader = NumpyFiles(kspace=False, centred=True, axis=0)
    result = output.Result(volume, 2.0, len(slices), slices.shape[1:])
    with opened(Target(path, "nifti", (volume,)), reader, {}) as begin:
        put = begin(result)
        for number, image in enumerate(slices):
            put(number, image / 2)
    return nibabel.load(path)


@pytest.mark.parametrize("affine", [OBLIQUE, SHEARED])
def test_nifti_has_each_value_at_its_place(
    anatomy: np.ndarray, tmp_path: Path, affine: np.ndarray
) -> None:
    values = anatomy[:, :, :7]
    image = write(tmp_path / "a.nii.gz", values, Geometry(affine))
    found = sample(image, every_place(affine, values.shape))
    np.testing.assert_allclose(found, values.ravel(), rtol=1e-5)
    assert image.shape == (40, 48, 7)
    np.testing.assert_allclose(image.get_fdata()[:, ::-1].transpose(1, 0, 2), values, rtol=1e-5)
    assert int(image.header["sform_code"]) == 1
    np.testing.assert_allclose(image.get_qform()[:3, 3], image.affine[:3, 3], atol=1e-3)
    assert image.header.get_xyzt_units()[0] == "mm"


def test_nifti_of_unknown_place_claims_none(anatomy: np.ndarray, tmp_path: Path) -> None:
    values = anatomy[:, :, :3]
    for name, geometry, sizes, unit in (
        ("spacing", Geometry.of_spacing((1.5, 2, 5)), (2, 1.5, 5), "mm"),
        ("nothing", None, (1, 1, 1), "unknown"),
    ):
        image = write(tmp_path / f"{name}.nii", values, geometry)
        assert image.header.get_zooms() == pytest.approx(sizes)
        assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (0, 0)
        assert image.header.get_xyzt_units()[0] == unit


@pytest.mark.skipif(shutil.which("dcm2niix") is None, reason="needs dcm2niix")
@pytest.mark.parametrize("orientation", ["oblique", "axial", "coronal", "sagittal"])
def test_nifti_of_dicom_is_that_of_dcm2niix(
    anatomy: np.ndarray, tmp_path: Path, orientation: str
) -> None:
    """Same array and same affine: the geometry of the slices by their tags, PS3.3 C.7.6.2.1.1."""
    stored = np.round(anatomy[:, :, 8:14] * 3000).astype(np.uint16)
    x, y, z = np.eye(3)
    row, column = {
        "oblique": (ROW, COLUMN),
        "axial": (x, y),
        "coronal": (x, -z),
        "sagittal": (y, -z),
    }[orientation]
    first, step = np.array([9.0, -20, 5]), 2.5 * np.cross(row, column)
    for n in range(stored.shape[2]):
        tags = {
            "ImagePositionPatient": [float(round(v, 6)) for v in first + n * step],
            "ImageOrientationPatient": [*row, *column],
        }
        made = dicom_image(stored[:, :, n], InstanceNumber=n + 1, **tags)
        save(made, tmp_path / "dicom" / f"{n}.dcm")
    affine = np.eye(4)
    affine[:3] = np.column_stack([1.5 * column, 1.25 * row, step, first])
    ours = write(tmp_path / "ours.nii", stored * 0.5 + 3, Geometry(LPS_TO_RAS @ affine))
    words = ["-z", "n", "-b", "n", "-f", "theirs", "-o", tmp_path, tmp_path / "dicom"]
    done = subprocess.run(["dcm2niix", *words], capture_output=True, text=True, check=False)
    theirs = nibabel.load(tmp_path / "theirs.nii")
    assert theirs.shape == ours.shape, done.stdout
    places = every_place(theirs.affine, theirs.shape)
    np.testing.assert_allclose(sample(ours, places), theirs.get_fdata().ravel(), rtol=1e-5)


def prepared(tmp_path: Path, prepare: Run, source: Path, *words: str) -> Path:
    """Prepare one file, and return the h5 file that it became."""
    result = prepare(*words, source=source, name="one", ratios="{test: 1}")
    assert result.code == 0, result.err
    (path,) = (tmp_path / "datasets" / "one").rglob("*.h5")
    return path


@pytest.fixture
def prepare(run: Run) -> Run:
    def call(*overrides: object, **keys: object) -> Result:
        words = [f"{key}={value}" for key, value in keys.items()]
        return run("kdmri/prepare/__main__.py", *map(str, overrides), *words)

    return call


def test_position_survives_prepare_reconstruct_and_crops(
    checkpoint: Callable[..., Path],
    prepare: Run,
    reconstruct: Run,
    anatomy: np.ndarray,
    tmp_path: Path,
) -> None:
    """NIfTI, cropped and padded h5, NIfTI: the reconstruction lies over the source."""
    values = anatomy[:, :, 10:17].astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(values, OBLIQUE), tmp_path / "scan.nii.gz")
    words = ("format=nifti", "format.orientation=coronal", "image_size=[9,60]")
    path = prepared(tmp_path, prepare, tmp_path / "scan.nii.gz", *words)
    with h5py.File(path) as file:
        affine, stored = file.attrs["affine"], file["volfs"][...]
        assert file.attrs["spacing_mm"] == "3.01496 2.00998 1.5"
    entry = json.loads((path.parents[1] / "manifest.json").read_text())["volumes"]["scan"]
    np.testing.assert_array_equal(entry["affine"], affine)
    assert entry["spacing"] == pytest.approx([3.01496, 2.00998, 1.5], abs=1e-5)
    source = nibabel.load(tmp_path / "scan.nii.gz")
    inside = stored > 0
    places = every_place(affine, stored.shape)[inside.ravel()]
    np.testing.assert_allclose(sample(source, places), values.max() * stored[inside], rtol=1e-5)

    call = {"checkpoint": checkpoint(), "input": path, "write": "nifti"}
    assert reconstruct(**call, output="out.nii.gz").code == 0
    found = nibabel.load(tmp_path / "out.nii.gz")
    assert int(found.header["sform_code"]) == 2, "an h5 file does not name its space"
    assert reconstruct(checkpoint=call["checkpoint"], input=path, output="out.h5").code == 0
    with h5py.File(tmp_path / "out.h5") as file:
        np.testing.assert_array_equal(file.attrs["affine"], affine)
        assert file.attrs["spacing_mm"] == "3.01496 2.00998 1.5"
        slices = np.moveaxis(file["reconstruction"][...], 0, -1)
    again = sample(found, every_place(affine, slices.shape))
    np.testing.assert_allclose(again, slices.ravel(), atol=1e-6)


def test_raw_data_has_its_voxel_sizes_and_place(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    """Three slices of 5 x 5 x 7 mm that were acquired in another order than they lie."""
    images = oversampled(anatomy)
    with Scan(tmp_path / "scan.h5", header()) as scan:
        scan.directions = np.eye(3)
        for counter, number in enumerate((0, 2, 1)):
            scan.place = [10, 20, 7.0 * number]
            centred = np.fft.fft2(np.fft.ifftshift(images[number]), norm="ortho")
            scan.image(np.fft.fftshift(centred)[None], slice=counter)
    path = checkpoint(channels=2)
    result = reconstruct(checkpoint=path, input="scan.h5", output="out.nii")
    assert result.code == 0, result.err
    found = nibabel.load(tmp_path / "out.nii")
    assert found.header.get_zooms() == pytest.approx((5, 5, 7))
    # Index (24, 20) of a slice is its centre; rows count towards posterior, columns to the left.
    affine = [[0, -5, 0, 20 * 5 - 10], [-5, 0, 0, 24 * 5 - 20], [0, 0, 7, 0], [0, 0, 0, 1]]
    truth = np.abs(np.moveaxis(images[..., 20:60], 0, -1))
    values = sample(found, every_place(np.array(affine), truth.shape)).reshape(truth.shape)
    for number in range(3):
        likeness = [
            np.corrcoef(values[..., number].ravel(), truth[..., n].ravel())[0, 1] for n in range(3)
        ]
        assert np.argmax(likeness) == number
        assert max(likeness) > 0.9


Change = Callable[[nibabel.Nifti1Image], None]


def extended(image: nibabel.Nifti1Image) -> None:
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("afni", b"<AFNI_attributes/>"))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"kept" * 30))


def micrometres(image: nibabel.Nifti1Image) -> None:
    affine = image.affine.copy()
    affine[:3] *= 1000
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    image.header.set_xyzt_units("micron", "sec")


def nothing(image: nibabel.Nifti1Image) -> None:
    pass


KINDS: list[tuple[str, type[nibabel.Nifti1Image], str, Change, tuple[int, ...]]] = [
    ("plain", nibabel.Nifti1Image, "<", nothing, ()),
    ("extended", nibabel.Nifti1Image, "<", extended, ()),
    ("big endian", nibabel.Nifti1Image, ">", extended, ()),
    ("NIfTI-2", nibabel.Nifti2Image, "<", extended, ()),
    ("units", nibabel.Nifti1Image, "<", micrometres, ()),
    ("trailing", nibabel.Nifti1Image, "<", nothing, (1, 1)),
    ("time", nibabel.Nifti1Image, ">", nothing, (2, 1)),
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind[0])
@pytest.mark.parametrize("orientation", ["null", "sagittal"])
def test_nifti_comes_back_with_its_header(
    checkpoint: Callable[..., Path],
    reconstruct: Run,
    anatomy: np.ndarray,
    tmp_path: Path,
    kind: tuple[str, type[nibabel.Nifti1Image], str, Change, tuple[int, ...]],
    orientation: str,
) -> None:
    _, make, endianness, change, trailing = kind
    values = np.ones(trailing, np.float32) * anatomy[:, :, 8:16].reshape(
        48, 40, 8, *[1] * len(trailing)
    )
    header = make.header_class(endianness=endianness)
    header.set_data_dtype(np.int16)
    image = make(np.round(values * 1000).astype(np.int16), OBLIQUE, header)
    change(image)
    nibabel.save(image, tmp_path / "scan.nii.gz")
    words = ("format=nifti", f"format.orientation={orientation}")
    call = {"checkpoint": checkpoint(), "input": "scan.nii.gz", "output": "out.nii"}
    result = reconstruct(*words, **call)
    assert result.code == 0, result.err
    source, found = nibabel.load(tmp_path / "scan.nii.gz"), nibabel.load(tmp_path / "out.nii")
    assert type(found) is make
    assert found.shape == source.shape
    np.testing.assert_array_equal(found.affine, source.affine)
    assert found.header.endianness == endianness
    assert found.header.extensions == source.header.extensions
    for field in ("pixdim", "xyzt_units", "sform_code", "qform_code", "dim", "descrip"):
        np.testing.assert_array_equal(found.header[field], source.header[field])
    truth, values = source.get_fdata(), found.get_fdata()
    psnr = peak_signal_noise_ratio(truth, values, data_range=truth.max())
    assert psnr > 20

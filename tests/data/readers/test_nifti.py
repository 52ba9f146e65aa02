from collections.abc import Callable, Iterable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from kdmri.data.readers.base import SourceVolume
from kdmri.data.readers.nifti import Nifti
from kdmri.data.readers.who import find_subjects
from kdmri.errors import ConfigurationError, DataError
from tests.data.readers.coils import truncate

STORED = Nifti(orientation=None, axis=2)


def save(path: Path, values: np.ndarray, affine: np.ndarray | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4) if affine is None else affine), path)


def stacked(volume: SourceVolume) -> np.ndarray:
    return np.stack([item.image for item in volume.slices()], axis=-1)


def named(volumes: Iterable[SourceVolume]) -> dict[str, SourceVolume]:
    return {volume.name: volume for volume in volumes}


def test_slope_intercept_and_spacing_are_applied(tmp_path: Path, anatomy: np.ndarray) -> None:
    # nibabel scales data that it is given; write the raw integers under the slope by hand.
    raw = (anatomy * 1000).astype(np.int16)
    image = nibabel.Nifti1Image(raw, np.diag([1.5, 2, 8, 1]))
    header = image.header.copy()
    header["scl_slope"], header["scl_inter"], header["vox_offset"] = 0.002, 0.25, 352
    file = header.binaryblock + bytes(4) + raw.tobytes(order="F")
    (tmp_path / "scan.nii").write_bytes(file)
    (volume,) = STORED.volumes(tmp_path)
    np.testing.assert_allclose(stacked(volume), raw * 0.002 + 0.25, rtol=1e-6)
    assert volume.spacing == pytest.approx((1.5, 2, 8))


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SAL", "ILP"])
@pytest.mark.parametrize("orientation", ["axial", "coronal", "sagittal"])
def test_stored_orientation_does_not_matter(
    tmp_path: Path, anatomy: np.ndarray, codes: str, orientation: str
) -> None:
    """The same head, stored along other axes and directions, gives the same upright slices."""
    ras = nibabel.Nifti1Image(anatomy.astype(np.float32), np.diag([1, 2, 3, 1]))
    wanted = nibabel.orientations.axcodes2ornt(codes)
    turned = ras.as_reoriented(
        nibabel.orientations.ornt_transform(nibabel.io_orientation(ras.affine), wanted)
    )
    assert nibabel.aff2axcodes(turned.affine) == tuple(codes)
    nibabel.save(turned, tmp_path / "scan.nii.gz")
    (volume,) = Nifti(orientation, axis=2).volumes(tmp_path)
    head = anatomy.astype(np.float32)
    expected = {
        "axial": [head[:, ::-1, n].T for n in range(36)],
        "coronal": [head[:, n, ::-1].T for n in range(40)],
        "sagittal": [head[n, :, ::-1].T for n in range(48)],
    }[orientation]
    np.testing.assert_array_equal(stacked(volume), np.stack(expected, axis=-1))
    spacing = {"axial": (2, 1, 3), "coronal": (3, 1, 2), "sagittal": (3, 2, 1)}[orientation]
    assert volume.spacing == pytest.approx(spacing)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slice_axis_is_the_one_given(tmp_path: Path, anatomy: np.ndarray, axis: int) -> None:
    values = np.moveaxis(anatomy.astype(np.float32), -1, axis)
    save(tmp_path / "scan.nii.gz", values)
    (volume,) = Nifti(None, axis).volumes(tmp_path)
    np.testing.assert_array_equal(stacked(volume), anatomy.astype(np.float32))


def test_time_points_are_volumes_and_complex_stays_complex(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    cine = (anatomy[..., None] * np.exp(1j * np.arange(1, 4))).astype(np.complex64)
    save(tmp_path / "p1" / "cine.nii", cine)
    volumes = named(find_subjects(STORED, tmp_path, None).volumes)
    assert list(volumes) == [f"p1_cine_frame{n:02d}" for n in (1, 2, 3)]
    for number, volume in enumerate(volumes.values()):
        assert volume.subject == "p1"
        np.testing.assert_array_equal(stacked(volume), cine[..., number])


def test_folders_give_split_and_subject(tmp_path: Path, anatomy: np.ndarray) -> None:
    values = anatomy[:, :, :2].astype(np.float32)
    for place in ("train/p10/a.nii.gz", "train/p2/a.nii.gz", "val/b.nii", "Testing/p3/c.nii"):
        save(tmp_path / place, values)
    found = [(v.subject, v.split, v.name) for v in find_subjects(STORED, tmp_path, None).volumes]
    assert sorted(found) == [
        ("b", "validation", "val_b"),
        ("p10", "train", "train_p10_a"),
        ("p2", "train", "train_p2_a"),
        ("p3", "test", "Testing_p3_c"),
    ]
    names = [name for *_, name in found]
    assert names.index("train_p2_a") < names.index("train_p10_a"), "in natural order"
    (single,) = find_subjects(STORED, tmp_path / "val" / "b.nii", None).volumes
    assert single.subject == "b"


def test_damaged_file_is_named_when_its_turn_comes(tmp_path: Path, anatomy: np.ndarray) -> None:
    values = anatomy.astype(np.float32)
    for name in ("a", "b", "c"):
        save(tmp_path / f"{name}.nii.gz", values)
    truncate(tmp_path / "b.nii.gz")
    (tmp_path / "d.nii").write_text("no image")
    volumes = list(STORED.volumes(tmp_path))
    np.testing.assert_array_equal(stacked(volumes[0]), values)
    np.testing.assert_array_equal(stacked(volumes[2]), values)
    for number, name in ((1, "b.nii.gz"), (3, "d.nii")):
        with pytest.raises(DataError, match=name):
            list(volumes[number].slices())


def test_line_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "line.nii", np.ones(4, np.float32))
    (volume,) = STORED.volumes(tmp_path)
    with pytest.raises(DataError, match=r"line.nii: has shape \(4,\)"):
        list(volume.slices())


def test_nothing_there_and_wrong_options(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found no NIfTI files"):
        list(STORED.volumes(tmp_path))
    with pytest.raises(
        ConfigurationError, match=r"format.orientation=oblique: must be null or one"
    ):
        Nifti("oblique", 2)
    with pytest.raises(ConfigurationError, match=r"format.axis=3"):
        Nifti(None, 3)


def rewrite(offset: int, *numbers: int) -> Callable[[Path], None]:
    """Overwrite int16 fields of a NIfTI header."""

    def change(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[offset : offset + 2 * len(numbers)] = np.array(numbers, "<i2").tobytes()
        path.write_bytes(content)

    return change


def coloured(path: Path) -> None:
    save(path, np.zeros((4, 4, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")]))


HEADERS = {
    "unknown type": (rewrite(70, 9999), "9999"),
    "negative size": (rewrite(40, 3, -5), r"has shape \(-5, 40, 36\)"),
    "empty": (rewrite(40, 3, 0), r"has shape \(0, 40, 36\)"),
    "colours": (coloured, "it must be real or complex numbers"),
}


@pytest.mark.parametrize("damage", HEADERS)
def test_bad_header_among_good_ones_is_told_when_its_slices_are_read(
    tmp_path: Path, anatomy: np.ndarray, damage: str
) -> None:
    values = anatomy.astype(np.float32)
    for name in ("a", "b"):
        save(tmp_path / f"{name}.nii", values)
    change, message = HEADERS[damage]
    change(tmp_path / "a.nii")
    bad, good = find_subjects(Nifti("axial", 2), tmp_path, None).volumes
    assert (bad.name, bad.subject) == ("a", "a")
    assert len(list(good.slices())) == 36
    with pytest.raises(DataError, match=rf"a\.nii: .*{message}"):
        next(bad.slices())


def test_affine_that_tells_no_orientation(tmp_path: Path, anatomy: np.ndarray) -> None:
    save(tmp_path / "a.nii", anatomy.astype(np.float32))
    rewrite(296, *[0] * 8)(tmp_path / "a.nii")  # srow_y
    (volume,) = Nifti("axial", 2).volumes(tmp_path)
    with pytest.raises(DataError, match=r"a\.nii: .*use format\.orientation=null"):
        next(volume.slices())
    (volume,) = STORED.volumes(tmp_path)
    np.testing.assert_array_equal(stacked(volume), anatomy.astype(np.float32))


def test_finding_volumes_reads_no_values(tmp_path: Path, anatomy: np.ndarray) -> None:
    """Truncated, and stored so that axial slices need turning: told at its turn, not before."""
    save(tmp_path / "a.nii.gz", anatomy.astype(np.float32), np.diag([-1, -1, 1, 1]))
    truncate(tmp_path / "a.nii.gz")
    (volume,) = Nifti("axial", 2).volumes(tmp_path)
    with pytest.raises(DataError, match=r"a\.nii\.gz"):
        next(volume.slices())


def test_time_points_are_turned_too(tmp_path: Path, anatomy: np.ndarray) -> None:
    cine = np.stack([anatomy, anatomy / 2], axis=-1).astype(np.float32)
    save(tmp_path / "cine.nii.gz", cine[::-1], np.diag([-1, 2, 3, 1]))
    first, second = Nifti("coronal", 2).volumes(tmp_path)
    assert first.spacing == pytest.approx((3, 1, 2))
    expected = np.stack([cine[:, n, ::-1, 1].T for n in range(40)], axis=-1)
    np.testing.assert_array_equal(stacked(second), expected)


def test_spacing_is_in_millimetres(tmp_path: Path, anatomy: np.ndarray) -> None:
    image = nibabel.Nifti1Image(anatomy.astype(np.float32), np.diag([500, 250, 2000, 1]))
    image.header.set_xyzt_units("micron")
    nibabel.save(image, tmp_path / "a.nii")
    (volume,) = STORED.volumes(tmp_path)
    assert volume.spacing == pytest.approx((0.5, 0.25, 2))


def test_what_macos_leaves_in_archives_is_no_image(tmp_path: Path, anatomy: np.ndarray) -> None:
    save(tmp_path / "a.nii", anatomy.astype(np.float32))
    (tmp_path / "._a.nii").write_bytes(b"Mac OS X")
    assert [volume.name for volume in STORED.volumes(tmp_path)] == ["a"]

"""Slices of raw data in the patient: by points whose signal is computed from where they are."""

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest

from kdmri.data.readers.base import Reader, SourceVolume
from kdmri.data.readers.fastmri import FastMRI
from kdmri.data.readers.ismrmrd import Ismrmrd
from tests.data.readers.ismrmrd_files import ROWS, SAMPLES, Scan, header

READ, PHASE, NORMAL = OBLIQUE = np.array([[0.8, 0.6, 0], [0, 0, -1], [-0.6, 0.8, 0]])
CENTRE = np.array([12.0, -30, 44])
LPS_TO_RAS = np.array([-1, -1, 1])
FIELDS = ((400, 240, 5), (200, 240, 5))
"""Voxels of 5 x 5 x 5 mm; the readout covers twice what is shown."""


def signal(offset: np.ndarray, fields: Sequence[float] = FIELDS[0][:2]) -> np.ndarray:
    """k-space (rows, samples) of a point at an offset (along the readout, the phase) in mm."""
    kx = (np.arange(SAMPLES) - SAMPLES // 2) / fields[0]
    ky = (np.arange(ROWS) - ROWS // 2) / fields[1]
    return np.exp(-2j * np.pi * (kx * offset[0] + ky[:, None] * offset[1]))


SIEMENS = "SIEMENS Healthineers"
VENDORS = (None, "GE MEDICAL SYSTEMS", SIEMENS)


def measured(kspace: np.ndarray, vendor: str | None) -> np.ndarray:
    """k-space as a vendor has it for its directions: Siemens' makes images by the forward one."""
    return kspace.conj() if vendor == SIEMENS else kspace


def write(
    path: Path,
    places: Sequence[np.ndarray],
    points: Sequence[np.ndarray],
    directions: np.ndarray | Sequence[np.ndarray] = OBLIQUE,
    vendor: str | None = None,
    **changes: object,
) -> None:
    """Write a slice at each place, with one point in it, both in LPS."""
    changes |= {"vendor": vendor}
    frames = np.broadcast_to(directions, (len(places), 3, 3))
    with Scan(path, header(**{"fields": FIELDS, **changes})) as scan:
        for number, (place, point, frame) in enumerate(zip(places, points, frames, strict=True)):
            scan.place, scan.directions = place, frame
            kspace = measured(signal(frame[:2] @ (point - place)), vendor)
            scan.image(kspace[None], slice=number)


def read(path: Path, reader: Reader | None = None) -> tuple[SourceVolume, np.ndarray]:
    (volume,) = (reader or Ismrmrd()).volumes(path)
    return volume, np.abs(np.stack([item.image for item in volume.slices()], axis=-1))


def found_points(volume: SourceVolume, images: np.ndarray) -> np.ndarray:
    """RAS+ places (S, 3) of the brightest sample of each slice."""
    assert volume.geometry is not None
    _, width, count = images.shape
    brightest = images.reshape(-1, count).argmax(axis=0)
    indices = [brightest // width, brightest % width, np.arange(count), np.ones(count)]
    return (volume.geometry.affine @ np.array(indices))[:3].T


@pytest.mark.parametrize("vendor", VENDORS)
def test_points_are_found_where_they_are_in_the_patient(tmp_path: Path, vendor: str | None) -> None:
    """Oblique slices whose counter is not in the order of their positions."""
    places = [CENTRE + gap * NORMAL for gap in (0, 14, 7, 21)]
    offsets = [(5, 10), (-35, 20), (0, 0), (95, -115)]
    points = [p + x * READ + y * PHASE for p, (x, y) in zip(places, offsets, strict=True)]
    write(tmp_path / "a.h5", places, points, vendor=vendor)
    volume, images = read(tmp_path / "a.h5")
    assert images.shape == (48, 40, 4)
    in_order = np.array([points[0], points[2], points[1], points[3]])
    np.testing.assert_allclose(found_points(volume, images), in_order * LPS_TO_RAS, atol=1e-3)
    assert volume.spacing == pytest.approx((5, 5, 7))
    assert volume.notes == ()


def test_undersampled_scans_lie_where_they_are_shown(tmp_path: Path) -> None:
    """Rows of undersampled k-space are not cropped when they are read, but when they are shown."""
    point = CENTRE + 20 * READ - 15 * PHASE
    fields = ((400, 240, 5), (200, 200, 5))
    for name, step in (("full", 1), ("half", 2)):
        xml = header(fields=fields, recon=(40, 40, 1))
        with Scan(tmp_path / f"{name}.h5", xml) as scan:
            scan.place, scan.directions = CENTRE, OBLIQUE
            for row in range(0, ROWS, step):
                scan.line(signal(OBLIQUE[:2] @ (point - CENTRE))[row][None], (), row=row)
        volume, images = read(tmp_path / f"{name}.h5", Ismrmrd(undersampled=True))
        assert volume.shown == (40, 40)
        assert images.shape == (48, 40, 1)
        first = images.shape[0] // 2 - 20
        shown = images[first : first + 40]
        shown = shown[12:28] if step == 2 else shown  # without its alias
        assert volume.geometry is not None
        geometry = volume.geometry.shifted(12 if step == 2 else 0, 0)
        row, column, _ = np.unravel_index(shown.argmax(), shown.shape)
        place = geometry.affine @ [row, column, 0, 1]
        np.testing.assert_allclose(place[:3], point * LPS_TO_RAS, atol=1e-3)


@pytest.mark.parametrize("vendor", VENDORS)
def test_partitions_of_a_slab(tmp_path: Path, vendor: str | None) -> None:
    """3D, oversampled along the partitions: the slab's centre is its position."""
    partitions, thick = 6, 3.0
    point = CENTRE + 10 * READ + 5 * PHASE - 1 * thick * NORMAL
    xml = header(
        encoded=(SAMPLES, ROWS, partitions),
        recon=(40, 48, 4),
        fields=((400, 240, 18), (200, 240, 12)),
        centres=(ROWS // 2, partitions // 2),
        vendor=vendor,
    )
    kz = (np.arange(partitions) - partitions // 2) / (partitions * thick)
    x, y, z = OBLIQUE @ (point - CENTRE)
    with Scan(tmp_path / "a.h5", xml) as scan:
        scan.place, scan.directions = CENTRE, OBLIQUE
        for step in range(partitions):
            kspace = signal(np.array([x, y])) * np.exp(-2j * np.pi * kz[step] * z)
            scan.image(measured(kspace, vendor)[None], kspace_encode_step_2=step)
    volume, images = read(tmp_path / "a.h5")
    assert images.shape == (48, 40, 4)
    assert volume.spacing == pytest.approx((5, 5, 3))
    brightest = np.unravel_index(images.argmax(), images.shape)
    assert volume.geometry is not None
    place = (volume.geometry.affine @ [*brightest, 1])[:3]
    np.testing.assert_allclose(place, point * LPS_TO_RAS, atol=1e-3)


def test_slices_without_positions_keep_the_order_of_their_counter(tmp_path: Path) -> None:
    """What the package's `from_array` leaves: zeros, in positions and in directions."""
    zero = np.zeros(3)
    points = [np.array([0.0, 0, 0])] * 3
    with Scan(tmp_path / "a.h5", header(fields=FIELDS)) as scan:
        for number in range(3):
            kspace = (number + 1) * signal(np.array([5.0 * number, 0]))
            scan.image(kspace[None], slice=number)
    volume, images = read(tmp_path / "a.h5")
    assert images.max(axis=(0, 1)) == pytest.approx(images.max() * np.array([1, 2, 3]) / 3)
    assert volume.geometry is not None
    assert not volume.geometry.oriented
    assert volume.spacing == pytest.approx((5, 5, 5))
    assert "its 3 slices have no positions" in volume.notes[0]
    write(tmp_path / "b.h5", [zero], points[:1], np.zeros((3, 3)))
    (alone,) = Ismrmrd().volumes(tmp_path / "b.h5")
    assert alone.notes == ()


ODD = {
    "uneven": (
        [CENTRE + gap * NORMAL for gap in (0, 5, 10, 20)],
        OBLIQUE,
        "its slices are 5, 10 mm apart, of which 5 is kept",
        True,
    ),
    "shifted": (
        [CENTRE + gap * NORMAL + aside * READ for gap, aside in ((0, 0), (5, 0), (10, 30))],
        OBLIQUE,
        "its slices are shifted within their plane",
        False,
    ),
    "not parallel": (
        [CENTRE, CENTRE],
        [OBLIQUE, np.eye(3)],
        "its slices are not parallel",
        False,
    ),
    "turned": (
        [CENTRE, CENTRE + 5 * NORMAL],
        [OBLIQUE, np.array([PHASE, READ, NORMAL])],
        "its directions are no orthogonal unit vectors, or not those of all slices",
        False,
    ),
    "sheared": (
        [CENTRE, CENTRE + 5 * NORMAL],
        np.array([READ, READ, NORMAL]),
        "its directions are no orthogonal unit vectors",
        False,
    ),
}


@pytest.mark.parametrize("kind", ODD)
def test_stacks_that_are_no_grid_are_told(tmp_path: Path, kind: str) -> None:
    places, directions, message, oriented = ODD[kind]
    write(tmp_path / "a.h5", places, places, directions)
    volume, images = read(tmp_path / "a.h5")
    assert images.shape[2] == len(places)
    (note,) = volume.notes
    assert note.startswith(f"{tmp_path / 'a.h5'}: {message}")
    assert volume.geometry is not None
    assert volume.geometry.oriented == oriented
    assert volume.spacing == pytest.approx((5, 5, 5))


def test_sheared_stacks_are_grids(tmp_path: Path) -> None:
    """Slices shifted within their plane by as much from each to the next."""
    places = [CENTRE + n * (5 * NORMAL + 3 * READ) for n in (2, 0, 1)]
    write(tmp_path / "a.h5", places, [place + 10 * PHASE for place in places])
    volume, images = read(tmp_path / "a.h5")
    in_order = np.array(places)[[1, 2, 0]] + 10 * PHASE
    np.testing.assert_allclose(found_points(volume, images), in_order * LPS_TO_RAS, atol=1e-3)
    assert volume.notes == ()


def test_header_without_fields_of_view_tells_no_sizes(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", [CENTRE], [CENTRE], fields=((0, 0, 0), (0, 0, 0)))
    volume, _ = read(tmp_path / "a.h5")
    assert volume.geometry is None


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((2, 80, 48), (5, 5, 6)),
        ((2, 80, 40), (5, 6, 6)),  # fewer columns over the same field of view
        ((2, 40, 48), (4, 5, 6)),  # cropped along the readout before the file was written
    ],
)
def test_fastmri_files_have_the_sizes_of_their_header(
    tmp_path: Path, shape: tuple[int, int, int], spacing: tuple[float, float, float]
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kspace"] = np.ones(shape, np.complex64)
        file["reconstruction_esc"] = np.ones((2, 40, 40), np.float32)
        file["ismrmrd_header"] = header(fields=((400, 240, 6), (160, 240, 6)))
    (volume,) = FastMRI(keep_coils=False).volumes(tmp_path)
    assert volume.spacing == pytest.approx(spacing)
    assert volume.geometry is not None
    assert not volume.geometry.oriented

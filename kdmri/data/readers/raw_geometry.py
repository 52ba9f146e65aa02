"""Where the slices of ISMRMRD raw data lie, and their order, by the heads of the acquisitions."""

from typing import NamedTuple

import numpy as np

from kdmri.data.geometry import LPS_TO_RAS, Geometry, is_usable
from kdmri.data.readers.raw_header import Encoding, voxel_size

CLOSE = 1e-2
"""Positions in mm that are closer than this are one; unit vectors may be off by as much."""

EVEN = 0.02
"""Distances between slices may differ by this share of them, or by `CLOSE`."""

DIRECTIONS = ("read_dir", "phase_dir", "slice_dir")


class Stack(NamedTuple):
    """The slices, or slabs, of a volume.

    Attributes:
        geometry: of the images; None where the header tells no field of view.
        notes: what is odd.
    """

    geometry: Geometry | None
    notes: tuple[str, ...]


class Pitch(NamedTuple):
    """From one slice, or slab, to the next.

    Attributes:
        distance: mm; NaN where unknown.
        vector: mm, LPS; None where they are not one behind the other.
        note: what is odd, or empty.
    """

    distance: float
    vector: np.ndarray | None
    note: str = ""


def stack(heads: np.ndarray, encoding: Encoding, size: tuple[int, int, int], name: str) -> Stack:
    """Place the slices of a volume, in the order of `slice_heads`, in the patient.

    The position of an acquisition is the centre of what it excites. It lies where the transform
    puts position zero, at index N // 2 of rows, columns and partitions. Rows count along the phase
    encoding direction and columns along the readout.

    Args:
        heads: of the acquisitions that make up the images.
        encoding: of the scan.
        size: (H, W) of the images, and the number of images from a slab; 1 for a slice.
        name: what the notes are about.
    """
    _, places, directions = _slices(heads)
    columns, rows, thickness = (voxel_size(encoding, axis) for axis in range(3))
    if np.abs(directions[:, 2] - directions[0, 2]).max() > CLOSE:
        note = "its slices are not parallel; they keep the order of their counter"
        pitch = Pitch(thickness * size[2], None, note)
    else:
        pitch = _pitch(places, directions[0, 2], thickness * size[2], is_slab=size[2] > 1)
    notes = [pitch.note] if pitch.note else []
    spacing = (rows, columns, pitch.distance / size[2])
    description = bool(np.abs(directions).max() > CLOSE)
    alike = np.abs(directions - directions[0]).max() <= CLOSE and _is_rotation(directions[0])
    if description and not alike and pitch.vector is not None:
        notes.append("its directions are no orthogonal unit vectors, or not those of all slices")
    geometry = None
    if all(np.isfinite(mm) and mm > 0 for mm in spacing):
        geometry = Geometry.of_spacing(spacing)
        if alike and pitch.vector is not None:
            axes = rows * directions[0, 1], columns * directions[0, 0], pitch.vector / size[2]
            placed = _placed(places[0], np.column_stack(axes), size)
            geometry = placed if is_usable(placed.affine) else geometry
    return Stack(geometry, tuple(f"{name}: {note}" for note in notes))


def facing(heads: np.ndarray, encoding: Encoding) -> np.ndarray:
    """Return heads whose directions are those of images by the inverse transform, as it is here.

    Siemens' scanners have theirs for the forward transform, `siemens_to_ismrmrd` (1.2.13) takes
    them over, and with the inverse one images are reversed along all axes that it transforms (so
    does mrpro have it, #833; and a bubble in a phantom of twixtools' examples is on top then).

    Args:
        heads: with `DIRECTIONS`; changed where they are the other way round.
        encoding: of the scan.
    """
    if encoding.forward:
        for name in DIRECTIONS if encoding.encoded.matrix[2] > 1 else DIRECTIONS[:2]:
            heads[name] *= -1
    return heads


def slice_order(heads: np.ndarray) -> list[int]:
    """Return the counters of the slices (`idx.slice`) in the order of `slice_heads`."""
    return [int(counter) for counter in slice_heads(heads)["idx"]["slice"]]


def slice_heads(heads: np.ndarray) -> np.ndarray:
    """Return the head of the first line of each slice, by position along the slice direction.

    They keep the order of their counter where they have one position, or several directions.
    """
    return _slices(heads)[0]


def _slices(heads: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a head, the position (3,) and the directions (3, 3) of each slice, in their order."""
    lines = heads[np.unique(heads["idx"]["slice"], return_index=True)[1]]
    stored = np.stack([lines[key] for key in ("position", *DIRECTIONS)], 1).astype(np.float64)
    vectors = np.nan_to_num(stored, posinf=0, neginf=0)
    order = np.arange(len(lines))
    if np.abs(vectors[:, 3] - vectors[0, 3]).max() <= CLOSE:
        along = vectors[:, 0] @ _across(vectors[:, 0], vectors[0, 3])
        if np.ptp(along) > CLOSE:
            order = np.argsort(along, kind="stable")
    return lines[order], vectors[order, 0], vectors[order, 1:]


def _across(places: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Return the slice direction, or where there is none that from the first place to the last."""
    if np.linalg.norm(normal) > CLOSE:
        return normal / np.linalg.norm(normal)
    line = places - places[0]
    furthest = line[np.linalg.norm(line, axis=1).argmax()]
    return furthest / max(np.linalg.norm(furthest), CLOSE)


def _pitch(places: np.ndarray, normal: np.ndarray, alone: float, is_slab: bool) -> Pitch:
    """Tell how slices follow on each other.

    Args:
        places: (S, 3) in mm, in their order.
        normal: slice direction.
        alone: thickness of one, in mm.
        is_slab: whether each gives several images.
    """
    if len(places) == 1:
        return Pitch(alone, normal * alone)
    across = _across(places, normal)
    gaps = np.diff(places @ across)
    if gaps.max() <= CLOSE:
        return Pitch(
            alone,
            None,
            f"its {len(places)} slices have no positions, or all the same; they keep the order of "
            "their counter and count as lying side by side",
        )
    gap = float(np.median(gaps))
    is_even = np.ptp(gaps) <= max(CLOSE, EVEN * gap)
    if is_slab and not (is_even and abs(gap - alone) <= max(CLOSE, EVEN * alone)):
        return Pitch(alone, None, "its slabs overlap or leave gaps; their place is left out")
    if not is_even:
        description = ", ".join(f"{mm:g}" for mm in np.unique(gaps.round(2)))
        gap = gap if gap > CLOSE else alone
        note = (
            f"its slices are {description} mm apart, of which {gap:.4g} is kept; are some missing?"
        )
        return Pitch(gap, across * gap, note)
    vector = (places[-1] - places[0]) / (len(places) - 1)
    straight = places[0] + np.arange(len(places))[:, None] * vector
    if np.abs(places - straight).max() > max(CLOSE, EVEN * gap):
        return Pitch(
            gap, None, "its slices are shifted within their plane; their place is left out"
        )
    return Pitch(float(np.linalg.norm(vector)), vector)


def _is_rotation(directions: np.ndarray) -> bool:
    return bool(np.abs(directions @ directions.T - np.eye(3)).max() <= CLOSE)


def _placed(place: np.ndarray, axes: np.ndarray, size: tuple[int, int, int]) -> Geometry:
    """Return the geometry of a grid whose index (H // 2, W // 2, S // 2) lies at a place in LPS."""
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = place - axes @ [n // 2 for n in size]
    return Geometry(LPS_TO_RAS @ affine)

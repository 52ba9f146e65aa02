"""Where the images of a DICOM volume lie: along their normal, and in the patient."""

from collections.abc import Sequence

import numpy as np

from kdmri.data.geometry import Geometry
from kdmri.data.readers.dicom_frames import Frame

UNEVEN = 0.05
"""Distances between slices that differ from their median by more than this share are a gap."""

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


def places(frames: Sequence[Frame]) -> list[float] | None:
    """Return distances in mm along the normal of the first frame; None where a file tells none."""
    if not all(_is_placed(frame) for frame in frames):
        return None
    normal = np.cross(frames[0].orientation[:3], frames[0].orientation[3:])
    length = np.linalg.norm(normal)
    if not length:
        return None
    return [float(normal @ frame.position / length) for frame in frames]


def geometry(frames: Sequence[Frame]) -> Geometry | None:
    """Compute the geometry of a volume (PS3.3 C.7.6.2.1.1).

    Args:
        frames: in the order of the slices.

    Returns:
        The geometry; the distance between slices is that between positions, the median one where
        they are not even, else SpacingBetweenSlices, else SliceThickness. Where orientation or
        position are not told it holds distances alone, and is None where these are not told.
    """
    found, spacing = places(frames), frames[0].spacing
    if not spacing or not all(np.isfinite(mm) and mm > 0 for mm in spacing[:2]):
        return None
    if found is None:
        if len(spacing) < 3:
            return None
        return Geometry.of_spacing((spacing[0], spacing[1], abs(spacing[2])))
    row, column = (_unit(frames[0].orientation[part]) for part in (slice(3), slice(3, 6)))
    positions = np.array([frame.position for frame in frames], dtype=float)
    if len(frames) > 1:
        steps = np.diff(positions, axis=0)
        at = int(np.argsort(np.diff(found))[(len(steps) - 1) // 2])
        step = (positions[-1] - positions[0]) / len(steps) if not gaps(found) else steps[at]
    elif len(spacing) > 2:
        step = _unit(np.cross(row, column)) * abs(spacing[2])
    else:
        return None
    affine = np.eye(4)
    affine[:3] = np.column_stack((column * spacing[0], row * spacing[1], step, positions[0]))
    affine[:3] = LPS_TO_RAS @ affine[:3]
    return Geometry(affine)


def gaps(found: Sequence[float]) -> list[int]:
    """Tell which distances between neighbouring places differ from the usual one, the median.

    Args:
        found: places of slices in mm along their normal, in order.

    Returns:
        Indices of the places before these distances; empty for an even stack.
    """
    distances = np.diff(found)
    if len(distances) < 2:
        return []
    usual = float(np.sort(distances)[(len(distances) - 1) // 2])
    return [int(n) for n in np.flatnonzero(np.abs(distances - usual) > UNEVEN * abs(usual))]


def _is_placed(frame: Frame) -> bool:
    numbers = (*frame.orientation, *frame.position)
    return (len(frame.orientation), len(frame.position)) == (6, 3) and bool(
        np.isfinite(numbers).all()
    )


def _unit(vector: Sequence[float] | np.ndarray) -> np.ndarray:
    return np.asarray(vector, dtype=float) / np.linalg.norm(vector)

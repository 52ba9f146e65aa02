"""Which acquisitions of ISMRMRD raw data make up an image, and which calibrate or tell noise."""

from collections.abc import Mapping
from functools import cache
from types import ModuleType

import numpy as np

from kdmri.errors import ConfigurationError

Heads = np.ndarray | np.void
"""Headers of acquisitions, or a single one, of which a question has a single answer."""

COUNTERS = ("contrast", "phase", "repetition", "set")
"""Counters whose values are images of their own; averages and segments are parts of one image."""

NOISE = "ACQ_IS_NOISE_MEASUREMENT"
NO_IMAGE = (
    NOISE,
    "ACQ_IS_NAVIGATION_DATA",
    "ACQ_IS_PHASECORR_DATA",
    "ACQ_IS_HPFEEDBACK_DATA",
    "ACQ_IS_DUMMYSCAN_DATA",
    "ACQ_IS_RTFEEDBACK_DATA",
    "ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA",
    "ACQ_IS_PHASE_STABILIZATION_REFERENCE",
    "ACQ_IS_PHASE_STABILIZATION",
)
ELSEWHERE = (
    "its calibration lines are on an encoding space of their own, and are left out; sensitivities "
    "are estimated from the centre of what was measured of the image"
)
"""What is said where `calibrates_elsewhere`."""

OTHERS = (
    "its lines on other encoding spaces than the first of its header are left out, and only what "
    "the first describes becomes images"
)
"""What is said where `images_elsewhere`."""

CALIBRATION, BOTH = "ACQ_IS_PARALLEL_CALIBRATION", "ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING"


def package() -> ModuleType:
    """Import ismrmrd, which knows the bits of the flags.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        import ismrmrd
    except ImportError as error:
        raise ConfigurationError(
            f"format=ismrmrd needs a package ({error}): pip install 'kdmri[prepare]'"
        ) from error
    return ismrmrd


def imaging(heads: np.ndarray, chosen: Mapping[str, int], shared: bool = False) -> np.ndarray:
    """Tell the acquisitions that make up an image from noise, calibration and other images.

    Args:
        heads: acquisition headers.
        chosen: values of counters.
        shared: whether calibration lines are part of the image, see `of_any_image`.

    Returns:
        bool, one for each acquisition.

    Raises:
        ValueError: there are none, or of several images, or of no coil or changing ones, or some
            are read out backwards.
    """
    found = of_any_image(heads, shared)
    for key, value in chosen.items():
        found &= heads["idx"][key] == value
    if not found.any():
        description = "".join(f", {key} {value}" for key, value in chosen.items())
        raise ValueError(f"holds no imaging data{description}")
    for key in COUNTERS:
        if np.ptp(heads["idx"][key][found]):
            raise ValueError(f"holds several values of {key}, but its header tells of one")
    coils = heads["active_channels"][found]
    if np.ptp(coils):
        raise ValueError(
            f"the number of coils changes between lines, from {coils.min()} to {coils.max()}"
        )
    if not coils[0]:
        raise ValueError("its lines are of no coil (active_channels is 0)")
    if (found & flagged(heads, "ACQ_IS_REVERSE")).any():
        raise ValueError(
            "lines are read out in both directions (EPI), which is not supported; correct and turn "
            "them before, as the vendor's converter can"
        )
    return found


def calibration(heads: np.ndarray, chosen: Mapping[str, int], image: np.ndarray) -> np.ndarray:
    """Tell the acquisitions that calibrate and are no part of an image.

    Args:
        heads: acquisition headers.
        chosen: values of counters; where calibration was acquired once for all values of one, that
            once counts.
        image: what `imaging` gave.

    Returns:
        bool, one for each acquisition.

    Raises:
        ValueError: they are of other coils than the image's.
    """
    found = calibrates(heads)
    for key in COUNTERS:
        if not found.any():
            return found
        values = heads["idx"][key]
        wanted = values == chosen.get(key, values[image][0])
        first = values == values[found].min()
        found &= wanted if (found & wanted).any() else first
    coils = heads["active_channels"][image][0]
    if (heads["active_channels"][found] != coils).any():
        others = np.unique(heads["active_channels"][found])
        raise ValueError(
            f"its calibration lines are of {', '.join(map(str, others))} coils, those of its image "
            f"of {coils}; leave the calibration lines out of the file"
        )
    return found


def calibrates_elsewhere(heads: Heads) -> bool:
    """Tell whether lines calibrate on another encoding space than the image's, its first."""
    found = flagged(heads, CALIBRATION) & (heads["encoding_space_ref"] != 0)
    return bool(np.any(found))


def images_elsewhere(heads: Heads) -> bool:
    """Tell whether lines of images are on another encoding space than the first."""
    found = (heads["encoding_space_ref"] != 0) & ~flagged(heads, CALIBRATION, BOTH, *NO_IMAGE)
    return bool(np.any(found))


def flagged(heads: Heads, *names: str) -> np.ndarray:
    """Tell which acquisitions have any of some flags, bool; names are the package's."""
    return np.asarray(heads["flags"] & _bits(*names) != 0)


def of_any_image(heads: Heads, shared: bool = False) -> np.ndarray:
    """Tell the acquisitions that make up images, bool, whatever their counters are.

    Args:
        heads: acquisition headers.
        shared: whether calibration lines are part of the image that they lie within.
    """
    return _on_its_grid(heads) & (
        flagged(heads, BOTH) | ~flagged(heads, CALIBRATION) | (calibrates(heads) & shared)
    )


def calibrates(heads: Heads) -> np.ndarray:
    """Tell the acquisitions that calibrate some image and are no part of one, bool."""
    found = _on_its_grid(heads) & flagged(heads, CALIBRATION) & ~flagged(heads, BOTH)
    return found & ~flagged(heads, "ACQ_IS_REVERSE")


def has_partitions(heads: np.ndarray) -> bool:
    """Tell a slab (3D) from slices by the heads of its acquisitions."""
    return bool(heads["idx"]["kspace_encode_step_2"].any())


def _on_its_grid(heads: Heads) -> np.ndarray:
    """Tell what was acquired on the image's grid and is not for something else."""
    return np.asarray(heads["encoding_space_ref"] == 0) & ~flagged(heads, *NO_IMAGE)


@cache
def _bits(*names: str) -> np.uint64:
    return np.uint64(sum(1 << (getattr(package(), name) - 1) for name in names))

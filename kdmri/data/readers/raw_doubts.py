"""What is odd in the lines of an image of raw data: it can be made, but perhaps wrongly."""

import numpy as np

from kdmri.data.readers.raw_geometry import CLOSE, DIRECTIONS
from kdmri.data.readers.raw_header import Encoding
from kdmri.data.readers.raw_lines import extent

MOVED = (
    "the lines of a slice have several positions or directions, of which its image has the first: "
    "did the patient move, or do several slices share a counter?"
)


def doubts(heads: np.ndarray, encoding: Encoding) -> list[str]:
    """Say in sentences what is odd.

    Args:
        heads: of the lines of an image, acquisition headers.
        encoding: of the scan.
    """
    samples = encoding.encoded.matrix[0]
    try:
        first, last = extent(heads[0], samples)
    except ValueError:  # which is told where lines are read
        return []
    found = [MOVED] if _moves(heads) else []
    if first > 0 and last < samples:
        found.append(
            f"its lines hold {last - first} samples in the middle of an encoded matrix of "
            f"{samples}, and count as of lower resolution; if oversampling was removed from them, "
            "encodedSpace in the header has to say so"
        )
    return found


def _moves(heads: np.ndarray) -> bool:
    """Tell whether lines of one slice lie at several places, or not in one plane."""
    values = np.concatenate([heads[key] for key in ("position", *DIRECTIONS)], axis=1)
    _, firsts, slices = np.unique(heads["idx"]["slice"], return_index=True, return_inverse=True)
    apart = np.abs(values.astype(np.float64) - values[firsts][slices])
    return bool((apart > CLOSE).any())

"""What a line may ask for, checked before anything is made as large as its header says."""

import numpy as np

from kdmri.data.readers.raw_header import Encoding
from kdmri.serve.protocol import RefusedError

MOST_COILS = 256
"""Twice as many as the largest arrays have; sensitivities take their square."""

MOST_PIXELS = 2**22
"""Of a slice; a network takes some hundred times as many bytes."""


def check_size(head: np.void, encoding: Encoding, most_bytes: int) -> None:
    """See that the k-space which a line belongs to is not too large.

    Args:
        head: of the line.
        encoding: of the scan.
        most_bytes: that k-space may take.

    Raises:
        RefusedError: it is; says what is allowed.
    """
    coils = int(head["active_channels"])
    columns, rows, partitions = encoding.encoded.matrix
    if coils > MOST_COILS:
        raise RefusedError(f"its lines are of {coils} coils; at most {MOST_COILS} are taken")
    if rows * columns > MOST_PIXELS:
        raise RefusedError(
            f"its encoded matrix is {columns}x{rows}; slices of at most {MOST_PIXELS:,} samples "
            "are taken"
        )
    size = 8 * coils * rows * columns * (partitions if _is_slab(head, encoding) else 1)
    if size > most_bytes:
        raise RefusedError(
            f"k-space of {coils} coils and an encoded matrix {columns}x{rows}x{partitions} takes "
            f"{size / 2**30:.3g} GiB, above limit_gib={most_bytes / 2**30:.3g}"
        )


def _is_slab(head: np.void, encoding: Encoding) -> bool:
    told = encoding.counts.get("kspace_encoding_step_2", 1) > 1
    return told or int(head["idx"]["kspace_encode_step_2"]) > 0

""".npy files that may come from others."""

from pathlib import Path
from tokenize import TokenError

import numpy as np

DAMAGED = (SyntaxError, TokenError, TypeError, ArithmeticError, MemoryError, RecursionError)
"""What NumPy raises for headers that it cannot read, beside OSError, ValueError and EOFError."""


def open_npy(path: Path) -> np.ndarray:
    """Map the array of a .npy file into memory; nothing is read, nor taken for what is not there.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no array, a pickled one, or damaged.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (*DAMAGED, EOFError) as error:
        raise ValueError(f"is no .npy file, or its header is damaged ({error})") from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise ValueError("is a .npz archive, not one array")
    return array

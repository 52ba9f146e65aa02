"""What a header declares, compared with what there is, before memory is taken for it."""

from pathlib import Path

from kdmri.data.hdf5 import LARGEST_RATIO


def check_declared(path: Path, declared: int) -> None:
    """Refuse an array that a file cannot hold.

    Args:
        path: the file; one that ends in .gz may hold more than its size.
        declared: bytes of the array by the file's header.

    Raises:
        ValueError: the file is too small.
    """
    size = path.stat().st_size
    if declared > size * (LARGEST_RATIO if path.suffix.lower() == ".gz" else 1):
        raise ValueError(
            f"its header declares {declared:,} bytes of values, which a file of {size:,} bytes "
            "cannot hold; is it cut off?"
        )

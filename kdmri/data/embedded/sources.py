"""Images of heads that packages ship."""

import importlib.util
from pathlib import Path

from kdmri.errors import DataError


def find_mni() -> Path:
    """Find the MNI152 T1 template inside the installed `nilearn`, without importing it.

    Raises:
        DataError: `nilearn` is not installed or does not carry the file.
    """
    spec = importlib.util.find_spec("nilearn")
    if spec is None or spec.origin is None:
        raise DataError(
            "dataset mni: the template lies in the package nilearn, which is not installed; "
            "run: pip install 'kdmri[demo]' (or pip install nilearn)"
        )
    name = "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
    path = Path(spec.origin).parent / "datasets" / "data" / name
    if not path.is_file():
        raise DataError(
            f"dataset mni: {path} is missing; name a NIfTI file with dataset.source=FILE"
        )
    return path


def find_colin27() -> Path:
    """Find Colin27 where Debian's package `mricron-data` puts it.

    Raises:
        DataError: the package is not installed.
    """
    path = Path("/usr/share/mricron/templates/ch2.nii.gz")
    if not path.is_file():
        raise DataError(
            f"dataset colin27: {path} is missing; run: apt-get install mricron-data, or name the "
            "file with dataset.source=/path/to/ch2.nii.gz"
        )
    return path

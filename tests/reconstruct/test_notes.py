"""What readers note reaches who reconstructs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.uid import CTImageStorage

from tests.data.readers.dicom_files import image, save, save_series
from tests.reconstruct.expected import Run


def test_left_out_files_and_gaps_are_told(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    stored = np.round(anatomy * 3000).astype(np.uint16)
    source = tmp_path / "scan"
    save_series(source, stored[:, :, :6])[3].unlink()
    save(image(stored[:, :, 9], SOPClassUID=CTImageStorage), source / "ct")
    result = reconstruct(checkpoint=checkpoint(), input=source, output="out", format="dicom")
    assert result.code == 0, result.err
    assert "left out 1 DICOM file(s): CT Image Storage (ct)" in result.out
    assert "slices are not evenly spaced: 5 mm between slices 3 and 4, but 2.5 mm" in result.out
    assert "1 volumes, 5 slices" in result.out

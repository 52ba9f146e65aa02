"""Scans for the server, written to files by the `ismrmrd` package, as scanners send them."""

from pathlib import Path

import ismrmrd
import numpy as np

from tests.data.readers.coils import centred_fft2, phased, sensitivities
from tests.data.readers.ismrmrd_files import Scan, header
from tests.data.readers.test_ismrmrd_coils import CALIBRATION, NOISE, white

ROWS, COLUMNS, COILS = 48, 40, 4
ENCODED = {"encoded": (COLUMNS, ROWS, 1), "recon": (COLUMNS, ROWS, 1)}
FIELDS = ((200, 240, 5), (200, 240, 5))
LAST = (ismrmrd.ACQ_LAST_IN_SLICE,)
MIDDLE = range(ROWS // 2 - 8, ROWS // 2 + 8)
DIRECTIONS = np.array([[0.0, 1, 0], [0, 0, -1], [-1, 0, 0]])
"""Sagittal: read, phase and slice direction in LPS."""


def image_rows(repetition: int = 0) -> list[int]:
    """Return the rows of the image: every third, another first one in each repetition."""
    return list(range((1 + repetition) % 3, ROWS, 3))


def kspace(anatomy: np.ndarray, slices: int, coils: int = COILS) -> np.ndarray:
    """K-space (S, coils, 48, 40), of another scale in each slice."""
    images = phased(anatomy, slice(8, 8 + slices))[:, None]
    maps = sensitivities(coils, (ROWS, COLUMNS)) if coils > 1 else np.ones((1, ROWS, COLUMNS))
    strength = 20 * (1 + np.arange(slices))[:, None, None, None]
    return centred_fft2(strength * images * maps)


def write(
    path: Path, anatomy: np.ndarray, slices: int = 1, coils: int = COILS, repetitions: int = 1
) -> Path:
    """Write noise, then slice by slice its embedded calibration and every third line.

    Slices lie 6 mm apart and are acquired in an order that is not theirs in space.
    """
    values = kspace(anatomy, slices, coils)
    counts = {"repetitions": repetitions, "slice": slices}
    xml = header(coils, **ENCODED, fields=FIELDS, calibration="embedded", **counts)
    with Scan(path, xml) as scan:
        scan.directions = DIRECTIONS
        if coils > 1:
            scan.line(white((coils, 400)) * 0.1, NOISE)
        for repetition in range(repetitions):
            for number in range(slices):
                scan.place = [10.0 + 6 * (2 * number % (slices | 1)), -20.0, 30.0]
                imaging = image_rows(repetition)
                rows = sorted({*imaging, *MIDDLE})
                for row in rows:
                    flags = LAST if row == rows[-1] else () if row in imaging else CALIBRATION
                    data = values[number, :, row] * (1 + repetition)
                    scan.line(data, flags, row=row, slice=number, repetition=repetition)
    return path

"""Scans for the server, as scanners send them, and as files of them for `kdmri reconstruct`."""

from dataclasses import dataclass, field
from pathlib import Path

import ismrmrd
import numpy as np

from tests.data.readers.coils import centred_fft2, phased, sensitivities
from tests.data.readers.ismrmrd_files import header
from tests.data.readers.ismrmrd_scans import CALIBRATION, NOISE, white

ROWS, COLUMNS, COILS = 48, 40, 4
ENCODED = {"encoded": (COLUMNS, ROWS, 1), "recon": (COLUMNS, ROWS, 1)}
FIELDS = ((200, 240, 5), (200, 240, 5))
LAST = (ismrmrd.ACQ_LAST_IN_SLICE,)
MIDDLE = range(ROWS // 2 - 8, ROWS // 2 + 8)
DIRECTIONS = np.array([[0.0, 1, 0], [0, 0, -1], [-1, 0, 0]])
"""Sagittal: read, phase and slice direction in LPS."""


@dataclass
class Raw:
    """What a file of raw data holds.

    Attributes:
        xml: its header.
        lines: its acquisitions.
    """

    xml: str
    lines: list[ismrmrd.Acquisition] = field(default_factory=list)

    def line(
        self,
        data: np.ndarray,
        flags: tuple[int, ...] = (),
        row: int = 0,
        place: tuple[float, float, float] = (0, 0, 0),
        directions: np.ndarray = DIRECTIONS,
        encoding_space_ref: int = 0,
        **idx: int,
    ) -> None:
        """Append (coils, samples); `idx` has the names of the format."""
        line = ismrmrd.Acquisition.from_array(np.ascontiguousarray(data, np.complex64))
        line.center_sample = data.shape[1] // 2
        line.position[:] = place
        line.encoding_space_ref = encoding_space_ref
        for name, vector in zip(("read", "phase", "slice"), directions, strict=True):
            getattr(line, f"{name}_dir")[:] = vector
        for flag in flags:
            line.set_flag(flag)
        for name, value in {"kspace_encode_step_1": row, **idx}.items():
            setattr(line.idx, name, value)
        self.lines.append(line)

    def store(self, path: Path) -> Path:
        with ismrmrd.Dataset(str(path)) as file:
            file.write_xml_header(self.xml.encode())
            for line in self.lines:
                file.append_acquisition(line)
        return path


def kspace(anatomy: np.ndarray, slices: int, coils: int = COILS) -> np.ndarray:
    """K-space (S, coils, 48, 40), of another scale in each slice."""
    images = phased(anatomy, slice(8, 8 + slices))[:, None]
    maps = sensitivities(coils, (ROWS, COLUMNS)) if coils > 1 else np.ones((1, ROWS, COLUMNS))
    strength = 20 * (1 + np.arange(slices))[:, None, None, None]
    return centred_fft2(strength * images * maps)


def image_rows(repetition: int = 0) -> list[int]:
    """Return the rows of the image: every third, another first one in each repetition."""
    return list(range((1 + repetition) % 3, ROWS, 3))


def scan_of(anatomy: np.ndarray, slices: int = 1, coils: int = COILS, repetitions: int = 1) -> Raw:
    """Scan noise, then slice by slice its embedded calibration and every third line.

    Slices lie 6 mm apart and are acquired in an order that is not theirs in space.
    """
    values = kspace(anatomy, slices, coils)
    counts = {"repetitions": repetitions, "slice": slices}
    scan = Raw(header(coils, **ENCODED, fields=FIELDS, calibration="embedded", **counts))
    if coils > 1:
        scan.line(white((coils, 400)) * 0.1, NOISE)
    for repetition in range(repetitions):
        for number in range(slices):
            place = (10.0 + 6 * (2 * number % (slices | 1)), -20.0, 30.0)
            imaging = image_rows(repetition)
            rows = sorted({*imaging, *MIDDLE})
            for row in rows:
                flags = LAST if row == rows[-1] else () if row in imaging else CALIBRATION
                data = values[number, :, row] * (1 + repetition)
                scan.line(data, flags, row, place, slice=number, repetition=repetition)
    return scan

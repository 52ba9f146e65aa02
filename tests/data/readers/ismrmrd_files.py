"""Files are written by the `ismrmrd` package, with the header's schema classes of its own.

Layout: Inati et al. 2017 (Magn Reson Med 77, 411) and ismrmrd.readthedocs.io: one acquisition a
line, its place in `idx` relative to the encoding limits' centre, noise and calibration by flags.
"""

from pathlib import Path

import ismrmrd
import numpy as np
from ismrmrd import xsd

from tests.data.readers.coils import phased

SAMPLES, ROWS = 80, 48
XYZ = tuple[int, int, int]
HIDDEN = "DOE^JANE"


def oversampled(anatomy: np.ndarray, count: int = 3) -> np.ndarray:
    """Slices (S, 48, 80), complex: anatomy fills the readout's double field of view too."""
    images = phased(anatomy, slice(10, 10 + 2 * count))
    sides = images[count:]
    return np.concatenate([sides[..., 20:], images[:count], sides[..., :20]], axis=-1)


def centre(images: np.ndarray) -> np.ndarray:
    return images[..., 20:60]


def space(matrix: XYZ, field: XYZ) -> xsd.encodingSpaceType:
    return xsd.encodingSpaceType(
        matrixSize=xsd.matrixSizeType(**dict(zip("xyz", matrix, strict=True))),
        fieldOfView_mm=xsd.fieldOfViewMm(**dict(zip("xyz", field, strict=True))),
    )


def limit(count: int, centre: int) -> xsd.limitType:
    return xsd.limitType(minimum=0, maximum=count - 1, center=centre)


def header(
    coils: int = 1,
    encoded: XYZ = (SAMPLES, ROWS, 1),
    recon: XYZ = (40, 48, 1),
    fields: tuple[XYZ, XYZ] = ((400, 240, 5), (200, 240, 5)),
    centres: tuple[int, int] = (ROWS // 2, 0),
    trajectory: str = "cartesian",
    repetitions: int = 1,
    calibration: str | None = None,
    vendor: str | None = None,
    **counts: int,
) -> str:
    """Write a header; `counts` are of other counters, such as `slice`."""
    limits = xsd.encodingLimitsType(
        kspace_encoding_step_1=limit(encoded[1], centres[0]),
        kspace_encoding_step_2=limit(encoded[2], centres[1]),
        repetition=limit(repetitions, 0),
        **{name: limit(count, 0) for name, count in counts.items()},
    )
    encoding = xsd.encodingType(
        encodedSpace=space(encoded, fields[0]),
        reconSpace=space(recon, fields[1]),
        encodingLimits=limits,
        trajectory=xsd.trajectoryType(trajectory),
    )
    if calibration is not None:
        encoding.parallelImaging = xsd.parallelImagingType(
            accelerationFactor=xsd.accelerationFactorType(
                kspace_encoding_step_1=3, kspace_encoding_step_2=1
            ),
            calibrationMode=xsd.calibrationModeType(calibration),
        )
    whole = xsd.ismrmrdHeader(
        subjectInformation=xsd.subjectInformationType(patientName=HIDDEN, patientID=HIDDEN),
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=63_500_000),
        acquisitionSystemInformation=xsd.acquisitionSystemInformationType(
            receiverChannels=coils, systemVendor=vendor
        ),
        encoding=[encoding],
    )
    return whole.toXML()


class Scan:
    """Writes a file line by line."""

    def __init__(self, path: Path, xml: str, group: str = "dataset") -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.dataset = ismrmrd.Dataset(str(path), group)
        self.dataset.write_xml_header(xml.encode())
        self.place: np.ndarray | list[float] = [0.0, 0.0, 0.0]
        self.directions = np.zeros((3, 3))

    def __enter__(self) -> "Scan":
        return self

    def __exit__(self, *_: object) -> None:
        self.dataset.close()

    def line(self, data: np.ndarray, flags: tuple[int, ...] = (), **idx: int) -> None:
        """Append (coils, samples); `idx` has the names of the format, `row` is its step 1.

        `place` (in LPS, mm) and `directions` (read, phase, slice) are those of the next lines.
        """
        acquisition = ismrmrd.Acquisition.from_array(np.ascontiguousarray(data, np.complex64))
        acquisition.position[:] = self.place
        for name, vector in zip(("read", "phase", "slice"), self.directions, strict=True):
            getattr(acquisition, f"{name}_dir")[:] = vector
        acquisition.center_sample = idx.pop("center_sample", data.shape[1] // 2)
        for name in ("discard_pre", "discard_post", "encoding_space_ref"):
            setattr(acquisition, name, idx.pop(name, 0))
        for flag in flags:
            acquisition.set_flag(flag)
        acquisition.idx.kspace_encode_step_1 = idx.pop("row", 0)
        for name, value in idx.items():
            setattr(acquisition.idx, name, value)
        self.dataset.append_acquisition(acquisition)

    def image(self, kspace: np.ndarray, **idx: int) -> None:
        """Append all lines of (coils, rows, samples), the last row first."""
        for row in reversed(range(kspace.shape[1])):
            self.line(kspace[:, row], (), row=row, **idx)

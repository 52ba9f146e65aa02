"""Siemens raw data by pymapvbvd, as lines that `raw_lines` takes, and their encoding."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from kdmri.data.readers.raw_geometry import CLOSE, facing
from kdmri.data.readers.raw_header import Encoding, Space
from kdmri.errors import ConfigurationError

COUNTERS = {"Eco": "contrast", "Phs": "phase", "Rep": "repetition", "Set": "set"}
"""Counters whose values are images of their own, by pymapvbvd's names."""

FREE = ("Ida", "Idb", "Idc", "Idd", "Ide")
"""Counters that each sequence uses as it likes."""

HEAD = np.dtype(
    [
        (
            "idx",
            [
                (name, "i4")
                for name in (
                    "slice",
                    "kspace_encode_step_1",
                    "kspace_encode_step_2",
                    *COUNTERS.values(),
                )
            ],
        ),
        *((name, "i4") for name in ("active_channels", "number_of_samples", "center_sample")),
        *((name, "i4") for name in ("discard_pre", "discard_post")),
        *((name, "f8", (3,)) for name in ("position", "read_dir", "phase_dir", "slice_dir")),
    ]
)
"""What is used of the heads of ISMRMRD's acquisitions, under its names."""

BLOCK = 256
"""Lines that are read at once."""

MDH_SAMPLES = {"vb": 28, "vd": 48}
"""Where a measurement data header has the numbers of samples and channels, in bytes."""


class Measured(NamedTuple):
    """Lines of one kind: image, reference or noise.

    Attributes:
        heads: of `HEAD`.
        source: pymapvbvd's object, which reads them.
    """

    heads: np.ndarray
    source: Any

    def read(self, chosen: np.ndarray) -> Iterator[Mapping[str, Any]]:
        """Yield acquisitions as `transformed` takes them: all samples, at the scale of the file."""
        places = np.flatnonzero(chosen)
        for first in range(0, len(places), BLOCK):
            block = places[first : first + BLOCK]
            values = _read(self.source, block)
            for number, place in enumerate(block):
                line = np.ascontiguousarray(values[:, :, number].T, np.complex64)
                yield {"head": self.heads[place], "data": line}


class Twix(NamedTuple):
    """What a file holds.

    Attributes:
        encoding: of the image.
        image: its lines.
        reference: calibration lines, those that belong to the image among them; None without.
        noise: samples of noise (coils, samples); None without.
        dwell: of the noise and of the image, in microseconds; 0 where unknown.
        protocol: values of the protocol by their keys, such as ("alTR", "0").
    """

    encoding: Encoding
    image: Measured
    reference: Measured | None
    noise: np.ndarray | None
    dwell: tuple[float, float]
    protocol: Mapping[tuple[str, ...], float | str]


def package() -> ModuleType:
    """Import pymapvbvd.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        import mapvbvd
    except ImportError as error:
        raise ConfigurationError(
            f"format=siemens needs a package ({error}): pip install 'kdmri[siemens]'"
        ) from error
    return mapvbvd


def is_twix(path: Path) -> bool:
    """Tell Siemens raw data (VB, or VD, VE and XA) from other files by their first bytes."""
    size = path.stat().st_size
    with path.open("rb") as file:
        first = np.frombuffer(file.read(32).ljust(32, b"\0"), "<u4")
    if first[0] < 10_000 and 0 < first[1] <= 64:
        begin, length = int(first[4]) | int(first[5]) << 32, int(first[6]) | int(first[7]) << 32
        return 0 < begin < size and 0 < length <= size
    return 32 < first[0] < size and 0 < first[1] <= 64


def read_twix(path: Path) -> Twix:
    """Read the headers of the last measurement of a file that holds images.

    Raises:
        ValueError: it holds none, is cut off, or has what is not supported; says why.
    """
    if not is_twix(path):
        raise ValueError("is no Siemens raw data (VB, VD, VE or XA), or cut off")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # a file that is cut off
        found = package().mapVBVD(str(path), quiet=True, removeOS=False)
    scans = found if isinstance(found, list) else [found]
    images = [scan for scan in scans if "image" in scan]
    if not images:
        raise ValueError("holds no image lines")
    scan = images[-1]
    image = _measured(scan["image"], path)
    if scan["image"].IsReflected.any():
        raise ValueError(
            "lines are read out in both directions (EPI), which is not supported; correct and turn "
            "them before, as siemens_to_ismrmrd's users do"
        )
    for name in FREE:
        if np.ptp(getattr(scan["image"], name)):
            raise ValueError(f"its lines differ in the counter {name}, whose meaning is not known")
    encoding = _encoding(scan["hdr"], scan["image"])
    _put_directions(image.heads, scan)
    noisy = [other for other in scans if "noise" in other]
    source = scan if "noise" in scan else noisy[-1] if noisy else None
    noise = None
    if source is not None:
        _measured(source["noise"], path)  # checks that all are of the same coils
        lines = _read(source["noise"], np.arange(len(source["noise"].memPos)))
        noise = np.moveaxis(lines, 1, 0).reshape(lines.shape[1], -1)
    return Twix(
        encoding=encoding,
        image=image._replace(heads=facing(image.heads, encoding)),
        reference=_measured(scan["refscan"], path) if "refscan" in scan else None,
        noise=noise,
        dwell=(0.0 if source is None else _dwell(source["hdr"]), _dwell(scan["hdr"])),
        protocol=scan["hdr"].get("MeasYaps", {}),
    )


def _read(source: Any, places: np.ndarray) -> np.ndarray:
    """Read lines (samples, coils, lines) at the scale of the file; shows no bar of its own."""
    with redirect_stderr(StringIO()):
        return source.readData(source.memPos[places])


def _measured(source: Any, path: Path) -> Measured:
    """Describe lines, and see that all are of the same size: pymapvbvd takes the first one's."""
    source.flagRemoveOS = False
    start = MDH_SAMPLES[source.softwareVersion]
    data = np.memmap(path, np.uint8, "r")
    places = source.memPos.astype(np.int64)[:, None] + np.arange(start, start + 4)
    sizes = np.ascontiguousarray(data[places]).view("<u2").astype(int)
    if (sizes != sizes[0]).any():
        differing = [sorted(set(column)) for column in sizes.T.tolist()]
        raise ValueError(
            f"its {source.dType} lines are of {differing[0]} samples and {differing[1]} coils; all "
            "must be of the same"
        )
    heads = np.zeros(len(source.memPos), HEAD)
    heads["number_of_samples"], heads["active_channels"] = sizes.T
    places_of = {
        "slice": "Sli",
        "kspace_encode_step_1": "Lin",
        "kspace_encode_step_2": "Par",
        **{name: key for key, name in COUNTERS.items()},
    }
    for name, key in places_of.items():
        heads["idx"][name] = getattr(source, key)
    heads["center_sample"] = source.centerCol
    heads["discard_pre"], heads["discard_post"] = source.cutOff.T
    heads["position"] = source.slicePos[:, :3]
    return Measured(heads, source)


def _encoding(header: Any, image: Any) -> Encoding:
    """Tell the matrix and the field of view by the protocol."""
    protocol = header.get("MeasYaps", {})

    def told(*keys: str, default: float | None = None) -> float:
        value = protocol.get(keys, default)
        if not isinstance(value, float | int):
            raise ValueError(f"its header has no {'.'.join(keys)}")
        return float(value)

    base = round(told("sKSpace", "lBaseResolution"))
    rows = round(told("sKSpace", "lPhaseEncodingLines"))
    is_slab = bool(np.ptp(image.Par)) or int(image.Par.max()) > 0
    slabs = round(told("sKSpace", "lPartitions")) if is_slab else 1
    samples = max(round(base * _oversampling(header)), int(image.NCol))
    more = [
        1 + told("sKSpace", key, default=0.0)
        for key in ("dPhaseOversamplingForDialog", "dSliceOversamplingForDialog")
    ]
    more[1] = more[1] if is_slab else 1.0
    first = ("sSliceArray", "asSlice", "0")
    readout, phase, thickness = (
        told(*first, key, default=0.0) for key in ("dReadoutFOV", "dPhaseFOV", "dThickness")
    )
    centres = image.centerLin, image.centerPar
    if any(np.ptp(centre) for centre in centres):
        raise ValueError("its lines do not agree where the zero frequency is")
    return Encoding(
        trajectory="cartesian",
        encoded=Space(
            (samples, rows, slabs),
            (readout * samples / base, phase * more[0], thickness * more[1]),
        ),
        recon=Space(
            (base, round(rows / more[0]), round(slabs / more[1])), (readout, phase, thickness)
        ),
        centre=(int(centres[0][0]), int(centres[1][0])),
        counts={},
        forward=True,
    )


def _put_directions(heads: np.ndarray, scan: Any) -> None:
    """Tell directions (LPS) by the quaternion of each line: columns are phase, readout, slice.

    Where there is none, the protocol tells that of the slice alone.
    """
    from scipy.spatial.transform import Rotation  # takes a while, and only these files need it

    quaternions = scan["image"].slicePos[:, 3:]  # the scalar part is first
    if not np.allclose(np.linalg.norm(quaternions, axis=1), 1, atol=CLOSE):
        heads["slice_dir"] = _normal(scan["hdr"])
        return
    turned = Rotation.from_quat(np.roll(quaternions, -1, axis=1)).as_matrix()
    for column, name in enumerate(("phase_dir", "read_dir", "slice_dir")):
        heads[name] = turned[..., column]


def _normal(header: Any) -> list[float]:
    """Return the slice direction (LPS) of the protocol, which leaves zeros out."""
    protocol = header.get("MeasYaps", {})
    place = ("sSliceArray", "asSlice", "0", "sNormal")
    found = [protocol.get((*place, key), 0.0) for key in ("dSag", "dCor", "dTra")]
    return [float(value) if isinstance(value, float | int) else 0.0 for value in found]


def _oversampling(header: Any) -> float:
    value = header.get("Meas", {}).get("flReadoutOSFactor", 2.0)
    return float(value) if isinstance(value, float | int) and value >= 1 else 2.0


def _dwell(header: Any) -> float:
    """Return the time of a sample in microseconds; the protocol has nanoseconds."""
    value = header.get("MeasYaps", {}).get(("sRXSPEC", "alDwellTime", "0"), 0.0)
    return float(value) / 1000 if isinstance(value, float | int) else 0.0

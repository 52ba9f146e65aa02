"""The XML header of ISMRMRD raw data, which fastMRI ships too."""

from typing import NamedTuple
from xml.etree import ElementTree

from kdmri.data.geometry import FAR

Triple = tuple[float, float, float]


CALIBRATION = "{*}parallelImaging/{*}calibrationMode"
VENDOR = "{*}acquisitionSystemInformation/{*}systemVendor"


class Space(NamedTuple):
    """A grid of the header, in the order x (readout), y (phase encoding), z (slice or partition).

    Attributes:
        matrix: number of samples.
        field_of_view: mm.
    """

    matrix: tuple[int, int, int]
    field_of_view: Triple


class IncompleteHeaderError(ValueError):
    """No XML, or XML that lacks what an ISMRMRD header has to tell."""


class Encoding(NamedTuple):
    """How the (first) encoding of a scan fills k-space.

    Attributes:
        trajectory: "cartesian", "radial", ...
        encoded: what was sampled, oversampling included.
        recon: what is meant to be shown.
        centre: y and z step of frequency zero; None where the header does not say.
        counts: how many values a counter such as "contrast" or "repetition" takes.
        calibration: how calibration lines were acquired, such as "embedded"; empty where the header
            does not say.
        noise_bandwidth: power that the receiver's filter leaves of white noise, 1 where unknown.
        forward: whether directions are those of images by the forward transform, see
            `kdmri.data.readers.raw_geometry.facing`.
    """

    trajectory: str
    encoded: Space
    recon: Space
    centre: tuple[int | None, int | None]
    counts: dict[str, int]
    noise_bandwidth: float = 1.0
    calibration: str = ""
    forward: bool = False

    @property
    def shares_calibration(self) -> bool:
        """Whether calibration lines are of the image's own acquisition, and fill its k-space."""
        return self.calibration in ("embedded", "interleaved")


def parse_header(xml: bytes | str) -> Encoding:
    """Read an ISMRMRD header (schema: ismrmrd.github.io, Inati et al. 2017).

    Nothing about the patient or the site is read.

    Raises:
        IncompleteHeaderError: no XML in UTF-8, or it has no encoding, or lacks a part of it.
        ValueError: it has a document type: none is needed, and its entities could
            read files or fill the memory.
    """
    root = parse_xml(xml)
    encoding = root.find("{*}encoding")
    if encoding is None:
        raise IncompleteHeaderError("its XML header has no `encoding`")
    limits = {
        element.tag.rpartition("}")[2]: element
        for element in encoding.iterfind("{*}encodingLimits/*")
    }
    return Encoding(
        trajectory=_text(encoding, "trajectory").lower(),
        encoded=_space(encoding, "encodedSpace"),
        recon=_space(encoding, "reconSpace"),
        centre=(
            _limit(limits.get("kspace_encoding_step_1"), "center"),
            _limit(limits.get("kspace_encoding_step_2"), "center"),
        ),
        counts={name: (_limit(limits[name], "maximum") or 0) + 1 for name in limits},
        noise_bandwidth=_noise_bandwidth(root),
        calibration=(encoding.findtext(CALIBRATION) or "").strip().lower(),
        forward="siemens" in (root.findtext(VENDOR) or "").lower(),
    )


def check_cartesian(encoding: Encoding) -> None:
    """See that lines lie on a grid.

    Raises:
        ValueError: they do not.
    """
    if encoding.trajectory != "cartesian":
        raise ValueError(f"its trajectory is {encoding.trajectory}; only cartesian is read")


def parse_xml(xml: bytes | str) -> ElementTree.Element:
    """Parse an ISMRMRD header; raises what `parse_header` raises."""
    if not isinstance(xml, str | bytes):
        raise ValueError(f"its XML header is no text, but {type(xml).__name__}")
    text = xml if isinstance(xml, str) else xml.decode("utf-8", errors="replace")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("its XML header declares a document type or entities, which is refused")
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise IncompleteHeaderError(f"its XML header is damaged ({error})") from error


def voxel_size(header: Encoding, axis: int, samples: int | None = None) -> float:
    """Compute the size of a voxel in mm, at the resolution of the scan.

    Args:
        header: fields of view and matrices.
        axis: 0, 1 or 2 for x, y or z.
        samples: number of samples that a file really has along the axis; None: as encoded.

    Returns:
        NaN where the header does not tell it.
    """
    encoded, recon = header.encoded, header.recon
    samples = samples or encoded.matrix[axis]
    spaces = [(encoded, samples), (recon, recon.matrix[axis])]
    if samples == recon.matrix[axis] != encoded.matrix[axis]:
        spaces.reverse()  # cropped to what is shown before the file was written
    for space, count in spaces:
        if 0 < space.field_of_view[axis] < FAR:
            return space.field_of_view[axis] / count
    return float("nan")


def _space(encoding: ElementTree.Element, name: str) -> Space:
    matrix = _triple(encoding, f"{name}/matrixSize")
    if min(matrix) < 0.5:
        raise ValueError(f"its XML header has {name}/matrixSize {matrix}")
    x, y, z = (round(samples) for samples in matrix)
    return Space((x, y, z), _triple(encoding, f"{name}/fieldOfView_mm"))


def _triple(encoding: ElementTree.Element, place: str) -> Triple:
    x, y, z = (float(_text(encoding, f"{place}/{axis}")) for axis in "xyz")
    return x, y, z


def _text(encoding: ElementTree.Element, place: str) -> str:
    text = encoding.findtext("/".join(f"{{*}}{name}" for name in place.split("/")))
    if text is None:
        raise IncompleteHeaderError(f"its XML header has no encoding/{place}")
    return text.strip()


def _noise_bandwidth(root: ElementTree.Element) -> float:
    text = root.findtext("{*}acquisitionSystemInformation/{*}relativeReceiverNoiseBandwidth")
    value = float(text) if text else 1.0
    return value if 0 < value <= 1 else 1.0


def _limit(limit: ElementTree.Element | None, name: str) -> int | None:
    text = None if limit is None else limit.findtext(f"{{*}}{name}")
    return None if text is None else round(float(text))

"""What the protocol of Siemens raw data tells of a scan, as a header of ISMRMRD."""

from xml.etree import ElementTree

from kdmri.data.readers.twix import Twix

IN_MS = {"TR": "alTR", "TE": "alTE", "TI": "alTI"}
"""Times of ISMRMRD's header in ms, and the protocol's lists in microseconds."""

NUCLEUS = ("sTXSPEC", "asNucleusInfo", "0")


def as_ismrmrd(twix: Twix) -> str:
    """Write timing, flip angle, field, frequency, name and thickness as XML.

    The person is not in the protocol, and is not looked for elsewhere. A list of several values is
    left out, since nothing here tells which image has which.
    """
    root = ElementTree.Element("ismrmrdHeader")
    if name := _text(twix, "tProtocolName"):
        _put(root, "measurementInformation/protocolName", name)
    _put(root, "acquisitionSystemInformation/systemVendor", "SIEMENS")
    field = _number(twix, "sProtConsistencyInfo", "flNominalB0")
    if field:
        _put(root, "acquisitionSystemInformation/systemFieldStrength_T", f"{field:g}")
    frequency = _number(twix, *NUCLEUS, "lFrequency")
    if frequency and _text(twix, *NUCLEUS, "tNucleus") == "1H":
        _put(root, "experimentalConditions/H1resonanceFrequency_Hz", f"{frequency:.0f}")
    for ours, theirs in IN_MS.items():
        if (microseconds := _only(twix, theirs)) is not None:
            _put(root, f"sequenceParameters/{ours}", f"{microseconds / 1000:g}")
    if (degrees := _only(twix, "adFlipAngleDegree")) is not None:
        _put(root, "sequenceParameters/flipAngle_deg", f"{degrees:g}")
    for name, space in (
        ("encodedSpace", twix.encoding.encoded),
        ("reconSpace", twix.encoding.recon),
    ):
        _put(root, f"encoding/{name}/matrixSize/z", str(space.matrix[2]))
        _put(root, f"encoding/{name}/fieldOfView_mm/z", f"{space.field_of_view[2]:g}")
    return ElementTree.tostring(root, encoding="unicode")


def _put(root: ElementTree.Element, place: str, text: str) -> None:
    node = root
    for name in place.split("/"):
        found = node.find(name)
        node = ElementTree.SubElement(node, name) if found is None else found
    node.text = text


def _number(twix: Twix, *keys: str) -> float | None:
    value = twix.protocol.get(keys)
    return float(value) if isinstance(value, float | int) else None


def _text(twix: Twix, *keys: str) -> str:
    value = twix.protocol.get(keys)
    return value.strip('"') if isinstance(value, str) else ""


def _only(twix: Twix, name: str) -> float | None:
    """Return the first value of a list; None where there is none, or another that differs."""
    values = {
        value for key, value in twix.protocol.items() if key[0] == name and len(key) == 2 and value
    }
    found = _number(twix, name, "0")
    return found if found is not None and values <= {found} else None

"""Lines as scanners send them: cut short, mixed among slices, among lines of something else."""

from collections.abc import Callable
from pathlib import Path

import ismrmrd
import numpy as np
import pytest
from ismrmrd.serialization import ConfigFile

from tests.serve.clients import connected, scanned
from tests.serve.conftest import Serve
from tests.serve.scans import COILS, COLUMNS, Raw, scan_of
from tests.serve.test_images import pixels, reconstruct

__all__ = ["reconstruct"]  # a fixture

ECHO = 12
"""Samples that an asymmetric echo lacks at its beginning."""


def with_asymmetric_echoes(scan: Raw) -> Raw:
    """Cut all lines but the noise."""
    cut = Raw(scan.xml, scan.lines[:1])
    for line in scan.lines[1:]:
        cut.line(line.data[:, ECHO:], (), line.idx.kspace_encode_step_1)
        cut.lines[-1].center_sample = COLUMNS // 2 - ECHO
        cut.lines[-1]._head.flags = line.flags
    return cut


def with_lines_of_something_else(scan: Raw) -> Raw:
    """Put lines of other numbers of samples among those of the image."""
    others = Raw(scan.xml)
    others.line(np.ones((COILS, 17)), (ismrmrd.ACQ_IS_NAVIGATION_DATA,), 3)
    others.line(np.ones((COILS, 4000)), (ismrmrd.ACQ_IS_RTFEEDBACK_DATA,), 5)
    return Raw(scan.xml, scan.lines[:5] + others.lines + scan.lines[5:])


def with_lines_twice(scan: Raw) -> Raw:
    """Send all lines once more before the last one, as averages that no header tells of."""
    return Raw(scan.xml, [*scan.lines[:-1], *scan.lines[1:]])


@pytest.mark.parametrize(
    "change", [with_asymmetric_echoes, with_lines_of_something_else, with_lines_twice]
)
def test_images_are_those_of_the_file(
    serve: Serve,
    student: Path,
    reconstruct: Callable[..., list[np.ndarray]],
    tmp_path: Path,
    scan: Raw,
    change: Callable[[Raw], Raw],
) -> None:
    changed = change(scan)
    path = changed.store(tmp_path / "scan.h5")
    answer = scanned(serve(student).address, changed)
    assert not answer.errors
    np.testing.assert_array_equal(pixels(answer.images), reconstruct(path, student))


def test_slices_whose_lines_are_interleaved_are_those_sent_one_by_one(
    serve: Serve, student: Path, anatomy: np.ndarray
) -> None:
    scan = scan_of(anatomy, slices=3)
    address = serve(student).address
    expected = {image.slice: image.data for image in scanned(address, scan).images}
    lines = sorted(scan.lines[1:], key=lambda x: (x.idx.kspace_encode_step_1, x.idx.slice))
    answer = scanned(address, Raw(scan.xml, scan.lines[:1] + lines))
    assert [image.slice for image in answer.images] == [0, 1, 2]
    for image in answer.images:
        np.testing.assert_array_equal(image.data, expected[image.slice])


def test_header_in_latin_1_is_read(serve: Serve, student: Path, scan: Raw) -> None:
    person = "<subjectInformation><patientName>Müller</patientName></subjectInformation>"
    xml = scan.xml.replace('encoding="ascii"', 'encoding="ISO-8859-1"')
    found = xml.replace("<encoding>", f"{person}<encoding>", 1).encode("latin-1") + b"\0"
    assert b'encoding="ISO-8859-1"' in found
    assert "Müller".encode("latin-1") in found
    with connected(serve(student).address) as client:
        client.send(ConfigFile("kdmri"))
        client.send_bytes(b"\3\0" + len(found).to_bytes(4, "little") + found)
        client.send(*scan.lines)
        client.close()
        answer = client.rest()
    assert (len(answer.images), answer.errors) == (1, [])

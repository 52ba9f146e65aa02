"""Sensitivities that are estimated before a slice is complete; its images are the same."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from kdmri.data.readers.raw_header import parse_header
from kdmri.models.trained import open_checkpoint
from kdmri.physics import Espirit
from kdmri.serve.answers import Answers
from kdmri.serve.anticipating import Remembered, anticipate
from kdmri.serve.choices import Choice
from kdmri.serve.gathering import Gathering, Unit
from kdmri.serve.protocol import HEAD, Line
from kdmri.serve.reconstructing import Sinks, reconstruct
from tests.serve.scans import MIDDLE, Raw, scan_of

CPU = torch.device("cpu")


class Counted:
    """An estimate that counts how often it was asked."""

    def __init__(self, estimate: Espirit) -> None:
        self.estimate, self.count, self.used = estimate, 0, estimate.used

    def __call__(self, kspace: Tensor, centre: tuple[int, int]) -> Tensor:
        self.count += 1
        return self.estimate(kspace, centre)


class Bench:
    """A network with a counted estimate, and a scan of it that is gathered line by line."""

    def __init__(self, student: Path, scan: Raw) -> None:
        self.trained = open_checkpoint(student)
        assert isinstance(self.trained.estimate, Espirit)
        self.estimate = Counted(self.trained.estimate)
        self.remembering = replace(self.trained, estimate=Remembered(self.estimate))
        self.encoding = parse_header(scan.xml)
        self.gathering = Gathering(self.encoding, by_volume=False, centre=len(MIDDLE))
        self.lines = [
            Line(np.frombuffer(bytes(line.getHead()), HEAD)[0], line.data.ravel())
            for line in scan.lines
        ]

    def image(self, unit: Unit, ahead: bool) -> np.ndarray:
        found = []
        choice = Choice("a", self.remembering if ahead else self.trained, "")
        sinks = Sinks(lambda image: found.append(image.data[0, 0]), lambda *_: None)
        reconstruct(unit, Answers(choice, self.encoding), 1, CPU, sinks)
        return found[0]


@pytest.fixture
def bench(student: Path, scan: Raw) -> Bench:
    return Bench(student, scan)


def test_a_slice_whose_centre_came_before_needs_no_more_sensitivities(bench: Bench) -> None:
    early = None
    for number, line in enumerate(bench.lines):
        units = list(bench.gathering.add(line))
        found = bench.gathering.early()
        if found is not None:
            assert early is None, "once a slice"
            assert number < len(bench.lines) - 1
            early = found
            anticipate(early, bench.remembering, CPU)
            assert bench.estimate.count == 1
    assert early is not None
    (unit,) = units
    image = bench.image(unit, ahead=True)
    assert bench.estimate.count == 1
    np.testing.assert_array_equal(image, bench.image(unit, ahead=False))


def test_centre_that_changes_after_it_was_looked_at_is_estimated_anew(bench: Bench) -> None:
    """A line of the centre comes twice, as averages do."""
    for line in bench.lines[:-1]:
        list(bench.gathering.add(line))
    early = bench.gathering.early()
    assert early is not None
    anticipate(early, bench.remembering, CPU)
    central = next(x for x in bench.lines if x.head["idx"]["kspace_encode_step_1"] == MIDDLE[3])
    list(bench.gathering.add(central._replace(data=2 * central.data)))
    (unit,) = bench.gathering.add(bench.lines[-1])
    image = bench.image(unit, ahead=True)
    assert bench.estimate.count == 2
    np.testing.assert_array_equal(image, bench.image(unit, ahead=False))


def test_half_of_a_slice_that_cannot_be_read_is_told_when_it_is_complete(
    student: Path, anatomy: np.ndarray
) -> None:
    scan = scan_of(anatomy)
    scan.lines[3].data[:] = np.nan
    bench = Bench(student, scan)
    for line in bench.lines[:-1]:
        list(bench.gathering.add(line))
    early = bench.gathering.early()
    assert early is not None
    anticipate(early, bench.remembering, CPU)
    assert bench.estimate.count == 0

"""A served slice: from its last line to its image, over a connection of this machine."""

import socket
import time
from pathlib import Path
from typing import BinaryIO

import ismrmrd
import numpy as np
import torch
from ismrmrd import xsd
from ismrmrd.serialization import ConfigFile, ProtocolDeserializer, ProtocolSerializer

from kdmri.benchmark.setting import Setting
from kdmri.benchmark.works import Work
from kdmri.data.readers.base import SourceVolume
from kdmri.data.readers.coil_slices import Wanted
from kdmri.data.readers.raw_header import parse_header
from kdmri.data.readers.raw_scan import RawScan
from kdmri.models import build_network
from kdmri.models.trained import Trained
from kdmri.physics import Espirit, to_complex
from kdmri.reconstruct.coil_feeding import feed_coils
from kdmri.serve.choices import Choice, Choices
from kdmri.serve.protocol import HEAD
from kdmri.serve.server import Server
from kdmri.serve.session import Settings

COILS = 8
ACCELERATION = 4
CENTRE = 24
"""Lines of the centre that are all measured."""

ESTIMATE = Espirit(calibration=24, kernel=6, threshold=0.02, crop=0.8)
MOST = 2**16 - 1
"""Repetitions that a header can tell of."""

QUIET = 0.2
"""Seconds that the server has to take in what was sent before the last line."""


class Served(Work):
    """A slice of several coils sent to `kdmri serve`; what is timed begins with its last line.

    Attributes:
        image: that came back last, float32 (H, W).
    """

    image: np.ndarray

    def __init__(self, setting: Setting, role: str, folder: Path) -> None:
        device = torch.device(setting.device)
        settings = Settings(
            by_volume=False,
            integers=False,
            most_bytes=2**30,
            timeout=600,
            batch_size=1,
            device=device,
        )
        one = choice(setting, role, folder)
        self._server = Server(Choices({one.name: one}, single=True), settings, "127.0.0.1", 0, 1)
        self._socket = socket.create_connection(self._server.address)
        self._out: BinaryIO = self._socket.makefile("wb")
        self._serializer = ProtocolSerializer(self._out)
        self._in = self._socket.makefile("rb")
        self._incoming = ProtocolDeserializer(self._in).deserialize()
        self._lines, self._repetition = lines(setting), 0
        self._send(ConfigFile("benchmark"), xsd.CreateFromDocument(header(setting)))

    def prepare(self) -> None:
        """Send all lines of a slice but the last, as the next repetition."""
        for line in self._lines:
            line.idx.repetition = self._repetition
        self._repetition += 1
        self._send(*self._lines[:-1])
        time.sleep(QUIET)

    def run(self) -> None:
        """Send the last line and wait for the image."""
        self._send(self._lines[-1])
        while not isinstance(found := next(self._incoming), ismrmrd.Image):
            pass
        self.image = found.data[0, 0]

    def close(self) -> None:
        """End the connection and the server."""
        self._serializer.close()
        for each in (self._in, self._out, self._socket):
            each.close()
        self._server.stop()
        self._server.join()

    def _send(self, *messages: object) -> None:
        for message in messages:
            self._serializer.serialize(message)
        self._out.flush()


class Alone(Work):
    """The sensitivities and the network of the same slice, without anything around them.

    Attributes:
        image: that was made last, complex64 (H, W).
    """

    image: torch.Tensor

    def __init__(self, setting: Setting, role: str, folder: Path) -> None:
        one, sent = choice(setting, role, folder), lines(setting)
        heads = np.array([np.frombuffer(bytes(line.getHead()), HEAD)[0] for line in sent], HEAD)
        scan = RawScan(
            heads,
            lambda places: ({"head": heads[n], "data": sent[n].data} for n in places),
            parse_header(header(setting)),
        )
        wanted = Wanted(coils=False, undersampled=True)
        items = list(scan.slices({"repetition": 0}, wanted))
        volume = SourceVolume("scan", "", (Path("scan"),), lambda: iter(items), shown=scan.shown)
        trained = one.trained
        assert trained.estimate is not None
        device = torch.device(setting.device)
        with torch.inference_mode():
            feed = feed_coils(volume, trained, trained.estimate, None, 1, 1, device)
            assert feed is not None
            self._inputs = next(feed.batches(1, device)).inputs
        self._scale = feed.scale
        self._network, self._estimate, self._centre = trained.network, trained.estimate, feed.centre

    def run(self) -> None:
        """Estimate and reconstruct."""
        image, kspace, mask, _ = self._inputs
        with torch.inference_mode():
            sensitivities = self._estimate(kspace, self._centre)
            found = to_complex(self._network(image, kspace, mask, sensitivities))
            self.image = (self._scale * found)[0, 0].cpu()


def choice(setting: Setting, role: str, folder: Path) -> Choice:
    """Build "teacher" or "student" for complex images of several coils, with random weights."""
    network = build_network({**setting.networks[role], "channels": 2}).to(setting.device)
    path = folder / role
    trained = Trained(path, network.eval(), setting.task, estimate=ESTIMATE)
    return Choice(role, trained, "")


def header(setting: Setting) -> str:
    """Write the header of a scan."""
    height, width = setting.size

    def space() -> xsd.encodingSpaceType:
        return xsd.encodingSpaceType(
            matrixSize=xsd.matrixSizeType(x=width, y=height, z=1),
            fieldOfView_mm=xsd.fieldOfViewMm(x=width, y=height, z=5),
        )

    limits = xsd.encodingLimitsType(
        kspace_encoding_step_1=xsd.limitType(minimum=0, maximum=height - 1, center=height // 2),
        repetition=xsd.limitType(minimum=0, maximum=MOST, center=0),
    )
    encoding = xsd.encodingType(
        encodedSpace=space(),
        reconSpace=space(),
        encodingLimits=limits,
        trajectory=xsd.trajectoryType.CARTESIAN,
    )
    conditions = xsd.experimentalConditionsType(H1resonanceFrequency_Hz=63_500_000)
    return xsd.ismrmrdHeader(experimentalConditions=conditions, encoding=[encoding]).toXML()


def lines(setting: Setting) -> list[ismrmrd.Acquisition]:
    """Measure a disc by coils around it: every fourth line and all of the centre."""
    height, width = setting.size
    rows, columns = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
    angles = 2 * np.pi * np.arange(COILS)[:, None, None] / COILS
    distances = (rows - 1.2 * np.sin(angles)) ** 2 + (columns - 1.2 * np.cos(angles)) ** 2
    images = (rows**2 + columns**2 < 0.6) * np.exp(-distances + 1j * angles)
    noise = np.random.default_rng(setting.seed).normal(size=(2, *images.shape))
    kspace = np.fft.fftshift(
        np.fft.fft2(np.fft.ifftshift(images, (-2, -1)), norm="ortho"), (-2, -1)
    )
    kspace += 1e-3 * (noise[0] + 1j * noise[1])
    middle = range(height // 2 - CENTRE // 2, height // 2 + CENTRE // 2)
    measured = sorted({*range(height // 2 % ACCELERATION, height, ACCELERATION), *middle})
    found = []
    for row in measured:
        line = ismrmrd.Acquisition.from_array(kspace[:, row].astype(np.complex64))
        line.center_sample, line.idx.kspace_encode_step_1 = width // 2, row
        found.append(line)
    found[-1].set_flag(ismrmrd.ACQ_LAST_IN_SLICE)
    return found

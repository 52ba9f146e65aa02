"""What is measured on k-space of several coils, beside other programs and a plain network.

Steps, which load Lightning, are imported where they are built: what an arm loads counts in its
memory, and inference needs none of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from kdmri.benchmark.peers import BartImage, BartMaps, FastmriVarNet, no_bart, no_fastmri
from kdmri.benchmark.scan import Size, kspace_of
from kdmri.benchmark.setting import Setting
from kdmri.benchmark.works import Work
from kdmri.data.companions import centre_scale
from kdmri.models import DCCNN, VarNet
from kdmri.physics import Espirit, ifft2, magnitude, to_channels
from kdmri.physics.coils import combine
from kdmri.physics.espirit import calibration_size

BRAIN, FASTMRI = (8, 230, 180), (15, 640, 368)
ESPIRIT = Espirit(calibration=24, kernel=6, threshold=0.02, crop=0.8)


class SuiteImage(Work):
    """Undersampled k-space of a slice to its image by the published student, maps included."""

    def __init__(self, size: Size) -> None:
        self._size = size
        self._network = DCCNN(5, 3, channels=2).eval()

    def prepare(self) -> None:
        """Scan another slice."""
        self.chosen = kspace_of(self._size)

    @torch.inference_mode()
    def run(self) -> None:
        """Find the mask, the scale and sensitivities; reconstruct."""
        kspace = self.chosen
        mask = (kspace != 0).any(dim=1, keepdim=True).float()
        centre = ESPIRIT.used(calibration_size(mask[0, 0]))
        kspace = kspace / centre_scale(kspace, centre)
        maps = ESPIRIT(kspace, centre)
        image = to_channels(combine(ifft2(kspace), maps), 2)
        magnitude(self._network(image, kspace, mask, maps)).numpy()


class SuiteMaps(Work):
    """Sensitivities of a slice."""

    def __init__(self, size: Size) -> None:
        self._size = size

    def prepare(self) -> None:
        """Scan another slice."""
        self.chosen = kspace_of(self._size)

    def run(self) -> None:
        """Estimate."""
        ESPIRIT(self.chosen, (24, 24))


class SuiteVarNet(Work):
    """A slice through the VarNet of 12 cascades and 18 channels."""

    def __init__(self, size: Size) -> None:
        self._size, self._network = size, VarNet().eval()

    def prepare(self) -> None:
        """Scan another slice."""
        kspace = kspace_of(self._size)
        image = torch.zeros(1, 2, *self._size[1:])
        self.chosen = image, kspace, (kspace[:, :1] != 0).float()

    @torch.inference_mode()
    def run(self) -> None:
        """Reconstruct it; the image of the input is not used."""
        self._network(*self.chosen)


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        suite: builds the work here, for a setting and a folder.
        other: builds that of the arm it is compared with.
        missing: says why the other arm cannot be run here; None where it can.
    """

    suite: Callable[[Setting, Path], Work]
    other: Callable[[Setting, Path], Work]
    missing: Callable[[], str | None] = lambda: None


def _sized(kind: Callable[[Size], Work], size: Size) -> Callable[[Setting, Path], Work]:
    return lambda setting, folder: kind(size)


def _placed(kind: Callable[[Size, Path], Work], size: Size) -> Callable[[Setting, Path], Work]:
    return lambda setting, folder: kind(size, folder)


def _step(name: str, **given: bool) -> Callable[[Setting, Path], Work]:
    """Build a class of `coil_steps`, by its name."""

    def build(setting: Setting, folder: Path) -> Work:
        from kdmri.benchmark import coil_steps

        made: Work = getattr(coil_steps, name)(setting, folder, **given)
        return made

    return build


ROWS = {
    "coils to image / bart": Row(_sized(SuiteImage, BRAIN), _placed(BartImage, BRAIN), no_bart),
    "coils to image / fastmri": Row(
        _sized(SuiteImage, BRAIN), _sized(FastmriVarNet, BRAIN), no_fastmri
    ),
    "sensitivities, 8 coils / bart": Row(
        _sized(SuiteMaps, BRAIN), _placed(BartMaps, BRAIN), no_bart
    ),
    "sensitivities, 15 coils / bart": Row(
        _sized(SuiteMaps, FASTMRI), _placed(BartMaps, FASTMRI), no_bart
    ),
    "varnet, 8 coils / fastmri": Row(
        _sized(SuiteVarNet, BRAIN), _sized(FastmriVarNet, BRAIN), no_fastmri
    ),
    "varnet, 15 coils / fastmri": Row(
        _sized(SuiteVarNet, FASTMRI), _sized(FastmriVarNet, FASTMRI), no_fastmri
    ),
    "coil student step / plain": Row(
        _step("SuiteCoilStep", taught=False), _step("PlainStep", taught=False)
    ),
    "coil kd step / plain": Row(
        _step("SuiteCoilStep", taught=True), _step("PlainStep", taught=True)
    ),
    "coil student step, files / memory": Row(_step("FilesStep"), _step("MemoryStep")),
}
"""What is compared with what, by the names of works; sizes are in the docs (performance.md)."""

GROUP = "several coils"
"""A word for all rows."""


def arms(work: str, against: str | None) -> tuple[list[str], str | None]:
    """Return the arms of a row that can run here, and why the other one is left out, if it is."""
    if against is None:
        return ["suite"], None
    reason = ROWS[work].missing()
    return (["suite"], f"{work}: {reason}") if reason else (["suite", "reference"], None)


def build(setting: Setting, arm: str, work: str, folder: Path) -> Work:
    """Build the work of an arm, "suite" or "reference", of a row."""
    row = ROWS[work]
    return (row.suite if arm == "suite" else row.other)(setting, folder)

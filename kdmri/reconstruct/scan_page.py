"""A page of the slices of a scan: reference, input and reconstruction, in one file."""

import base64
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from math import prod

import numpy as np

from kdmri.analysis.tables import Table
from kdmri.data.geometry import Spacing
from kdmri.errors import KdmriError
from kdmri.files import reserve
from kdmri.viewer.html import assemble, colours, cost, viewer_values
from kdmri.viewer.strips import Place, Strip, ViewerContent, error_limit, make_strip, spread

MOST_BYTES = 64 * 2**20
"""Pictures take no more of a page; of larger scans some slices are shown, evenly spread."""

TARGET = "Target"


class Recorder:
    """Keeps the images of a volume on disk until all are there."""

    def __init__(self, volume: str, count: int, spacing: Spacing | None) -> None:
        """Begin a volume.

        Args:
            volume: its name.
            count: number of its slices.
            spacing: distances in mm between rows, columns and slices; None where unknown.
        """
        self.volume, self.count = volume, count
        self._aspect = 1.0 if spacing is None else spacing[0] / spacing[1]
        self._values: np.ndarray | None = None
        self._labels: list[str] = []
        self._written = 0

    def add(self, images: Mapping[str, np.ndarray]) -> None:
        """Take the next slices, magnitudes (B, H, W) by label, of one scale."""
        self._labels = list(images)
        block = np.stack(list(images.values()), axis=1).astype(np.float32)
        if self._values is None:
            self._values = _spooled((self.count, *block.shape[1:]))
        self._values[self._written : self._written + len(block)] = block
        self._written += len(block)

    def recorded(self) -> "Recorded":
        """Measure and code all slices."""
        assert self._values is not None
        has_target = TARGET in self._labels
        judged = self._values[:, self._labels.index(TARGET)] if has_target else self._values
        largest = float(judged.max())
        largest = largest if largest > 0 else 1.0
        strips, errors = [], []
        some = set(spread(range(self.count), 3))
        for number, images in enumerate(self._values):
            panes = dict(zip(self._labels, images.astype(float), strict=True))
            target = panes.pop(TARGET, None)
            place = Place(self.volume, number, self.count)
            strips.append(make_strip(place, target, panes, largest))
            if target is not None and number in some:
                errors.append(np.abs(panes["Reconstruction"] - target) / largest)
        size = self._values.shape[-2:]
        return Recorded(tuple(self._labels), size, strips, error_limit(errors), self._aspect)


def _spooled(shape: tuple[int, ...]) -> np.ndarray:
    """Return float32 zeros that lie in a file without a name, not in memory."""
    try:
        with tempfile.TemporaryFile() as file:
            reserve(file, 4 * prod(shape))
            return np.memmap(file, np.float32, "w+", shape=shape)
    except OSError as error:
        raise KdmriError(
            f"page: its slices need {4 * prod(shape) / 2**20:.1f} MiB in {tempfile.gettempdir()} "
            f"({error.strerror}); TMPDIR=FOLDER names another place"
        ) from error


@dataclass
class Recorded:
    """The slices of a volume as a page holds them.

    Attributes:
        labels: of the panes, the target first where there is one.
        size: (H, W).
        strips: in order.
        limit: error that is shown brightest at first.
        aspect: height of a pixel over its width.
    """

    labels: tuple[str, ...]
    size: tuple[int, int]
    strips: list[Strip]
    limit: float
    aspect: float = 1.0


@dataclass
class ScanPage:
    """A page that volumes are added to once they are written.

    Attributes:
        volumes: in order.
    """

    volumes: list[Recorded] = field(default_factory=list)

    def render(self, summary: str, notes: Sequence[str], figures: Table | None) -> str:
        """Write the page.

        Args:
            summary: a line on network and checkpoint.
            notes: how inputs came about.
            figures: of volumes that have a target.
        """
        groups: dict[object, list[Recorded]] = {}
        for one in self.volumes:
            groups.setdefault((one.labels, one.size, round(one.aspect, 3)), []).append(one)
        share = MOST_BYTES // len(groups)
        viewers, strips = [], list[str]()
        for group in groups.values():
            first = group[0]
            every = [strip for one in group for strip in one.strips]
            kept = _that_fit(every, share)
            pictures = ViewerContent(
                panes=list(first.labels),
                has_target=TARGET in first.labels,
                size=first.size,
                reduction=1,
                limit=max(one.limit for one in group),
                strips=kept,
                slices=len(every),
                aspect=first.aspect,
            )
            title = f"{first.size[0]}x{first.size[1]}, {', '.join(first.labels).lower()}"
            viewers.append({"title": title, "viewer": viewer_values(pictures, len(strips))})
            strips += [_encoded(strip) for strip in kept]
        table: dict[str, object] = {"header": [], "rows": [], "notes": []}
        if figures is not None:
            table = {"header": figures.header, "rows": figures.rows, "notes": figures.notes}
        values = {
            "summary": summary,
            "notes": list(notes),
            "viewers": viewers,
            "figures": table,
            "colours": colours(),
        }
        folder = files(__package__) / "assets"
        return assemble("kdmri reconstruction", folder, "scan.html", ("scan.js",), values, strips)


def _that_fit(strips: list[Strip], most: int) -> list[Strip]:
    """Leave out slices, evenly, until the others fit."""
    count = len(strips)
    while True:
        kept = spread(strips, count)
        needed = sum(cost(_encoded(strip)) for strip in kept)
        if needed <= most or count == 1:
            return kept
        count = max(1, min(count - 1, int(count * most / needed)))


def _encoded(strip: Strip) -> str:
    return base64.b64encode(strip.webp).decode()

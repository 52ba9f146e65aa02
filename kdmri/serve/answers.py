"""Images as messages of the protocol: where they lie, what they are, and what made them."""

from dataclasses import dataclass
from functools import cache
from importlib.metadata import version

import ismrmrd
import numpy as np

from kdmri.data.readers.raw_header import Encoding, voxel_size
from kdmri.data.readers.raw_scan import Place
from kdmri.serve.choices import Choice
from kdmri.serve.protocol import printable

SERIES = 1
HEADROOM = 16
"""int16 reaches to this many times the scale of the first image."""

LARGEST = 2**15 - 1


@dataclass
class Answers:
    """Makes the image messages of a scan.

    Attributes:
        choice: network that made the images.
        encoding: of the scan.
        integers: send int16 with one slope for the whole scan, stated in each image, and not
            float32.
        slope: of the integers; 0 before the first image.
        clipped: pixels that int16 could not hold.
        count: images so far.
    """

    choice: Choice
    encoding: Encoding
    integers: bool = False
    slope: float = 0.0
    clipped: int = 0
    count: int = 0

    def message(self, values: np.ndarray, place: Place, scale: float, note: str) -> ismrmrd.Image:
        """Make a message.

        Args:
            values: magnitudes (H, W), float32, in the units of the raw data; rows are phase
                encoding steps, columns the readout.
            place: where the image lies.
            scale: what the network's input was divided by.
            note: how the input came about.
        """
        self.count += 1
        pixels = self._integers(values, scale) if self.integers else values
        head = ismrmrd.AcquisitionHeader.from_buffer_copy(place.head.tobytes())
        image = ismrmrd.Image.from_array(
            np.ascontiguousarray(pixels),
            acquisition=head,
            transpose=False,
            slice=place.number,
            image_type=ismrmrd.IMTYPE_MAGNITUDE,
            image_index=self.count % 2**16,
            image_series_index=SERIES,
            field_of_view=self._field_of_view(pixels.shape, place),
            position=tuple(
                float(p + place.offset * d)
                for p, d in zip(place.head["position"], place.head["slice_dir"], strict=True)
            ),
        )
        image.meta = self._meta(place, scale, note)
        return image

    def _integers(self, values: np.ndarray, scale: float) -> np.ndarray:
        self.slope = self.slope or HEADROOM * scale / LARGEST
        rounded = np.rint(values / np.float32(self.slope))
        self.clipped += int((rounded > LARGEST).sum())
        return np.clip(rounded, 0, LARGEST).astype(np.int16)

    def _field_of_view(self, size: tuple[int, ...], place: Place) -> tuple[float, float, float]:
        """Compute it in mm, of columns, rows and slice; 0 where the header does not tell."""
        counts = (size[1], size[0], 1)
        sides = [
            n * voxel_size(self.encoding, axis) for n, axis in zip(counts, place.axes, strict=True)
        ]
        x, y, z = (side if np.isfinite(side) else 0.0 for side in sides)
        return x, y, z

    def _meta(self, place: Place, scale: float, note: str) -> ismrmrd.Meta:
        label = printable(self.choice.trained.label())
        rescale = {"RescaleSlope": repr(self.slope), "RescaleIntercept": "0"}
        return ismrmrd.Meta(
            {
                "DataRole": "Image",
                "ImageProcessingHistory": ["KDMRI", label],
                # Clients make names of files of it.
                "SeriesDescription": f"kdmri_{printable(self.choice.name).replace('/', '_')}",
                "ImageComment": printable(note),
                "WindowCenter": f"{scale / 2:.9g}",
                "WindowWidth": f"{scale:.9g}",
                "ImageRowDir": [f"{x:.9g}" for x in place.head["read_dir"]],
                "ImageColumnDir": [f"{x:.9g}" for x in place.head["phase_dir"]],
                **(rescale if self.integers else {}),
                "KdmriNetwork": label,
                "KdmriCheckpoint": printable(self.choice.name),
                "KdmriSha256": self.choice.digest,
                "KdmriVersion": _version(),
                "KdmriScale": repr(scale),
            }
        )


@cache
def _version() -> str:
    """Return the version; to look for it takes as long as a small network."""
    return version("kdmri")

"""A head in slabs as several simulated coils see it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from kdmri.data.attributes import Attribute
from kdmri.data.coils import KSPACE, MEASURED_AGAINST
from kdmri.data.cropping import fit_centre
from kdmri.data.embedded.slabs import HeadInSlabs
from kdmri.data.geometry import Geometry
from kdmri.data.layout import TARGET, write_slices
from kdmri.data.simulated_coils import draw_sensitivities
from kdmri.data.simulation import FOREGROUND, Simulation
from kdmri.errors import ConfigurationError


@dataclass(frozen=True)
class HeadWithCoils(HeadInSlabs):
    """Gives the head a phase and coils around it, and writes what each coil would measure.

    What a real scan has besides, such as motion, folding and coils with a cable that is loose, is
    not in it.

    Attributes:
        coils: loops around the head.
        snr: mean magnitude of a slice's foreground over the standard deviation of the real part of
            the noise of a combined image; or its range, of which each slice draws the logarithm.
        size: (H, W) that slices are cropped or padded to; None keeps them.
        seed: of coils, phase and noise, together with slab and slice.
        measured_against: what slices are measured against, see `kdmri.data.coils`; "" the combined
            image.
    """

    coils: int
    snr: float | tuple[float, float]
    size: tuple[int, int] | None
    seed: int
    measured_against: str = ""

    def _fitted(self, geometry: Geometry, slab: np.ndarray, first: int) -> Geometry:
        return geometry.shifted(0, 0, first).fitted(slab.shape[:2], self._size_of(slab))

    def _write(self, path: Path, slab: np.ndarray, attributes: dict[str, Attribute]) -> None:
        fitted = fit_centre(slab, self._size_of(slab))
        phased = Simulation(phase=True, snr=None, seed=self.seed)
        name = f"{path.parent.name}_{path.stem}"
        images = enumerate(np.moveaxis(fitted, -1, 0))
        seen = (self._seen(phased, image, name, number) for number, image in images)
        if self.measured_against:
            attributes = attributes | {MEASURED_AGAINST: self.measured_against}
        write_slices(path, seen, attributes)

    def _seen(
        self, phased: Simulation, image: np.ndarray, name: str, index: int
    ) -> dict[str, np.ndarray]:
        """Return what the coils measure of a slice (H, W), and the image they give together."""
        number = crc32(f"{name}/{index}".encode())
        seed = self.seed * 1_000_003 + number
        maps = draw_sensitivities((image.shape[0], image.shape[1]), self.coils, [seed])[0]
        foreground = image[image > FOREGROUND]
        draws = np.random.default_rng((self.seed, number))
        noise = draws.standard_normal((2, *maps.shape))
        low, high = self._snr_range
        snr = low if low == high else float(np.exp(draws.uniform(np.log(low), np.log(high))))
        deviation = float(foreground.mean() if foreground.size else FOREGROUND) / snr
        clean = np.fft.fft2(maps.numpy() * phased(image, name, index), norm="ortho")
        kspace = (clean + deviation * (noise[0] + 1j * noise[1])).astype(np.complex64)
        images = np.fft.ifft2(kspace, norm="ortho")
        combined = np.sqrt((np.abs(images) ** 2).sum(axis=0)).astype(np.float32)
        return {TARGET: combined, KSPACE: kspace}

    @property
    def _snr_range(self) -> tuple[float, float]:
        """Smallest and largest SNR.

        Raises:
            ConfigurationError: they are no such numbers.
        """
        pair = (self.snr, self.snr) if isinstance(self.snr, int | float) else tuple(self.snr)
        if len(pair) != 2 or not 0 < pair[0] <= pair[1]:
            raise ConfigurationError(
                f"dataset.build.snr={self.snr}: must be above 0, a number or two in order"
            )
        return pair[0], pair[1]

    def _size_of(self, slab: np.ndarray) -> tuple[int, int]:
        size = self.size or slab.shape
        return size[0], size[1]

    def _settings(self) -> dict[str, Any]:
        own: dict[str, Any] = {
            "coils": self.coils,
            "snr": self.snr if isinstance(self.snr, int | float) else list(self.snr),
            "size": self.size and list(self.size),
            "seed": self.seed,
        }
        if self.measured_against:
            own["measured_against"] = self.measured_against
        return super()._settings() | own

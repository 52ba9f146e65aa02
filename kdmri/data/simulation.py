"""Phase and noise for sources that give magnitudes only, so that k-space is not too easy.

The k-space of a real-valued image is symmetric: a line that is measured tells its mirror line as
well. A real scan has phase and noise, and does not.
"""

from dataclasses import dataclass
from zlib import crc32

import numpy as np

FOREGROUND = 0.1
"""Share of the largest magnitude above which a pixel counts as signal."""


@dataclass(frozen=True)
class Simulation:
    """Makes complex images from magnitudes in [0, 1]; the same for a seed, volume and slice.

    Attributes:
        phase: smooth random phase with a range of about 2*pi over the image, drifting slowly from
            slice to slice.
        snr: mean magnitude of the slice's foreground over the standard deviation of complex
            Gaussian noise in its real and in its imaginary part; None adds no noise.
        seed: of both.
    """

    phase: bool = False
    snr: float | None = None
    seed: int = 42

    @property
    def active(self) -> bool:
        """Whether anything is simulated."""
        return self.phase or self.snr is not None

    def __call__(self, image: np.ndarray, volume: str, index: int) -> np.ndarray:
        """Bring a magnitude slice (H, W) to complex64 (H, W).

        Args:
            image: magnitude, largest value of its volume 1.
            volume: name of the volume; volumes differ in phase and noise.
            index: of the slice.
        """
        key = (self.seed, crc32(volume.encode()))
        result = image.astype(np.complex64)
        if self.phase:
            result = result * np.exp(1j * self._phase(image.shape, key, index)).astype(np.complex64)
        if self.snr is not None:
            foreground = image[image > FOREGROUND]
            signal = float(foreground.mean()) if foreground.size else FOREGROUND
            noise = np.random.default_rng((*key, index)).standard_normal((2, *image.shape))
            result = result + (signal / self.snr * (noise[0] + 1j * noise[1])).astype(np.complex64)
        return result

    @staticmethod
    def _phase(shape: tuple[int, ...], key: tuple[int, int], index: int) -> np.ndarray:
        from scipy.ndimage import zoom  # takes a while, and only simulated phase needs it

        coarse = np.random.default_rng(key).uniform(-np.pi, np.pi, size=(2, 4, 4))
        field = coarse[0] + np.sin(index / 20) * coarse[1] / 2
        return zoom(field, (shape[0] / 4, shape[1] / 4), order=3, mode="nearest", grid_mode=True)

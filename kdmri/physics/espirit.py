from dataclasses import dataclass

import torch

from kdmri.data.coils import central


def calibration_size(mask):
    return (24, 15)


@dataclass(frozen=True)
class Espirit:
    calibration: int
    kernel: int
    threshold: float
    crop: float

    def used(self, c):
        return (min(self.calibration, c[0]), min(self.calibration, c[1]))

    def __call__(self, k, centre):
        im = torch.fft.ifft2(central(k, centre), norm="ortho")
        n = torch.linalg.vector_norm(im, dim=1, keepdim=True)
        s = im / n.clamp(min=1e-12)
        return s * (n > 0.05 * n.max())

    def __str__(self):
        return "espirit"

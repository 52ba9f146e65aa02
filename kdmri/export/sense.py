"""CG-SENSE without complex numbers, which a network may go on from."""

import torch
from torch import Tensor

from kdmri.export.pairs import Pair, SharedSamples, projected, transform
from kdmri.models.dc_cnn import START_PENALTY


class SenseStart:
    """CG-SENSE of a few iterations, as `kdmri.physics.sense` does it, that cascades go on from."""

    def __init__(self, measured: SharedSamples, axis: int | None, iterations: int) -> None:
        """Take what the call fills, the undersampled axis of whole lines, and how far to go."""
        self._measured, self._axis, self._iterations = measured, axis, iterations

    def __call__(self) -> Tensor:
        """Return the image, float32 (B, 2, H, W), of the call's k-space."""
        residual = torch.cat(self._measured.image, dim=1)
        image, direction, power = torch.zeros_like(residual), residual, _power(residual)
        for _ in range(self._iterations):
            seen = self._seen(direction) + START_PENALTY * direction
            step = _ratio(power, (direction * seen).sum(dim=(1, 2, 3), keepdim=True))
            image = image + step * direction
            residual = residual - step * seen
            before, power = power, _power(residual)
            direction = residual + _ratio(power, before) * direction
        return image

    def _seen(self, image: Tensor) -> Tensor:
        """Return S^H F^-1 M F S x of an image x, (B, 2, H, W)."""
        own = self._measured.expanded(Pair(image[:, :1], image[:, 1:]))
        if self._axis is not None:
            return torch.cat(
                self._measured.combined(projected(self._axis, self._measured.projection, own)), 1
            )
        kspace, mask = transform(own, inverse=False), self._measured.mask
        measured = Pair(mask * kspace.real, mask * kspace.imag)
        return torch.cat(self._measured.combined(transform(measured, inverse=True)), dim=1)


def _power(image: Tensor) -> Tensor:
    return image.square().sum(dim=(1, 2, 3), keepdim=True)


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    """Divide, with 0 where both have vanished."""
    return torch.where(below > 0, above / below, torch.zeros_like(above))

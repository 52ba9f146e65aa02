"""CG-SENSE without complex numbers, which a network may go on from and close with."""

import torch
from torch import Tensor

from kdmri.export.pairs import Pair, SharedSamples, projected, transform
from kdmri.models.dc_cnn import closing_weight
from kdmri.physics.sense import START_PENALTY, conjugate_gradients


class RealSense:
    """What `kdmri.physics.sense` does, on images (B, 2, H, W) of real and imaginary part."""

    def __init__(self, measured: SharedSamples, axis: int | None) -> None:
        """Take what the call fills, and the undersampled axis of whole lines, if they are that."""
        self._measured, self._axis = measured, axis

    def start(self, iterations: int) -> Tensor:
        """Return the image that cascades go on from."""
        residual = torch.cat(self._measured.image, dim=1)
        return conjugate_gradients(
            torch.zeros_like(residual),
            residual,
            lambda image: self._seen(image) + START_PENALTY * image,
            iterations,
        )

    def closed(self, image: Tensor, noise: Tensor, iterations: int) -> Tensor:
        """Weigh an image (B, 2, H, W) against samples of a noise variance (B, 1, 1, 1)."""
        weight = closing_weight(image, noise)
        residual = torch.cat(self._measured.image, dim=1) - self._seen(image)
        return conjugate_gradients(
            image,
            residual,
            lambda direction: self._seen(direction) + weight * direction,
            iterations,
        )

    def _seen(self, image: Tensor) -> Tensor:
        """Return S^H F^-1 M F S x of an image x, (B, 2, H, W)."""
        own = self._measured.expanded(Pair(image[:, :1], image[:, 1:]))
        if self._axis is not None:
            seen = projected(self._axis, self._measured.projection, own)
            return torch.cat(self._measured.combined(seen), dim=1)
        kspace, mask = transform(own, inverse=False), self._measured.mask
        measured = Pair(mask * kspace.real, mask * kspace.imag)
        return torch.cat(self._measured.combined(transform(measured, inverse=True)), dim=1)

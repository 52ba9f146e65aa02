"""What is compared: magnitudes as they are shown."""

from torch import Tensor

from kdmri.data.batch import Batch
from kdmri.physics.fourier import magnitude


def seen(image: Tensor, batch: Batch) -> Tensor:
    """Return the magnitude of images (B, C, H, W) as it is shown, float32 (B, 1, h, w)."""
    return magnitude(batch.shown(image))


def truth(batch: Batch) -> Tensor:
    """Return what reconstructions of a batch are measured against, float32 (B, 1, h, w).

    It is the magnitude of the target, unless the volume has an image of its own for that, such as
    fastMRI's `reconstruction_rss`.
    """
    if batch.coils is not None and batch.coils.image is not None:
        return batch.coils.image
    return seen(batch.target, batch)

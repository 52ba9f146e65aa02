"""What every classical reconstruction gives: an image, at a weight of its regularisation."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from kdmri.data.batch import Batch


class ClassicalMethod(ABC):
    """Reconstructs images of several coils by their sensitivities, slice by slice alike.

    Attributes:
        label: in tables.
        weights: of the regularisation, from which one is chosen.
    """

    label: ClassVar[str]
    weights: ClassVar[Sequence[float]]

    @property
    def missing(self) -> str | None:
        """What it needs and is not there, in words; None where it can be used."""
        return None

    @abstractmethod
    def __call__(self, batch: Batch, weight: float) -> Tensor:
        """Reconstruct a batch.

        Args:
            batch: of several coils.
            weight: of the regularisation.

        Returns:
            float32 (B, 2, H, W), real and imaginary part.
        """

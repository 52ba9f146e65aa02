"""CG-SENSE: least squares with a quadratic penalty (Pruessmann et al. 2001)."""

from torch import Tensor

from kdmri.classical.method import ClassicalMethod
from kdmri.data.batch import Batch
from kdmri.physics import to_channels
from kdmri.physics.sense import conjugate_gradient_sense

ITERATIONS = 30


class ConjugateGradientSense(ClassicalMethod):
    """Minimises ||M F S x - y||^2 + weight ||x||^2 by conjugate gradients."""

    label = "CG-SENSE"
    weights = (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)

    def __call__(self, batch: Batch, weight: float) -> Tensor:
        """Reconstruct; see `ClassicalMethod`."""
        assert batch.coils is not None
        image = conjugate_gradient_sense(
            batch.kspace,
            batch.mask,
            batch.coils.sensitivities,
            iterations=ITERATIONS,
            regularisation=weight,
        )
        return to_channels(image, 2)

"""Training on the fully sampled image alone: the teacher, and the student without a teacher."""

from torch import Tensor

from kdmri.data.batch import Batch
from kdmri.training.base import TrainingMethod


class Supervised(TrainingMethod):
    """Minimises L1(network, target); see `TrainingMethod` for intermediate supervision."""

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean absolute error over pixels and channels, and that of inner cascades."""
        inputs = (batch.image, batch.kspace, batch.mask)
        loss = self.supervised(*self.network.features(*inputs, self.output_taps), batch.target)
        self.log_loss("train/l1", loss.detach(), batch, progress=True)
        return loss

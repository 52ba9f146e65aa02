"""Training on the fully sampled image alone: the teacher, and the student without a teacher."""

from torch import Tensor

from kdmri.data.batch import Batch
from kdmri.training.base import TrainingMethod


class Supervised(TrainingMethod):
    """Minimises L1(network, target); see `TrainingMethod` for intermediate supervision."""

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean absolute error over pixels and channels, and that of inner cascades."""
        output, behind = self.observe(batch, self.output_taps)
        assert output is not None
        loss = self.supervised(output, behind, batch.target)
        self.log_loss("train/l1", loss.detach(), batch, progress=True)
        return loss

"""Training on the fully sampled image alone: the teacher, and the student without a teacher."""

from torch import Tensor
from torch.nn import functional as F

from kdmri.data.batch import Batch
from kdmri.training.base import TrainingMethod


class Supervised(TrainingMethod):
    """Minimises L1(network, target)."""

    def loss(self, batch: Batch) -> Tensor:
        """Give the mean absolute error over pixels and channels."""
        loss = F.l1_loss(self(batch), batch.target)
        self.log_loss("l1", loss.detach(), batch, progress=True)
        return loss

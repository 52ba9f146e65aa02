"""Training on the fully sampled image alone: the teacher, and the student without a teacher."""

from torch import Tensor

from kdmri.data.batch import Batch
from kdmri.training.base import TrainingMethod


class Supervised(TrainingMethod):
    """Minimises the distance of network and target, L1 unless another is chosen.

    See `TrainingMethod` for intermediate supervision.
    """

    def loss(self, batch: Batch) -> Tensor:
        """Return the distance of output and target, and that of inner cascades."""
        output, behind = self.observe(batch, self.output_taps)
        assert output is not None
        loss = self.supervised(output, behind, batch)
        name = "l1" if self.image_loss.is_published else "loss"
        self.log_loss(f"train/{name}", loss.detach(), batch, progress=True)
        return loss

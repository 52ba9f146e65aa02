"""What the distance of two images is, in every term that compares images."""

from torch import Tensor, nn
from torch.nn import functional as F

from kdmri.data.batch import Batch
from kdmri.metrics.slices import structural_similarity
from kdmri.physics import seen, truth


class ImageLoss(nn.Module):
    """Weighted sum of the mean absolute difference and of 1 - SSIM; published is the former alone.

    SSIM is that of the metrics, of magnitudes as they are shown, with the largest magnitude of the
    volume for its range; fastMRI's VarNet learns from it (Sriram et al. 2020), as `SSIMLoss` there.

    Attributes:
        l1: weight of the mean absolute difference.
        ssim: weight of 1 - SSIM.
        magnitude: whether that difference is of magnitudes as they are shown, cropped to what the
            scanner's own image has; else of real and imaginary part, of all that was acquired.
    """

    def __init__(self, l1: float = 1.0, ssim: float = 0.0, magnitude: bool = False) -> None:
        """See above."""
        super().__init__()
        self.l1, self.ssim, self.magnitude = l1, ssim, magnitude

    @property
    def is_published(self) -> bool:
        """Whether it is the mean absolute difference alone."""
        return self.l1 == 1 and not (self.ssim or self.magnitude)

    def forward(self, output: Tensor, target: Tensor, batch: Batch) -> Tensor:
        """Compare images of a batch.

        Args:
            output: what is learnt, float32 (B, C, H, W).
            target: what it shall be, likewise.
            batch: that they belong to; it knows what is shown, and the range of each volume.

        Returns:
            A scalar, the mean over all items.
        """
        if not (self.ssim or self.magnitude):
            return self.l1 * F.l1_loss(output, target)
        shown = seen(output.float(), batch)
        # The batch's own target stands for what the tables compare with, which is magnitude alone.
        wanted = truth(batch) if target is batch.target else seen(target.float(), batch)
        loss = shown.new_zeros(())
        if self.l1:
            pair = (shown, wanted) if self.magnitude else (output, target)
            loss = loss + self.l1 * F.l1_loss(*pair)
        if self.ssim:
            similarity = structural_similarity(shown[:, 0], wanted[:, 0], batch.data_range)
            loss = loss + self.ssim * (1 - similarity.mean().float())
        return loss

"""VDSR: one deep CNN that predicts what the low-resolution image lacks (Kim et al. 2016)."""

from kdmri.models.cascaded import CascadedNetwork
from kdmri.models.dc_cnn import ConvolutionalCascade


class VDSR(CascadedNetwork):
    """The published teacher (11 convolutions) and student (7) for super-resolution.

    3x3 convolutions with ReLU between them; the input is added to what they give.
    """

    def __init__(
        self, depth: int, width: int = 64, channels: int = 1, consistency: bool = False
    ) -> None:
        """Build the network, weights as in the paper, so that it begins close to its input.

        With PyTorch's own initialisation activations fade over 11 convolutions, and the teacher
        does not get away from its input.

        Args:
            depth: convolutions, at least 2.
            width: channels between convolutions.
            channels: 1 for magnitude images, 2 for complex ones.
            consistency: close the network with data consistency; the published one is open.

        Raises:
            ValueError: a size is too small, or `channels` is neither 1 nor 2.
        """
        if depth < 2 or width < 1 or channels not in (1, 2):
            raise ValueError(
                f"VDSR(depth={depth}, width={width}, channels={channels}): needs depth >= 2, "
                "width >= 1, channels 1 or 2"
            )
        cascade = ConvolutionalCascade(
            depth, width, channels, residual=True, consistent=consistency
        )
        cascade.begin_close_to_input()
        super().__init__([cascade], channels)

"""The student of several coils as one would write it down; see `kdmri.benchmark.reference`.

Convolutions are float32 in PyTorch's default layout, data consistency is a full complex transform
of every coil in double precision (Schlemper et al. 2017; Pruessmann et al. 2001). Nothing here is
shared with the suite.
"""

import torch
from torch import Tensor, nn


class ReferenceCoilDCCNN(nn.Module):
    """DC-CNN for complex images of several coils; weights of the suite's load by their names."""

    def __init__(self, cascades: int, depth: int, width: int = 32) -> None:
        """Build `cascades` CNNs of `depth` convolutions, `width` channels between them."""
        super().__init__()
        channels = [2, *[width] * (depth - 1), 2]
        self.cascades = nn.ModuleList()
        for _ in range(cascades):
            cascade = nn.Module()
            cascade.layers = nn.ModuleList(
                nn.Conv2d(channels[n], channels[n + 1], 3, padding=1) for n in range(depth)
            )
            self.cascades.append(cascade)

    def forward(self, image: Tensor, kspace: Tensor, mask: Tensor, maps: Tensor) -> Tensor:
        """Reconstruct.

        Args:
            image: float32 (B, 2, H, W).
            kspace: measured samples, complex64 (B, coils, H, W), zero frequency at the corner.
            mask: float32 (1 or B, 1, H, W).
            maps: sensitivities, complex64 (B, coils, H, W).

        Returns:
            float32 (B, 2, H, W).
        """
        measured, maps = mask.double() * kspace.to(torch.complex128), maps.to(torch.complex128)
        for cascade in self.cascades:
            *hidden, last = cascade.layers  # type: ignore[misc]
            for layer in hidden:
                image = torch.relu(layer(image))
            image = last(image)
            own = torch.complex(image[:, :1].double(), image[:, 1:].double())
            transformed = torch.fft.fft2(maps * own, norm="ortho")
            images = torch.fft.ifft2(measured + (1 - mask.double()) * transformed, norm="ortho")
            combined = (maps.conj() * images).sum(dim=1, keepdim=True)
            image = torch.cat((combined.real, combined.imag), dim=1).float()
        return image

"""The published method as one would write it down: oracle of tests, other arm of the benchmark.

Nothing here is shared with the suite, and nothing in the suite uses it. Convolutions are float32 in
PyTorch's default layout, data consistency is a full complex transform in double precision, the
teacher runs with gradients at every step, and a slice is read with a stride from an h5 file that is
opened for it (Murugesan et al. 2020; Schlemper et al. 2017).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ReferenceDCCNN(nn.Module):
    """DC-CNN for real images; `weights` of the suite's network load into it by their names."""

    def __init__(self, cascades: int, depth: int, width: int = 32) -> None:
        """Build `cascades` CNNs of `depth` convolutions, `width` channels between them."""
        super().__init__()
        channels = [1, *[width] * (depth - 1), 1]
        self.cascades = nn.ModuleList()
        for _ in range(cascades):
            cascade = nn.Module()
            cascade.layers = nn.ModuleList(
                nn.Conv2d(channels[n], channels[n + 1], 3, padding=1) for n in range(depth)
            )
            self.cascades.append(cascade)
        self.depth = depth

    def forward(self, image: Tensor, kspace: Tensor, mask: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Reconstruct.

        Args:
            image: float32 (B, 1, H, W).
            kspace: measured samples, complex64 (B, 1, H, W), zero frequency at the corner.
            mask: float32 (1 or B, 1, H, W).

        Returns:
            The output, float32 (B, 1, H, W), and the middle activation of each cascade.
        """
        middle = -(-self.depth // 2)
        activations = []
        for cascade in self.cascades:
            for number, layer in enumerate(cascade.layers, start=1):  # type: ignore[arg-type]
                image = layer(image)
                if number < self.depth:
                    image = torch.relu(image)
                if number == middle:
                    activations.append(image)
            transformed = torch.fft.fft2(image.to(torch.complex128), norm="ortho")
            kept = mask.double() * kspace.to(torch.complex128) + (1 - mask.double()) * transformed
            image = torch.fft.ifft2(kept, norm="ortho").real.float()
        return image, activations


def attention_loss(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Mean over cascades and samples of ||Q_T - Q_S||_2 (KD-MRI, eq. 3)."""
    distances = []
    for pair in zip(student, teacher, strict=True):
        energies = [(activation**2).sum(dim=1).flatten(1) for activation in pair]
        s, t = (energy / energy.norm(dim=1, keepdim=True) for energy in energies)
        distances.append((t - s).norm(dim=1).mean())
    return torch.stack(distances).mean()


class Losses(NamedTuple):
    """Weights of the three terms of a training step."""

    reconstruction: float
    imitation: float
    attention: float


def loss(
    student: ReferenceDCCNN,
    teacher: ReferenceDCCNN | None,
    weights: Losses,
    inputs: tuple[Tensor, Tensor, Tensor],
    target: Tensor,
) -> Tensor:
    """Compute a stage's loss; `inputs` are image, k-space and mask, `target` is (B, 1, H, W)."""
    output, activations = student(*inputs)
    total = weights.reconstruction * F.l1_loss(output, target)
    if teacher is not None:
        taught, shown = teacher(*inputs)  # not frozen, as in the original's code
        total = total + weights.imitation * F.l1_loss(output, taught)
        total = total + weights.attention * attention_loss(activations, shown)
    return total


class ReferenceSlices:
    """Slices of h5 files of the original project, each opened and read when it is asked for."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Take the files, each with `volfs`, `img_volus_4x`, `kspace_volus_4x` (H, W, S)."""
        self._index = []
        for path in paths:
            with h5py.File(path, "r") as file:
                self._index += [(path, number) for number in range(file["volfs"].shape[-1])]

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return image, k-space and target of a slice, each (1, H, W)."""
        path, number = self._index[item]
        with h5py.File(path, "r") as file:
            image, kspace, target = (
                torch.from_numpy(file[key][:, :, number])[None]
                for key in ("img_volus_4x", "kspace_volus_4x", "volfs")
            )
        return image.float(), kspace.to(torch.complex64), target.float()

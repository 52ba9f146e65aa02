"""Undersampled k-space: an input made from a target by a mask of lines."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from kdmri.data.batch import Batch, Slice
from kdmri.data.masks import DrawnLines, check_mask
from kdmri.data.task import Task
from kdmri.errors import ConfigurationError
from kdmri.physics.fourier import ifft2, magnitude, to_channels
from kdmri.physics.noise import SimulatedKspace


class CartesianUndersampling(Task):
    """Retrospective undersampling of fully sampled slices by one mask for each image size.

    The zero-filled input is the magnitude |IFFT2(M*y)| for images of one channel, as published, and
    the complex image for two channels.

    With `more` it is what a teacher sees that sees more lines than its student (learning with
    privileged information: Lopez-Paz et al., ICLR 2016): those of the mask, and others.
    """

    takes_stored_kspace = True

    def __init__(
        self,
        mask: Callable[[tuple[int, int]], np.ndarray],
        masks: int = 1,
        noise: float = 0.0,
        more: Callable[[tuple[int, int]], np.ndarray] | None = None,
    ) -> None:
        """Take the rule that gives a mask.

        Args:
            mask: called with the slice size (H, W), returns a 0/1 array (H, W) with the zero
                frequency at the corner.
            masks: training draws one of so many for each step, by the rule with as many seeds;
                the first is the rule's own, which evaluation has.
            noise: standard deviation of complex Gaussian noise of simulated k-space samples, in
                units of the volume's largest magnitude; drawn anew for each training step, the
                same each time for evaluation.
            more: gives in the same way lines that are measured besides, always simulated.

        Raises:
            ConfigurationError: several masks of a rule without a seed, or negative noise.
        """
        super().__init__()
        if masks > 1 and not hasattr(mask, "seed"):
            raise ConfigurationError(
                f"augmentation.masks={masks}: the mask is {mask}, which has no seed to draw others "
                "by; give 1"
            )
        self._mask, self._count, self._simulated = mask, masks, SimulatedKspace(noise)
        self._more = None if more is None else CartesianUndersampling(more)
        self._masks: dict[tuple[tuple[int, int], torch.device, int], Tensor] = {}

    def mask(
        self, size: tuple[int, int], device: torch.device | str = "cpu", number: int = 0
    ) -> Tensor:
        """Return a mask of a size as float32 (1, 1, H, W); made once for each size and device.

        Raises:
            DataError: the rule gives no such mask, see `check_mask`.
        """
        key = (size, torch.device(device), number)
        if key not in self._masks:
            rule = self._mask
            if number and isinstance(rule, DrawnLines):
                rule = replace(rule, seed=rule.seed + number)
            mask = np.asarray(rule(size))
            check_mask(mask, size, str(rule))
            drawn = torch.from_numpy(mask.astype(np.float32))
            self._masks[key] = drawn[None, None].to(device)
        return self._masks[key]

    def forward(self, slices: Slice) -> Batch:
        """Undersample a batch of slices where it lies.

        Args:
            slices: collated slices; their `kspace`, where stored, is used instead of the target's
                own Fourier transform.

        Returns:
            The network's input and target with everything that metrics need.
        """
        return self._undersampled(slices, number=0)

    def training_batch(self, slices: Slice) -> Batch:
        """Do the same with one of the masks and new noise, by PyTorch's generator of the CPU."""
        number = int(torch.randint(self._count, ())) if self._count > 1 else 0
        if self._simulated.noise:
            slices = slices._replace(variant=None)  # never comes again
        elif slices.variant is not None:
            slices = slices._replace(variant=slices.variant * self._count + number)
        return self._undersampled(slices, number, training=True)

    def _undersampled(self, slices: Slice, number: int, training: bool = False) -> Batch:
        target = slices.target
        mask = self.mask((target.shape[-2], target.shape[-1]), target.device, number)
        kspace = slices.kspace
        if kspace is None:
            kspace = self._simulated(slices, training)
        elif self._simulated.noise:
            raise ConfigurationError(
                f"task.noise={self._simulated.noise}: the data set stores k-space, which has its "
                "own noise; simulate it with dataset.stored_kspace=false, or leave task.noise=0"
            )
        elif self._count > 1:
            raise ConfigurationError(
                f"augmentation.masks={self._count}: the data set stores k-space, sampled by one "
                "mask; simulate it with dataset.stored_kspace=false, or give 1"
            )
        kspace = mask * kspace
        batch = self.batch(slices, _zero_filled(kspace, target.shape[1]), kspace, mask)
        return self.revealed(batch, training)

    def revealed(self, batch: Batch, training: bool) -> Batch:
        """Add the lines of `more` to a batch; those that were measured keep their noise."""
        if self._more is None:
            return batch
        target = batch.target
        more = self._more.mask((target.shape[-2], target.shape[-1]), target.device)
        simulated = more * self._simulated(batch.sliced(), training)
        kspace = torch.where(batch.mask > 0, batch.kspace, simulated)
        mask = torch.maximum(batch.mask, more)
        return batch._replace(image=_zero_filled(kspace, target.shape[1]), kspace=kspace, mask=mask)

    def baselines(self, batch: Batch) -> dict[str, Tensor]:
        """Return the images that need no network, (B, C, H, W), by their label."""
        return {"Zero-filled": batch.image}

    def describe(self, size: tuple[int, int]) -> str:
        """Say for a report which mask was used for slices of a size."""
        mask = self.mask(size)
        if self._more is not None:
            mask = torch.maximum(mask, self._more.mask(size))
        more = f" and {self._more._mask}" if self._more is not None else ""
        effective = mask.numel() / mask.sum()
        return f"Mask: {self._mask}{more}; effective acceleration {effective:.2f}x{self._simulated}"


def _zero_filled(kspace: Tensor, channels: int) -> Tensor:
    """Transform k-space (B, 1, H, W) to an image (B, C, H, W): magnitude, or both parts."""
    zero_filled = to_channels(ifft2(kspace), 2)
    return magnitude(zero_filled) if channels == 1 else zero_filled

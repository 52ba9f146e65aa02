"""Undersampled k-space: an input made from a target by a mask of lines."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from kdmri.data.batch import Batch, Coils, Slice
from kdmri.data.masks import DrawnLines, check_mask
from kdmri.data.task import Scan, Task
from kdmri.errors import ConfigurationError
from kdmri.physics.coils import combine, root_sum_of_squares
from kdmri.physics.espirit import calibration_size
from kdmri.physics.fourier import ifft2, magnitude, to_channels
from kdmri.physics.noise import SimulatedKspace

KEPT_MASKS = 512
"""So many are kept for use again; each may be a MiB."""

FAR_FROM_ASKED = 0.5
"""Below this share of the acceleration that is asked for, the effective one is told at once."""

COMPARED = 32
"""Masks of a rule that tell what all of its masks share."""


class CartesianUndersampling(Task):
    """Retrospective undersampling of fully sampled slices by one mask for each image size.

    The zero-filled input is the magnitude |IFFT2(M*y)| for images of one channel, as published, and
    the complex image for two channels. Of several coils it is their combination, and only what the
    scanner acquired counts as measured.

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
        by_volume: bool = False,
    ) -> None:
        """Take the rule that gives a mask.

        Args:
            mask: called with the slice size (H, W), returns a 0/1 array (H, W) with the zero
                frequency at the corner.
            masks: training draws one of so many, by the rule with as many seeds: of one coil for
                each step, of several coils for each slice; the first is the rule's own, which
                evaluation has.
            noise: standard deviation of complex Gaussian noise of simulated k-space samples, in
                units of the volume's largest magnitude; drawn anew for each training step, the
                same each time for evaluation.
            more: gives in the same way lines that are measured besides; of one coil they are
                simulated.
            by_volume: the rule's seed is the name of the volume, of several coils alone.

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
        self._by_volume = by_volume and isinstance(mask, DrawnLines)
        self._masks: dict[tuple[object, ...], Tensor] = {}
        self._centres: dict[tuple[int, int], tuple[int, int]] = {}

    def mask(
        self,
        size: tuple[int, int],
        device: torch.device | str = "cpu",
        number: int = 0,
        name: tuple[int, ...] = (),
        acquired: Tensor | None = None,
    ) -> Tensor:
        """Return a mask of a size as float32 (1, 1, H, W); kept for each size and device.

        Args:
            size: (H, W).
            device: where it is used.
            number: which of several masks.
            name: characters of a volume's name, where the rule's seed is to be that.
            acquired: 1 where the scanner measured, float32 (1, H, W), of which rules that count
                samples count these; None: everywhere.

        Raises:
            DataError: the rule gives no such mask, see `check_mask`.
        """
        rule, grid = self._mask, None
        if acquired is not None and getattr(rule, "counts_acquired", False):
            grid = acquired[0].cpu().numpy().astype(np.uint8)
        key = (size, torch.device(device), number, name, None if grid is None else grid.tobytes())
        if key not in self._masks:
            if (number or name) and isinstance(rule, DrawnLines):
                rule = rule.of_volume(name) if name and not number else rule.numbered(number)
            if grid is not None and isinstance(rule, DrawnLines):
                mask = rule.within(grid)
            else:
                mask = np.asarray(rule(size))
            check_mask(mask, size, str(rule))
            if len(self._masks) >= KEPT_MASKS:
                self._masks.pop(next(iter(self._masks)))
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
        return self._undersampled(slices, [0] * len(slices.target))

    def training_batch(self, slices: Slice) -> Batch:
        """Do the same with some of the masks and new noise, by PyTorch's generator of the CPU."""
        items = len(slices.target)
        drawn = torch.zeros(items, dtype=torch.int64)
        if self._count > 1:
            drawn += torch.randint(self._count, () if slices.coils is None else (items,))
        if self._simulated.noise and slices.coils is None:
            slices = slices._replace(variant=None)  # never comes again
        elif slices.variant is not None:
            numbers = drawn.to(slices.variant.device)
            slices = slices._replace(variant=slices.variant * self._count + numbers)
        return self._undersampled(slices, drawn.tolist(), training=True)

    def _undersampled(self, slices: Slice, numbers: list[int], training: bool = False) -> Batch:
        if slices.coils is not None:
            return self._of_coils(slices, slices.coils, numbers)
        target = slices.target
        mask = self.mask((target.shape[-2], target.shape[-1]), target.device, numbers[0])
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

    def _of_coils(self, slices: Slice, coils: Coils, numbers: list[int]) -> Batch:
        """Undersample acquired k-space of several coils; each slice has a mask of its own."""
        if self._simulated.noise:
            raise ConfigurationError(
                f"task.noise={self._simulated.noise}: k-space of several coils has its own noise; "
                "leave task.noise=0"
            )
        full = slices.kspace
        assert full is not None
        size = (full.shape[-2], full.shape[-1])
        names = [tuple(c for c in row if c >= 0) for row in coils.name.tolist()]
        masks = [
            self.mask(size, full.device, number, name if self._by_volume else (), acquired)
            for number, name, acquired in zip(numbers, names, coils.acquired, strict=True)
        ]
        mask = torch.cat(masks) * coils.acquired
        batch = self.batch(slices, full[:, :0].real, full, mask)
        batch = self._measured(batch._replace(coils=coils._replace(full=full)), mask)
        return self.revealed(batch, training=False)

    @staticmethod
    def _measured(batch: Batch, mask: Tensor) -> Batch:
        """Measure by a mask what was acquired by several coils."""
        assert batch.coils is not None
        assert batch.coils.full is not None
        # Not a product, whose zeros would have signs of what was not measured.
        kspace = torch.where(mask > 0, batch.coils.full, 0)
        combined = combine(ifft2(kspace), batch.coils.sensitivities)
        image = to_channels(combined, batch.target.shape[1])
        return batch._replace(image=image, kspace=kspace, mask=mask)

    def revealed(self, batch: Batch, training: bool) -> Batch:
        """Add the lines of `more` to a batch; those that were measured keep their noise."""
        if self._more is None:
            return batch
        target = batch.target
        size = (batch.kspace.shape[-2], batch.kspace.shape[-1])
        more = self._more.mask(size, target.device)
        if batch.coils is not None:
            return self._measured(batch, torch.maximum(batch.mask, more * batch.coils.acquired))
        simulated = more * self._simulated(batch.sliced(), training)
        kspace = torch.where(batch.mask > 0, batch.kspace, simulated)
        mask = torch.maximum(batch.mask, more)
        return batch._replace(image=_zero_filled(kspace, target.shape[1]), kspace=kspace, mask=mask)

    def centre_of(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the size (h, w) of the fully sampled centre of a mask of k-space (H, W).

        Where each volume has a mask of its own, it is what the masks share: lines beside the centre
        that one of them has by chance were not measured of other volumes.
        """
        if size not in self._centres:
            shared = self.mask(size)[0, 0]
            for number in range(1, COMPARED if self._by_volume else 1):
                shared = shared * self.mask(size, number=number)[0, 0]
            self._centres[size] = calibration_size(shared)
        return self._centres[size]

    def baselines(self, batch: Batch) -> dict[str, Tensor]:
        """Return the images that need no network, (B, C, H, W), by their label."""
        if batch.coils is None:
            return {"Zero-filled": batch.image}
        combined = root_sum_of_squares(ifft2(batch.kspace))
        return {"Zero-filled RSS": torch.cat((combined, torch.zeros_like(combined)), dim=1)}

    def describe(self, size: tuple[int, int], scans: Sequence[Scan] = ()) -> str:
        """Say for a report which mask was used for slices of a size; see `Task.describe`.

        The acceleration is the number of acquired samples over that of measured ones, of all scans.
        """
        told = sorted({f"{self._acceleration(scan):.2f}" for scan in scans}, key=float)
        if not scans:
            told = [f"{1 / float(self._all_of(self.mask(size), size).mean()):.2f}"]
        more = f" and {self._more._mask}" if self._more is not None else ""
        effective = told[0] if len(told) == 1 else f"{told[0]}x to {told[-1]}"
        anew = ", drawn by the name of each volume" if self._by_volume else ""
        return (
            f"Mask: {self._mask}{more}{anew}; effective acceleration {effective}x{self._simulated}"
        )

    def doubts(self, size: tuple[int, int], scans: Sequence[Scan] = ()) -> list[str]:
        """Say where far more is measured than a rule is asked for, as with a large full centre."""
        if not isinstance(self._mask, DrawnLines):
            return []
        every = scans or [Scan(torch.ones(1, *size), ())]
        effective = min(_thinned(self._of_scan(scan), scan) for scan in every)
        asked = self._mask.acceleration
        if effective >= FAR_FROM_ASKED * asked:
            return []
        centre = [f"dataset.mask.{key}" for key in vars(self._mask) if key.startswith("centre")]
        way_out = " or ".join(["acceleration.factor", *centre])
        return [
            f"acceleration {asked:g}x is {effective:.3g}x in effect, since the full centre and the "
            f"size of slices allow no more ({self._mask}); directories and tables are named "
            f"{asked:g}x all the same. Give a smaller {way_out}"
        ]

    def _acceleration(self, scan: Scan) -> float:
        """Return the number of acquired samples of a scan over that of measured ones."""
        return _thinned(self._all_of(self._of_scan(scan), scan.size), scan)

    def _of_scan(self, scan: Scan) -> Tensor:
        """Return the mask that a scan is evaluated with, float32 (1, 1, H, W)."""
        name = scan.name if self._by_volume else ()
        return self.mask(scan.size, name=name, acquired=scan.acquired)

    def _all_of(self, mask: Tensor, size: tuple[int, int]) -> Tensor:
        """Add what `more` measures besides."""
        return mask if self._more is None else torch.maximum(mask, self._more.mask(size))

    def undersampled_readout(self, scan: Scan) -> str | None:
        """Return words for `train` that sample a scan well, where samples of its readout lack."""
        axis, mask = scan.readout, self._of_scan(scan)[0, 0]
        if axis is None or torch.equal(mask.amax(axis), mask.amin(axis)):
            return None
        rule = "" if hasattr(self._mask, "axis") else "mask_rule@dataset.mask=equispaced_lines "
        return f"{rule}dataset.mask.axis={1 - axis}"


def _thinned(mask: Tensor, scan: Scan) -> float:
    """Return the number of acquired samples of a scan over that of those in a mask."""
    return float(scan.acquired.sum() / (mask * scan.acquired).sum())


def _zero_filled(kspace: Tensor, channels: int) -> Tensor:
    """Transform k-space (B, 1, H, W) to an image (B, C, H, W): magnitude, or both parts."""
    zero_filled = to_channels(ifft2(kspace), 2)
    return magnitude(zero_filled) if channels == 1 else zero_filled

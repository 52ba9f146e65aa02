"""Low resolution: an input made from a target by keeping the centre of its k-space."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from kdmri.data.batch import Batch, Slice
from kdmri.data.cropping import fit_centre_tensor
from kdmri.data.task import Scan, Task
from kdmri.errors import ConfigurationError
from kdmri.physics.fourier import ifft2, to_channels
from kdmri.physics.noise import SimulatedKspace

Size = tuple[int, int]


class CentralKspace(Task):
    """Super-resolution of slices of which the central h x w samples of k-space are known.

    Of an axis of N samples the n frequencies -floor(n/2) .. ceil(n/2) - 1 are kept, which are the
    central ones of the shifted k-space (the published 64 of 256 are -32 .. 31). The input is
    brought back to H x W by zero-filling: the magnitude for images of one channel, as published,
    and the complex image for two.

    Attributes:
        window: name, or name and parameters, of what apodises the input; None: nothing.
    """

    def __init__(
        self,
        scale: float,
        centre: Sequence[int] | None = None,
        window: str | Sequence[str | float] | None = None,
        patch_size: Sequence[int] | None = None,
        patches: int = 1,
        noise: float = 0.0,
    ) -> None:
        """Say what is kept.

        Args:
            scale: H / h and W / w, at least 1; h and w are rounded down.
            centre: (h, w) themselves; None derives them from `scale`.
            window: apodises the kept samples of the input, not the measured samples that data
                consistency uses; a name that `scipy.signal.get_window` knows, or one with
                its parameters, such as ("tukey", 0.5). None leaves them as they are.
            patch_size: (height, width) of training patches in pixels; None trains on whole slices.
            patches: patches of each slice in a training step, at places drawn anew.
            noise: see `CartesianUndersampling`.

        Raises:
            ConfigurationError: a value is out of its range, or the window is unknown.
        """
        super().__init__()
        if scale < 1:
            raise ConfigurationError(f"scale.factor={scale}: must be at least 1")
        for key, pair in (("centre", centre), ("patch_size", patch_size)):
            if pair is not None and (len(pair) != 2 or min(pair) < 1):
                raise ConfigurationError(f"task.{key}={pair}: must be null or [H,W]")
        if patches < 1:
            raise ConfigurationError(f"task.patches={patches}: must be at least 1")
        if patches > 1 and patch_size is None:
            raise ConfigurationError(f"task.patches={patches}: of what size? give task.patch_size")
        self._scale = scale
        self._centre = None if centre is None else (int(centre[0]), int(centre[1]))
        self.window = window if isinstance(window, str | None) else tuple(window)
        self._patch = None if patch_size is None else (int(patch_size[0]), int(patch_size[1]))
        self._patches = patches
        self._simulated = SimulatedKspace(noise)
        self._filters: dict[tuple[Size, torch.device], tuple[Tensor, Tensor]] = {}
        self._weights(4)  # names an unknown window before any data is read

    def centre(self, size: Size) -> Size:
        """Return how many samples (h, w) of a slice of a size (H, W) are kept.

        Raises:
            ConfigurationError: more than there are.
        """
        kept = self._centre or (int(size[0] / self._scale), int(size[1] / self._scale))
        if not all(1 <= n <= whole for n, whole in zip(kept, size, strict=True)):
            raise ConfigurationError(
                f"task.centre={list(kept)}: slices are {size}; keep between 1 and all of their "
                "samples along each axis, or leave task.centre=null to scale.factor"
            )
        return kept

    def filters(self, size: Size, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
        """Return mask and window of a size, float32 (1, 1, H, W) each, DC at index (0, 0).

        They are made once for each size and device; the window is 0 where the mask is.
        """
        key = (size, torch.device(device))
        if key not in self._filters:
            kept = self.centre(size)
            rows, columns = (self._weights(n) for n in kept)
            window = _spread(torch.outer(rows, columns), size)
            mask = _spread(torch.ones(kept), size)
            self._filters[key] = mask[None, None].to(device), window[None, None].to(device)
        return self._filters[key]

    def forward(self, slices: Slice) -> Batch:
        """Keep the centre of the k-space of whole slices.

        Args:
            slices: collated slices; stored k-space is left alone.

        Returns:
            The network's input (B, C, H, W) and target with everything that metrics need; `kspace`
            holds the target's own samples, with noise where there is any, inside the kept centre
            and zero outside.
        """
        return self._low_resolution(slices, training=False)

    def _low_resolution(self, slices: Slice, training: bool) -> Batch:
        target = slices.target
        mask, window = self.filters((target.shape[-2], target.shape[-1]), target.device)
        kspace = mask * self._simulated(slices, training)
        return self.batch(slices, _image(window * kspace, target.shape[1]), kspace, mask)

    def training_batch(self, slices: Slice) -> Batch:
        """Cut patches out of input and target where the task has them, at the same places.

        Places and noise come from PyTorch's generator of the CPU. `kspace` and `mask` stay those of
        whole slices, so that networks with data consistency refuse patches.
        """
        if self._simulated.noise:
            slices = slices._replace(variant=None)  # never comes again
        batch = self._low_resolution(slices, training=True)
        if self._patch is None:
            return batch
        size = (batch.target.shape[-2], batch.target.shape[-1])
        if any(n > whole for n, whole in zip(self._patch, size, strict=True)):
            raise ConfigurationError(
                f"task.patch_size={list(self._patch)}: larger than the slices, which are {size}"
            )
        lasting = batch._replace(variant=None)  # since a patch may never come again
        repeated = (_repeat(field, self._patches, len(batch.volume)) for field in lasting[:-1])
        batch = Batch(*repeated)  # type: ignore[arg-type]
        count = len(batch.volume)
        tops, lefts = (
            torch.randint(whole - n + 1, (count,)).tolist()
            for n, whole in zip(self._patch, size, strict=True)
        )
        image, target = (
            torch.stack(
                [
                    item[:, top : top + self._patch[0], left : left + self._patch[1]]
                    for item, top, left in zip(images, tops, lefts, strict=True)
                ]
            )
            for images in (batch.image, batch.target)
        )
        return batch._replace(image=image, target=target)

    def baselines(self, batch: Batch) -> dict[str, Tensor]:
        """Return the zero-filled and the bicubic image, (B, C, H, W), by their label."""
        return {"Zero-filled": batch.image, "Bicubic": self.bicubic(batch)}

    def bicubic(self, batch: Batch) -> Tensor:
        """Interpolate the image of h x w pixels (cubic convolution, a = -0.75), (B, C, H, W).

        Its pixel (0, 0) lies on that of the target: a pixel i of H lies at i*h/H of h, without the
        shift by half a pixel that aligning the corners of pixels would bring.
        """
        size = (batch.target.shape[-2], batch.target.shape[-1])
        kept = self.centre(size)
        _, window = self.filters(size, batch.kspace.device)
        scaling = (kept[0] * kept[1] / (size[0] * size[1])) ** 0.5  # of orthonormal transforms
        small = _image(_centre_of(window * batch.kspace, kept) * scaling, batch.target.shape[1])
        axes = (
            torch.arange(whole, device=small.device) * (n / whole * 2 / max(n - 1, 1)) - 1
            for n, whole in zip(kept, size, strict=True)
        )
        rows, columns = torch.meshgrid(*axes, indexing="ij")
        grid = torch.stack((columns, rows), dim=-1).expand(len(small), -1, -1, -1)
        return F.grid_sample(small, grid, mode="bicubic", padding_mode="border", align_corners=True)

    def describe(self, size: Size, scans: Sequence[Scan] = ()) -> str:
        """Say for a report what was kept of slices of a size (H, W)."""
        kept = self.centre(size)
        window = "" if self.window is None else f", {self.window} window"
        of = f"{size[0]}x{size[1]} k-space samples{window}{self._simulated}"
        return f"Input: central {kept[0]}x{kept[1]} of {of}"

    def _weights(self, count: int) -> Tensor:
        """The window of one axis, (count,), 1 at the zero frequency, in shifted order."""
        if self.window is None:
            return torch.ones(count)
        try:  # of an even number of samples the first has no partner: the window is periodic
            from scipy.signal import get_window  # loads much of SciPy

            weights = get_window(self.window, count, fftbins=count % 2 == 0)
        except (ValueError, TypeError) as error:
            raise ConfigurationError(
                f"task.window={self.window}: {error}; give null, or a window of "
                "scipy.signal.get_window such as hann, hamming or [tukey,0.5]"
            ) from error
        return torch.from_numpy(weights).float()


def _image(kspace: Tensor, channels: int) -> Tensor:
    """Bring k-space (B, 1, H, W) to a magnitude or a complex image, float32 (B, C, H, W)."""
    image = ifft2(kspace)
    return image.abs() if channels == 1 else to_channels(image, channels)


def _spread(centre: Tensor, size: Size) -> Tensor:
    """Put weights (h, w) around the zero frequency of k-space (H, W), zero frequency at corner."""
    return torch.fft.ifftshift(fit_centre_tensor(centre, size))


def _centre_of(kspace: Tensor, kept: Size) -> Tensor:
    """Cut the central (h, w) out of k-space (..., H, W); zero frequency at the corner in both."""
    shifted = torch.fft.fftshift(kspace, dim=(-2, -1))
    return torch.fft.ifftshift(fit_centre_tensor(shifted, kept), dim=(-2, -1))


def _repeat(field: Tensor | None, times: int, items: int) -> Tensor | None:
    """Repeat each item of a batch; what all items share stays as it is."""
    if field is None or len(field) != items:
        return field
    return field.repeat_interleave(times, dim=0)

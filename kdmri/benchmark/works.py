"""What all that is measured has in common, and slices through networks."""

from abc import abstractmethod
from typing import Any

import torch

from kdmri.benchmark.setting import Setting

PEAK_CHANNELS = 64


class Work:
    """Something that is done again and again.

    Attributes:
        slices: of one repetition.
        chosen: what the next repetition works on, where it is not the same each time.
        outside: whether processes of other programs do it.
    """

    slices = 1
    outside = False
    chosen: Any

    def prepare(self) -> None:
        """Choose what the next repetition works on; not timed."""

    @abstractmethod
    def run(self) -> None:
        """Do it once."""

    def close(self) -> None:
        """Let go of what it holds."""


class Inference(Work):
    """Slices through a network, one after the other."""

    def __init__(self, setting: Setting, role: str, plain: bool) -> None:
        self._setting, self._plain, self.slices = setting, plain, setting.batch_size
        network = setting.reference(role) if plain else setting.network(role)
        self._network = network.eval()
        self._all = setting.task(setting.random_slices())

    def prepare(self) -> None:
        """Choose slices."""
        chosen = torch.randint(self._setting.slices, (self.slices, 1))
        batches = [self._all.select(items) for items in chosen.tolist()]
        self.chosen = [batch.inputs[:3] for batch in batches]

    def run(self) -> None:
        """Reconstruct them."""
        if self._plain:
            with torch.no_grad():
                for inputs in self.chosen:
                    self._network(*inputs)
            return
        with torch.inference_mode(), self._setting.autocast():
            for inputs in self.chosen:
                self._network(*inputs)


class Peak(Work):
    """One 3x3 convolution between many channels: as fast as convolutions get here."""

    def __init__(self, setting: Setting) -> None:
        self.slices = setting.batch_size
        layer = torch.nn.Conv2d(PEAK_CHANNELS, PEAK_CHANNELS, 3, padding=1, device=setting.device)
        self._layer = layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        image = torch.randn(1, PEAK_CHANNELS, *setting.size, device=setting.device)
        self._image = image.to(memory_format=torch.channels_last)

    @staticmethod
    def flops(setting: Setting) -> int:
        """Count its operations."""
        return 2 * 9 * PEAK_CHANNELS**2 * setting.size[0] * setting.size[1]

    def run(self) -> None:
        """Convolve."""
        with torch.inference_mode():
            for _ in range(self.slices):
                self._layer(self._image)

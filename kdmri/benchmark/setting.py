"""What every work of the benchmark is done on: networks, random slices, device and precision."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from kdmri.benchmark.reference import ReferenceDCCNN
from kdmri.data.batch import Slice
from kdmri.data.masks import GaussianLines
from kdmri.errors import ConfigurationError
from kdmri.models import CascadedNetwork, build_network
from kdmri.models.cost import flops
from kdmri.physics import CartesianUndersampling


@dataclass(frozen=True)
class Setting:
    """Plain values of `configs/benchmark.yaml`."""

    networks: Mapping[str, dict[str, Any]]
    size: tuple[int, int]
    batch_size: int
    slices: int
    device: str
    precision: str
    seed: int

    @property
    def task(self) -> CartesianUndersampling:
        """Undersampling by Gaussian lines, 4x along the first axis."""
        return CartesianUndersampling(GaussianLines(4))

    def random_slices(self) -> Slice:
        """Draw all slices, uniform in [0, 1) and nowhere zero as a whole."""
        target = torch.rand(self.slices, 1, *self.size, device=self.device)
        number = torch.arange(self.slices, device=self.device)
        none = torch.zeros_like(number)
        return Slice(target, None, torch.ones_like(number).float(), none, number, none)

    def some(self, slices: Slice) -> Slice:
        """Choose the slices of one step at random."""
        chosen = torch.randperm(self.slices)[: self.batch_size]
        return Slice(*(None if field is None else field[chosen] for field in slices))  # type: ignore[arg-type]

    def network(self, role: str) -> CascadedNetwork:
        """Build "teacher" or "student" with random weights."""
        return build_network(self.networks[role]).to(self.device)

    def reference(self, role: str) -> ReferenceDCCNN:
        """Build its plain counterpart.

        Raises:
            ConfigurationError: there is none.
        """
        settings = self.networks[role]
        plain = settings["_target_"] == "kdmri.models.DCCNN" and not settings["residual"]
        if not plain or settings["channels"] != 1:
            raise ConfigurationError(
                f"{role}={settings}: the reference is the published DC-CNN; give against=null"
            )
        sizes = (settings["cascades"], settings["depth"], settings["width"])
        return ReferenceDCCNN(*sizes).to(self.device)

    def flops(self, role: str) -> int:
        """Count the operations that a network needs for a slice."""
        return flops(self.network(role), self.size)

    def parameters(self, role: str) -> int:
        """Count the parameters of a network."""
        return sum(parameter.numel() for parameter in self.network(role).parameters())

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context of the precision."""
        if self.precision == "32-true":
            return nullcontext()
        return torch.autocast(self.device, dtype=torch.bfloat16)

"""What all networks have in common: a fold of cascades, with activations that can be tapped."""

import copy
from abc import abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from typing import ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn

from kdmri.errors import ConfigurationError
from kdmri.models.convolution import Convolution
from kdmri.physics import Measurement

TINY = 32
"""Pixels along each axis of an image on which the shapes of activations are seen."""


class Tap(NamedTuple):
    """Where an activation is taken: the output of a convolution after its ReLU.

    Attributes:
        cascade: index of the cascade, from 0.
        convolution: index within it, from 0; one beyond the last is the cascade's output.
    """

    cascade: int
    convolution: int


class Cascade(nn.Module):
    """One step of a network, with the network's own signature.

    Attributes:
        convolutions: how many outputs `steps` yields before the cascade's own, that of the last
            convolution, which has no activation, included.
        names: of the places that can be tapped, in their order, where they have names.
        smallest_size: pixels along each axis with which any image will do.
    """

    convolutions: int
    smallest_size: int = 1
    names: Sequence[str] = ()

    def forward(
        self, image: Tensor, kspace: Tensor, mask: Tensor, sensitivities: Tensor | None = None
    ) -> Tensor:
        """Reconstruct; shapes as in `CascadedNetwork.forward`."""
        return self.advance(image, Measurement(kspace, mask, sensitivities))

    def advance(self, image: Tensor, measurement: Measurement) -> Tensor:
        """Reconstruct as one of several cascades that share a measurement."""
        return deque(self.steps(image, measurement), maxlen=1).pop()

    @abstractmethod
    def steps(self, image: Tensor, measurement: Measurement) -> Iterator[Tensor]:
        """Reconstruct step by step, as far as the caller goes.

        Yields:
            What can be tapped: `convolutions` activations, each (B, channels, H, W); then the
            output, float32 (B, C, H, W), or whatever state the network hands on, see
            `CascadedNetwork.begin`.
        """


class CascadedNetwork(nn.Module):
    """A network that is the fold of its `cascades`; each can go on from the output of any other.

    Attributes:
        cascades: in their order.
        state: what they hand on, in words; those of two networks can go on from each other where
            it is the same.
        loses_in_halves: how much of its image half precision loses, in words; empty where a table
            shows nothing of it.
        start: iterations of CG-SENSE that the first cascade goes on from, of several coils; 0: from
            the network's input.
        closing: iterations of a last data consistency, of several coils; 0: none.
        noise_floor: whether magnitudes have the noise of a root sum of squares, of several coils.
    """

    cascades: Sequence[Cascade]
    start: int = 0
    closing: int = 0
    noise_floor: bool = False
    state: ClassVar[str] = "images"
    loses_in_halves: ClassVar[str] = ""

    def __init__(self, cascades: Sequence[Cascade], channels: int) -> None:
        """Take the cascades in their order.

        Args:
            cascades: at least one.
            channels: of the image, 1 (real) or 2 (real and imaginary part).
        """
        super().__init__()
        self.channels = channels
        self.cascades = nn.ModuleList(cascades)  # type: ignore[assignment]

    def begin(self, image: Tensor, measurement: Measurement) -> tuple[Tensor, Measurement]:
        """Return what the first cascade goes on from, and what all of them correct it by.

        Most networks hand on images and take the measurement as it is.

        Args:
            image: the network's input, float32 (B, C, H, W).
            measurement: as it was made.
        """
        return image, measurement

    def finish(self, state: Tensor, measurement: Measurement) -> Tensor:
        """Return the image, float32 (B, C, H, W), of what a cascade handed on.

        Args:
            state: output of a cascade.
            measurement: as it was made.
        """
        return state

    def folded(self) -> Self:
        """Copy the network as it is used, without parameters that only training needs."""
        copied = copy.deepcopy(self)
        copied.fold()
        return copied

    def fold(self) -> None:
        """Become as `folded` copies it."""
        for module in self.modules():
            if isinstance(module, Convolution):
                module.fold()

    @property
    def smallest_size(self) -> int:
        """Pixels along each axis of an image that every cascade can do with."""
        return max(cascade.smallest_size for cascade in self.cascades)

    @property
    def middle_taps(self) -> tuple[Tap, ...]:
        """The published taps: in each cascade of D convolutions the ceil(D/2)-th (from 1)."""
        return tuple(
            Tap(number, (cascade.convolutions + 1) // 2 - 1)
            for number, cascade in enumerate(self.cascades)
        )

    @property
    def output_taps(self) -> tuple[Tap, ...]:
        """The outputs of all cascades but the last, images like the network's own."""
        *inner, _ = self.cascades
        return tuple(Tap(n, cascade.convolutions) for n, cascade in enumerate(inner))

    def taps(self, where: str | Sequence[Sequence[int | str]]) -> tuple[Tap, ...]:
        """Choose where to tap.

        Args:
            where: "middle", the published taps; "ends", the first and the last activation of each
                cascade; or a list of [cascade, convolution], both from 0, or a name where the
                cascade has names.

        Raises:
            ConfigurationError: there is no such place.
        """
        if where == "middle":
            return self.middle_taps
        if where == "ends":
            return tuple(
                Tap(number, convolution)
                for number, cascade in enumerate(self.cascades)
                for convolution in (0, max(cascade.convolutions - 2, 0))
            )
        if isinstance(where, str):
            raise ConfigurationError(f'taps "{where}": give middle, ends or a list of taps')
        return tuple(self._tap(*place) for place in where)

    def _tap(self, cascade: int | str, place: int | str) -> Tap:
        number = int(cascade)
        if 0 <= number < len(self.cascades):
            names = self.cascades[number].names
            index = names.index(place) if place in names else place
            if isinstance(index, int) and 0 <= index < self.cascades[number].convolutions:
                return Tap(number, index)
        counts = [cascade.convolutions for cascade in self.cascades]
        raise ConfigurationError(
            f"tap [{cascade}, {place}]: the network has cascades of {counts} convolutions"
            + "".join(f", named {', '.join(c.names)}" for c in self.cascades if c.names)
        )

    def forward(
        self, image: Tensor, kspace: Tensor, mask: Tensor, sensitivities: Tensor | None = None
    ) -> Tensor:
        """Reconstruct.

        Args:
            image: input, float32 (B, C, H, W), C = 1 (real) or 2 (real and imaginary part).
            kspace: measured samples, complex64 (B, coils, H, W), orthonormal, zero frequency at the
                corner.
            mask: 1 where measured, float32 (1 or B, 1, H, W).
            sensitivities: of the coils, complex64 (B, coils, H, W), of unit norm over the coils
                where there is signal; None for k-space of one coil.

        Returns:
            The reconstruction, float32 (B, C, H, W).
        """
        measurement = Measurement(kspace, mask, sensitivities)
        state, known = self.begin(image, measurement)
        for cascade in self.cascades:
            state = cascade.advance(state, known)
        return self.finish(state, measurement)

    def features(
        self,
        image: Tensor,
        kspace: Tensor,
        mask: Tensor,
        sensitivities: Tensor | None = None,
        *,
        taps: Sequence[Tap] | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Reconstruct and return the tapped activations as well.

        Args:
            image: as for `forward`.
            kspace: as for `forward`.
            mask: as for `forward`.
            sensitivities: as for `forward`.
            taps: where to look; the middle of each cascade by default.

        Returns:
            The reconstruction and one activation (B, channels, H, W) for each tap, in their order.
        """
        taps = self.middle_taps if taps is None else taps
        found: dict[Tap, Tensor] = {}
        measurement, state = Measurement(kspace, mask, sensitivities), image
        for tap, state in self._steps(image, measurement, taps):
            if tap in taps:
                found[tap] = self._tapped(tap, state, measurement)
        return self.finish(state, measurement), [found[tap] for tap in taps]

    def observe(
        self,
        image: Tensor,
        kspace: Tensor,
        mask: Tensor,
        sensitivities: Tensor | None = None,
        *,
        taps: Sequence[Tap],
        to_its_end: bool = True,
    ) -> tuple[Tensor | None, list[Tensor]]:
        """Return `features`, or None and `activations` where the network is not run to its end."""
        inputs = (image, kspace, mask, sensitivities)
        if to_its_end:
            return self.features(*inputs, taps=taps)
        return None, self.activations(*inputs, taps=taps)

    def activations(
        self,
        image: Tensor,
        kspace: Tensor,
        mask: Tensor,
        sensitivities: Tensor | None = None,
        *,
        taps: Sequence[Tap],
    ) -> list[Tensor]:
        """Return the tapped activations alone; what lies behind the last tap is not computed."""
        found: dict[Tap, Tensor] = {}
        measurement = Measurement(kspace, mask, sensitivities)
        steps = self._steps(image, measurement, taps)
        while len(found) < len(set(taps)):
            tap, activation = next(steps)
            if tap in taps:
                found[tap] = self._tapped(tap, activation, measurement)
        return [found[tap] for tap in taps]

    def _steps(
        self, image: Tensor, measurement: Measurement, taps: Sequence[Tap]
    ) -> Iterator[tuple[Tap, Tensor]]:
        """Go through all cascades; the last of each one's steps is what it hands on.

        Of a cascade that is not tapped within, that is the only one.
        """
        state, known = self.begin(image, measurement)
        for number, cascade in enumerate(self.cascades):
            if not any(t.cascade == number and t.convolution < cascade.convolutions for t in taps):
                state = cascade.advance(state, known)
                yield Tap(number, cascade.convolutions), state
                continue
            for place, step in enumerate(cascade.steps(state, known)):
                state = step
                yield Tap(number, place), step

    def _tapped(self, tap: Tap, step: Tensor, measurement: Measurement) -> Tensor:
        """Return an activation as it is, and the image of what a cascade hands on."""
        within = tap.convolution < self.cascades[tap.cascade].convolutions
        return step if within else self.finish(step, measurement)

    def tiny_features(self, taps: Sequence[Tap] | None = None) -> list[Tensor]:
        """Tap the activations of a small random image, to see their shapes.

        Layers that keep statistics of what they see, as of batches, learn nothing of it.
        """
        size = max(TINY, self.smallest_size)
        device = next(self.parameters()).device
        image = torch.rand(1, self.channels, size, size).to(device)
        mask = torch.ones(1, 1, size, size, device=device)
        wanted = self.middle_taps if taps is None else taps
        modes = {module: module.training for module in self.modules()}
        self.eval()
        try:
            return self.activations(image, mask.to(torch.complex64), mask, taps=wanted)
        finally:
            for module, mode in modes.items():
                module.training = mode

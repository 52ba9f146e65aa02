"""What distillation losses have in common."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

from torch import Tensor, nn
from torch.nn import functional as F

from kdmri.errors import ConfigurationError
from kdmri.models import CascadedNetwork, Tap

Item = TypeVar("Item")


class Taps(NamedTuple):
    """Where the activations are taken that a loss compares; see `CascadedNetwork.taps`.

    Attributes:
        student: "middle", "ends" or a list of places.
        teacher: the same; with one word for both, the network of more cascades is tapped in as many
            as the other has, evenly spread, the last one among them.
    """

    student: str | Sequence[Sequence[int | str]] = "middle"
    teacher: str | Sequence[Sequence[int | str]] = "middle"

    def choose(
        self, student: CascadedNetwork, teacher: CascadedNetwork
    ) -> tuple[tuple[Tap, ...], tuple[Tap, ...]]:
        """Choose the taps of both networks, one to one.

        Raises:
            ConfigurationError: there are no such places, or not equally many.
        """
        taps = student.taps(self.student), teacher.taps(self.teacher)
        if isinstance(self.student, str) and self.student == self.teacher:
            fewest = min(len(student.cascades), len(teacher.cascades))
            taps = _spread(taps[0], fewest), _spread(taps[1], fewest)
        list(paired(*taps))
        return taps


class DistillationLoss(nn.Module):
    """Compares the student's tapped activations with the teacher's; knows nothing of Lightning.

    Adaptation layers that a loss owns are trained with the student and stay out of its checkpoint.

    Attributes:
        smallest_batch: samples that a training step must have on each device for the loss to teach
            anything; where it is more than 1, relations of the samples there are compared.
        by_sample: whether it is the mean over samples of what each gives by itself, so that a step
            may take their gradients one after the other.
    """

    smallest_batch = 1
    by_sample = False

    def adapt(self, student: Sequence[int], teacher: Sequence[int]) -> None:
        """Learn how many channels the taps have, before training; most losses need not know.

        Args:
            student: channels of each of the student's taps.
            teacher: channels of each of the teacher's.

        Raises:
            ConfigurationError: the loss cannot compare such activations.
        """

    def condense(
        self, teacher: Sequence[Tensor], sizes: Sequence[tuple[int, int]]
    ) -> Sequence[Tensor]:
        """Make of a teacher's activations smaller ones that cost the student the same.

        Those are what is kept of a frozen teacher. By default they are the activations themselves.

        Args:
            teacher: tapped activations, each (B, C_T, H, W).
            sizes: (H, W) of each of the student's activations.

        Returns:
            As many, each (B, C, H', W').
        """
        return teacher

    @abstractmethod
    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """Compare.

        Args:
            student: tapped activations, each (B, C_S, H, W).
            teacher: as many, each (B, C_T, H, W), without gradient.

        Returns:
            Scalar.

        Raises:
            ConfigurationError: the networks have different numbers of taps.
        """


def aligned(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Pair activations one to one, the larger image of a pair averaged down to the smaller.

    Raises:
        ConfigurationError: the networks have different numbers of taps.
    """
    return [
        (reduced(s, t.shape[-2:]), reduced(t, s.shape[-2:])) for s, t in paired(student, teacher)
    ]


def reduced(activation: Tensor, size: Sequence[int]) -> Tensor:
    """Average an activation (B, C, H, W) down along the axes that exceed a size (H', W')."""
    smaller = min(activation.shape[-2], size[0]), min(activation.shape[-1], size[1])
    if activation.shape[-2:] == smaller:
        return activation
    return F.adaptive_avg_pool2d(activation, smaller)


def adapters(student: Sequence[int], teacher: Sequence[int]) -> nn.ModuleList:
    """Build what brings the student's channels to its teacher's: 1x1 where they differ.

    Args:
        student: channels of each of the student's taps.
        teacher: channels of each of the teacher's, as many.
    """
    return nn.ModuleList(
        nn.Identity() if s == t else nn.Conv2d(s, t, kernel_size=1)
        for s, t in paired(student, teacher)
    )


def _spread(taps: tuple[Tap, ...], count: int) -> tuple[Tap, ...]:
    """Keep the taps of so many cascades, evenly spread, the last one among them."""
    cascades = sorted({tap.cascade for tap in taps})
    kept = {cascades[(number + 1) * len(cascades) // count - 1] for number in range(count)}
    return tuple(tap for tap in taps if tap.cascade in kept)


def paired(student: Sequence[Item], teacher: Sequence[Item]) -> Iterator[tuple[Item, Item]]:
    """Pair taps one to one.

    Raises:
        ConfigurationError: the networks have different numbers of taps.
    """
    if len(student) != len(teacher):
        raise ConfigurationError(
            f"distillation pairs taps one to one: the student has {len(student)}, the teacher "
            f"{len(teacher)}; choose as many of both with distillation.taps"
        )
    return zip(student, teacher, strict=True)

"""What a task is: how an input is made from a target."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from kdmri.data.batch import Batch, Slice
from kdmri.errors import ConfigurationError


class Scan(NamedTuple):
    """What a mask of its own depends on, of a scan of several coils.

    Attributes:
        acquired: 1 where the scanner measured, float32 (1, H, W), zero frequency at the corner.
        name: characters of the volume's name.
        readout: axis along which the scanner read out; None where that is not known.
    """

    acquired: Tensor
    name: tuple[int, ...]
    readout: int | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Size (H, W) of k-space."""
        return self.acquired.shape[-2], self.acquired.shape[-1]


class Task(nn.Module):
    """Makes the network's input; stages, losses and reports know nothing else of a task.

    Attributes:
        takes_stored_kspace: whether undersampled k-space that a file carries is its measurement.
    """

    takes_stored_kspace = False

    @abstractmethod
    def forward(self, slices: Slice) -> Batch:
        """Make a batch of whole slices, on the device where they lie."""

    def training_batch(self, slices: Slice) -> Batch:
        """Make what one training step learns from; whole slices unless the task says otherwise."""
        return self(slices)

    def revealed(self, batch: Batch, training: bool) -> Batch:
        """Show more of what a student's batch measured, to a teacher that sees more; here nothing.

        Args:
            batch: made by another task from the same slices.
            training: whether it is one to train on, whose noise is new each time.
        """
        return batch

    @staticmethod
    def batch(slices: Slice, image: Tensor, kspace: Tensor, mask: Tensor) -> Batch:
        """Join what a task made to what the slices carry; shapes as in `Batch`."""
        return Batch(
            image=image,
            kspace=kspace,
            mask=mask,
            target=slices.target,
            data_range=slices.data_range,
            volume=slices.volume,
            slice=slices.slice,
            variant=slices.variant,
            counts=slices.counts,
            coils=slices.coils,
        )

    @abstractmethod
    def baselines(self, batch: Batch) -> dict[str, Tensor]:
        """Return the images that need no network, (B, C, H, W), by their label in tables."""

    @abstractmethod
    def describe(self, size: tuple[int, int], scans: Sequence[Scan] = ()) -> str:
        """Say for a report how slices of a size (H, W) were sampled, in one sentence.

        Args:
            size: of k-space.
            scans: those of several coils that are meant, of any size; none: where all of k-space
                was acquired.
        """

    def doubts(self, size: tuple[int, int], scans: Sequence[Scan] = ()) -> list[str]:
        """Say in sentences what is odd in how slices are sampled; see `describe`. Here nothing."""
        return []

    def undersampled_readout(self, scan: Scan) -> str | None:
        """Return words for `train` that sample a scan well, where samples of its readout lack."""
        return None

    def centre_of(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the size (h, w) of the fully sampled centre of k-space (H, W)."""
        raise ConfigurationError(
            f"{type(self).__name__}: takes no k-space of several coils; give task=reconstruction, "
            "or a data set of one coil"
        )

"""The order of slices: the same for a seed and epoch, shared out between processes."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import Sampler


def padding_item(place: int) -> int:
    """Return the number by which a sampler asks for a slice as a padding item, which is below 0."""
    return -1 - place


def places(items: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Read the numbers of a sampler.

    Args:
        items: places of slices in a data set, or what `padding_item` made of them.

    Returns:
        The places, int64 (N,), and whether each item counts, bool (N,).
    """
    numbers = torch.tensor(items)
    counts = numbers >= 0
    return torch.where(counts, numbers, -1 - numbers), counts


class SliceBatches(Sampler[list[int]]):
    """Batches of slices, in order or shuffled anew each epoch; each process takes its share.

    The k-th batches of all processes together are the k-th batch of one process, also where the
    number of slices or the batch size is not divisible: shares then differ by one slice. Every
    process makes equally many steps, as strategies exchange buffers or weights in each of them; one
    whose share of the last batch is empty gets the first slice of the order as a padding item,
    which goes through the network and counts nowhere.

    Where slices differ in size, those of a batch are of one group; shuffled batches come in the
    order of their first slices.
    """

    def __init__(
        self,
        groups: Sequence[int],
        batch_size: int,
        shuffle: bool,
        seed: int,
        rank: int,
        processes: int,
    ) -> None:
        """Set up one process's share.

        Args:
            groups: of each slice of the split, the number of its group.
            batch_size: slices of a batch over all processes together.
            shuffle: whether each epoch has an order of its own, as training has.
            seed: of the order, together with the epoch.
            rank: index of this process.
            processes: number of processes.
        """
        self._groups, self._batch_size, self._shuffle = groups, batch_size, shuffle
        self._seed, self._rank, self._processes = seed, rank, processes
        self._epoch = self._done = 0

    @property
    def sampler(self) -> "SliceBatches":
        """Itself: Lightning looks here for what knows the epoch."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the order; Lightning calls this at the start of each epoch."""
        self._epoch = epoch

    def go_on(self, epoch: int, done: int) -> None:
        """Begin with an epoch of which some batches are done already."""
        self._epoch, self._done = epoch, done

    def _order(self) -> list[int]:
        if not self._shuffle:
            return list(range(len(self._groups)))
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch)
        return torch.randperm(len(self._groups), generator=generator).tolist()

    def _shares(self) -> Iterator[list[int]]:
        order = self._order()
        for batch in self._batches(order):
            yield batch[self._rank :: self._processes] or [padding_item(order[0])]

    def _batches(self, order: list[int]) -> list[list[int]]:
        """Fill batches of one group each; the order is kept where it is not shuffled."""
        batches: list[list[int]] = []
        unfilled: dict[int, list[int]] = {}
        for place in order:
            group = self._groups[place]
            if not self._shuffle and group not in unfilled:
                unfilled = {}
            if len(unfilled.get(group, ())) in (0, self._batch_size):
                unfilled[group] = []
                batches.append(unfilled[group])
            unfilled[group].append(place)
        return batches

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the batches of an epoch; of one that is resumed, those that are left."""
        done, self._done = self._done, 0  # when the first one is asked for: loaders call this twice
        yield from list(self._shares())[done:]

    def __len__(self) -> int:
        return sum(1 for _ in self._shares())

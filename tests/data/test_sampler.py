"""Shares of several processes: together they are the batches of one."""

import pytest

from kdmri.data.sampler import SliceBatches

UNEVEN = [(3, 4, 4), (12, 11, 2), (5, 1, 2), (7, 2, 3), (8, 4, 2)]


def shares(length: int, batch_size: int, processes: int, shuffle: bool) -> list[list[list[int]]]:
    return [
        list(SliceBatches(length, batch_size, shuffle, 42, rank, processes))
        for rank in range(processes)
    ]


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(("length", "batch_size", "processes"), UNEVEN)
def test_each_slice_counts_once_and_no_process_is_left_out(
    length: int, batch_size: int, processes: int, shuffle: bool
) -> None:
    found = shares(length, batch_size, processes, shuffle)
    counted = [item for share in found for batch in share for item in batch if item >= 0]
    assert sorted(counted) == list(range(length))
    assert all(share and all(share) for share in found)


@pytest.mark.parametrize(("length", "batch_size", "processes"), UNEVEN)
def test_processes_train_the_batches_of_one(length: int, batch_size: int, processes: int) -> None:
    (whole,) = shares(length, batch_size, 1, shuffle=True)
    found = shares(length, batch_size, processes, shuffle=True)
    for number, batch in enumerate(whole):
        assert {i for share in found for i in share[number] if i >= 0} == set(batch)

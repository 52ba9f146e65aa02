from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from kdmri.data.batch import collate
from kdmri.data.cropping import fit_centre, fit_centre_tensor
from kdmri.data.dataset import SliceDataset
from kdmri.data.layout import inspect, write_volume
from kdmri.data.masks import GaussianLines
from kdmri.data.sampler import SliceBatches, padding_item
from kdmri.errors import DataError
from kdmri.physics import CartesianUndersampling
from tests.conftest import write_original

PLENTY = 2**30


@pytest.mark.parametrize(("have", "want"), [(7, 4), (4, 7), (8, 5), (5, 8), (6, 6)])
def test_centre_stays_at_the_centre(have: int, want: int) -> None:
    image = np.zeros((have, have))
    image[have // 2, have // 2] = 1
    fitted = fit_centre(image, (want, want))
    assert fitted.shape == (want, want)
    assert fitted[want // 2, want // 2] == 1
    several = torch.from_numpy(np.stack([image, image]))
    assert torch.equal(fit_centre_tensor(several, (want, want))[1], torch.from_numpy(fitted))


def test_slices_come_volume_by_volume(own: Path, anatomy: np.ndarray) -> None:
    volumes = [inspect(own / "test" / f"{name}.h5", channels=1) for name in "ab"]
    dataset = SliceDataset(volumes, cache_bytes=PLENTY)
    assert len(dataset) == 9
    item = dataset[6]
    assert (item.volume, item.slice) == (1, 1)
    np.testing.assert_allclose(item.target[0], anatomy[:, :, 28], atol=1e-6)
    assert item.data_range == pytest.approx(anatomy[:, :, 27:31].max())


def test_what_is_cut_off_does_not_count_for_the_data_range(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    volume = anatomy[:, :, 5:9] * 0.5
    volume[0, 0, 2] = 1
    write_volume(tmp_path / "1.h5", volume, {})
    (whole, cut) = (
        SliceDataset([inspect(tmp_path / "1.h5", channels=1)], image_size=size)[0].data_range
        for size in (None, (40, 32))
    )
    assert whole == 1
    assert cut == pytest.approx(volume[4:44, 4:36].max())


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("workers", [0, 2])
def test_memory_and_open_files_give_the_same_slices(
    tmp_path: Path, anatomy: np.ndarray, channels: int, workers: int
) -> None:
    write_volume(tmp_path / "1.h5", anatomy[:, :, :5] * np.exp(0.3j), {})
    volumes = [inspect(tmp_path / "1.h5", channels)]
    cached = SliceDataset(volumes, (40, 48), cache_bytes=PLENTY)
    streamed = SliceDataset(volumes, (40, 48), cache_bytes=0)
    _ = streamed[0]  # a file that is open before the workers start must not disturb them
    loaders = [
        DataLoader(dataset, batch_size=2, num_workers=workers, collate_fn=collate)
        for dataset in (cached, streamed)
    ]
    for expected, found in zip(*loaders, strict=True):
        torch.testing.assert_close(found.target, expected.target)
        assert found.target.shape[1:] == (channels, 40, 48)


def test_no_more_files_stay_open_than_are_allowed(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes = [inspect(path, channels=1) for path in sorted(own.rglob("*.h5"))]
    assert len(volumes) > 2
    in_memory = SliceDataset(volumes, cache_bytes=PLENTY)
    monkeypatch.setattr("kdmri.data.open_files.MOST", 2)
    dataset = SliceDataset(volumes)
    opened: list[h5py.File] = []
    for item in (*range(len(dataset)), 0):
        assert torch.equal(dataset[item].target, in_memory[item].target)
        opened += [file for file in dataset._files._files.values() if file not in opened]
        assert sum(bool(file) for file in opened) <= 2, "a closed file is false"
    assert len(opened) > len(volumes), "the first one was opened again"


def test_stored_kspace_is_served_at_orthonormal_scale(tmp_path: Path, anatomy: np.ndarray) -> None:
    mask = GaussianLines(4)((48, 40))
    write_original(tmp_path / "1.h5", anatomy[:, :, :3], mask, scale=np.sqrt(48 * 40))
    volumes = [inspect(tmp_path / "1.h5", 1, "4x")]
    expected = mask * np.fft.fft2(anatomy[:, :, 2], norm="ortho")
    for cache in (0, PLENTY):
        kspace = SliceDataset(volumes, cache_bytes=cache)[2].kspace
        assert kspace is not None
        np.testing.assert_allclose(kspace[0], expected, atol=1e-5)


def test_slices_of_different_sizes_need_a_common_one(tmp_path: Path, anatomy: np.ndarray) -> None:
    write_volume(tmp_path / "1.h5", anatomy, {})
    write_volume(tmp_path / "2.h5", anatomy[:40], {})
    volumes = [inspect(tmp_path / f"{n}.h5", 1) for n in (1, 2)]
    with pytest.raises(DataError, match=r"2.h5: slices of \(40, 40\).*dataset.image_size"):
        SliceDataset(volumes)
    assert SliceDataset(volumes, (40, 40))[40].target.shape == (1, 40, 40)


def test_stored_kspace_cannot_be_cropped(tmp_path: Path, anatomy: np.ndarray) -> None:
    write_original(tmp_path / "1.h5", anatomy, GaussianLines(4)((48, 40)))
    with pytest.raises(DataError, match=r"1.h5: dataset.image_size cannot be applied"):
        SliceDataset([inspect(tmp_path / "1.h5", 1, "4x")], (40, 40))


@pytest.mark.parametrize("cache", [0, PLENTY])
def test_several_slices_at_once_are_the_single_ones(
    tmp_path: Path, anatomy: np.ndarray, cache: int
) -> None:
    mask = GaussianLines(4)((48, 40))
    for number, cut in (("1", slice(3, 6)), ("2", slice(8, 12))):
        write_original(tmp_path / f"{number}.h5", anatomy[:, :, cut] / int(number), mask)
    dataset = SliceDataset([inspect(tmp_path / f"{n}.h5", 1, "4x") for n in (1, 2)], None, cache)
    chosen = [5, 0, padding_item(3), 2]
    found, expected = dataset.__getitems__(chosen), collate([dataset[item] for item in chosen])
    for name, one, other in zip(found._fields, found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, msg=name)
    np.testing.assert_allclose(found.target[0, 0], anatomy[:, :, 10] / 2, atol=1e-6)
    assert found.volume.tolist() == [1, 0, 1, 0]
    assert found.counts is not None
    assert found.counts.tolist() == [True, True, False, True]
    assert found.slice.tolist() == [2, 0, 0, 2]


def shares(
    length: int, size: int, shuffle: bool, processes: int, epoch: int = 3
) -> list[list[list[int]]]:
    samplers = [
        SliceBatches([0] * length, size, shuffle, 0, r, processes) for r in range(processes)
    ]
    for sampler in samplers:
        sampler.set_epoch(epoch)
    assert [len(list(sampler)) for sampler in samplers] == [len(sampler) for sampler in samplers]
    return [list(sampler) for sampler in samplers]


@pytest.mark.parametrize("size", [4, 5, 9])
@pytest.mark.parametrize("length", [7, 8, 10])
@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("shuffle", [True, False])
def test_processes_together_have_the_batches_of_one(
    length: int, size: int, processes: int, shuffle: bool
) -> None:
    """Of each as many, or a strategy that exchanges buffers or weights in a step would wait."""
    (whole,) = shares(length, size, shuffle, 1)
    ordered = [index for batch in whole for index in batch]
    assert (ordered == list(range(length))) != shuffle
    assert sorted(ordered) == list(range(length))
    parts = shares(length, size, shuffle, processes)
    assert {len(part) for part in parts} == {len(whole)}
    for batch, *of_processes in zip(whole, *parts, strict=True):
        counted = [index for share in of_processes for index in share if index >= 0]
        assert sorted(counted) == sorted(batch)
        assert all(share for share in of_processes)


def test_process_without_a_slice_gets_a_padding_item() -> None:
    padding = padding_item(0)
    assert shares(3, 4, False, 4) == [[[0]], [[1]], [[2]], [[padding]]]
    assert shares(2, 1, False, 2) == [[[0], [1]], [[padding], [padding]]]


def test_order_depends_on_seed_and_epoch_alone() -> None:
    batches = SliceBatches([0] * 50, 4, True, 1, 0, 1)
    first = list(batches)
    assert list(batches) == first
    batches.set_epoch(1)
    assert sorted(map(sorted, batches)) != sorted(map(sorted, first))
    assert list(batches) != first
    assert list(SliceBatches([0] * 50, 4, True, 2, 0, 1)) != first


def test_padding_item_is_a_slice_that_does_not_count(own: Path) -> None:
    dataset = SliceDataset([inspect(own / "test" / f"{name}.h5", channels=1) for name in "ab"])
    padding, slice_ = dataset[padding_item(6)], dataset[6]
    assert (bool(padding.counts), bool(slice_.counts)) == (False, True)
    for name, one, other in zip(slice_._fields, padding, slice_, strict=True):
        if name != "counts":
            torch.testing.assert_close(one, other, rtol=0, atol=0, msg=name)
    batch = CartesianUndersampling(GaussianLines(4))(collate([slice_, padding, slice_]))
    assert batch.items == 2
    assert batch.select([1]).items == batch.sliced().counts[1] == 0  # type: ignore[index]


def test_resumed_epoch_has_the_batches_that_are_left() -> None:
    batches, resumed = (SliceBatches([0] * 20, 3, True, 7, 0, 1) for _ in range(2))
    batches.set_epoch(4)
    whole = list(batches)
    resumed.go_on(epoch=4, done=3)
    iter(resumed)  # loaders with workers do this once for nothing
    assert list(resumed) == whole[3:]
    assert list(resumed) == whole


@pytest.mark.parametrize("scale", [4095, 1e-5])
def test_volume_that_is_not_scaled_is_refused(
    tmp_path: Path, anatomy: np.ndarray, scale: float
) -> None:
    write_volume(tmp_path / "raw.h5", anatomy * scale, {})
    with pytest.raises(DataError, match=r"raw\.h5: volfs reaches .*format=layout"):
        SliceDataset([inspect(tmp_path / "raw.h5", channels=1)])

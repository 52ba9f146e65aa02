"""Volumes of several coils: their files, what is computed beside them, and batches of them."""

from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

from kdmri.data import coils
from kdmri.data.attributes import Attribute
from kdmri.data.batch import Slice, collate
from kdmri.data.coil_dataset import CoilDataset
from kdmri.data.coils import Size, inspect_coils, read_kspace
from kdmri.data.companions import central, companion
from kdmri.data.layout import TARGET, write_slices
from kdmri.data.masks import EquispacedLines, GaussianLines, RegularLines, UniformLines
from kdmri.data.readers.kspace import centred_ifft2, root_sum_of_squares
from kdmri.data.sampler import SliceBatches
from kdmri.errors import DataError
from kdmri.physics import CartesianUndersampling, ifft2, to_complex
from kdmri.physics.consistency import Measurement
from kdmri.physics.espirit import Espirit
from tests.data.coil_volumes import Known, write
from tests.data.readers.coils import centred_fft2, phased, sensitivities


def dataset(folder: Path, names: str, centre: Size = (8, 8), memory: int = 0) -> CoilDataset:
    volumes = [inspect_coils(folder / "train" / f"{name}.h5") for name in names]
    companions = [companion(volume, folder, centre, Known()) for volume in volumes]
    return CoilDataset(volumes, companions, memory)


def test_target_is_the_combined_image_and_the_scale_that_of_the_centre(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    images = phased(anatomy, slice(10, 13))
    kspace = write(tmp_path / "train" / "a.h5", images, scale=250.0)
    found = dataset(tmp_path, "a")
    centre = torch.from_numpy(kspace).clone()
    far = torch.from_numpy(np.abs(np.rint(np.fft.fftfreq(48) * 48)) > 4)  # -4 is kept, 4 is not
    centre[:, :, far], centre[:, :, 4] = 0, 0
    far = torch.from_numpy(np.abs(np.rint(np.fft.fftfreq(40) * 40)) > 4)
    centre[..., far], centre[..., 4] = 0, 0
    scale = float((ifft2(centre).abs() ** 2).sum(dim=1).max() ** 0.5)
    for number, item in enumerate(found):
        assert item.coils is not None
        assert item.kspace is not None
        own = to_complex(item.target[None])[0, 0]
        torch.testing.assert_close(own, torch.from_numpy(250 * images[number]) / scale)
        torch.testing.assert_close(item.kspace, torch.from_numpy(kspace[number]) / scale)
        assert item.data_range == pytest.approx(250 * np.abs(images).max() / scale, rel=1e-5)
        assert item.coils.acquired.all()


def test_memory_and_files_give_the_same(tmp_path: Path, anatomy: np.ndarray) -> None:
    for name, first in (("a", 10), ("b", 20)):
        write(tmp_path / "train" / f"{name}.h5", phased(anatomy, slice(first, first + 2)))
    kept, read = (dataset(tmp_path, "ab", memory=m) for m in (2**30, 0))
    for place in range(4):
        for one, other in zip(_tensors(kept[place]), _tensors(read[place]), strict=True):
            assert torch.equal(one, other)


def _tensors(item: Slice) -> list[Tensor]:
    assert item.coils is not None
    found = [*item[:-1], *item.coils]
    return [field for field in found if isinstance(field, Tensor)]


@pytest.mark.parametrize("shape", [(48, 40), (47, 39)])
def test_fastmri_files_are_read_in_place(
    tmp_path: Path, anatomy: np.ndarray, shape: tuple[int, int]
) -> None:
    images = phased(anatomy, slice(10, 13))[:, : shape[0], : shape[1]]
    stored = centred_fft2(images[:, None] * sensitivities(3, shape))
    with h5py.File(tmp_path / "file1.h5", "w") as file:
        file["kspace"] = stored
    shown = np.abs(images[:, 8:40, 4:36]).astype(np.float32)
    attributes: dict[str, Attribute] = {coils.KSPACE_FILE: str(tmp_path / "file1.h5")}
    write_slices(tmp_path / "train" / "a.h5", ({TARGET: s} for s in shown), attributes)
    volume = inspect_coils(tmp_path / "train" / "a.h5")
    assert (volume.shape, volume.coils, volume.shown.size) == ((*shape, 3), 3, (32, 32))
    with h5py.File(volume.kspace_path) as file:
        for index in range(3):
            expected = np.fft.fft2(centred_ifft2(stored[index]), norm="ortho")
            np.testing.assert_allclose(read_kspace(file, volume, index), expected, atol=1e-5)
    assert (tmp_path / "train" / "a.h5").stat().st_size < 0.5 * stored.nbytes, "copied nothing"
    (tmp_path / "file1.h5").unlink()
    with pytest.raises(DataError, match=r"a\.h5: its k-space is read in place from .*file1\.h5"):
        inspect_coils(tmp_path / "train" / "a.h5")


def test_lines_that_were_never_acquired_count_nowhere(tmp_path: Path, anatomy: np.ndarray) -> None:
    images = phased(anatomy, slice(10, 12))
    kspace = write(tmp_path / "train" / "a.h5", images)
    padded = np.arange(40)[(np.fft.fftfreq(40) * 40 > 14)]  # as a partial Fourier scan leaves them
    kspace[..., padded] = 0
    with h5py.File(tmp_path / "train" / "a.h5", "a") as file:
        file[coils.KSPACE][...] = np.moveaxis(kspace, 0, -1)
    found = dataset(tmp_path, "a")
    rule = EquispacedLines(acceleration=2, axis=1)
    batch = CartesianUndersampling(rule)(collate([found[0], found[1]]))
    assert not batch.mask[..., padded].any()
    assert rule((48, 40))[0, padded].any(), "the rule would have measured some of them"
    assert not batch.kspace[..., padded].any()
    measured = rule((48, 40))[0].sum() - rule((48, 40))[0, padded].sum()
    text = CartesianUndersampling(rule).describe((48, 40), found.scans)
    assert text.endswith(f"effective acceleration {(40 - len(padded)) / measured:.2f}x")


def test_batch_is_the_adjoint_of_what_was_measured(tmp_path: Path, anatomy: np.ndarray) -> None:
    images = phased(anatomy, slice(10, 12))
    kspace = write(tmp_path / "train" / "a.h5", images)
    found = dataset(tmp_path, "a")
    rule = EquispacedLines(acceleration=3, axis=1)
    batch = CartesianUndersampling(rule)(collate([found[0], found[1]]))
    mask = rule((48, 40))
    assert batch.coils is not None
    coil_images = np.fft.ifft2(mask * kspace, norm="ortho")
    expected = (sensitivities(4, (48, 40)).conj() * coil_images).sum(axis=1)
    scale = float(np.abs(images[0]).max()) / float(to_complex(batch.target)[0].abs().max())
    found_images = scale * to_complex(batch.image)[:, 0].numpy()
    np.testing.assert_allclose(found_images, expected, atol=1e-5)
    outside = batch.kspace[:, :, mask == 0]
    assert not torch.view_as_real(outside).signbit().any(), "no signs of what was not measured"


def test_masks_by_name_do_not_depend_on_order_and_those_of_training_differ(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    for name in ("a", "bcd"):
        write(tmp_path / "train" / f"{name}.h5", phased(anatomy, slice(10, 12)))
    rule = UniformLines(acceleration=3, axis=1, centre_fraction=0.1)
    task = CartesianUndersampling(rule, masks=1000, by_volume=True)
    volumes = dataset(tmp_path, ["a", "bcd"])  # type: ignore[arg-type]
    together = task(collate([volumes[place] for place in range(4)])).mask
    assert torch.equal(together[0], together[1])
    assert not torch.equal(together[1], together[2])
    alone = task(collate([dataset(tmp_path, ["bcd"])[0]])).mask  # type: ignore[arg-type]
    assert torch.equal(alone[0], together[2])
    expected = rule.of_volume(tuple(map(ord, "bcd.h5")))((48, 40))
    np.testing.assert_array_equal(alone[0, 0], expected)
    torch.manual_seed(0)
    drawn = task.training_batch(collate([volumes[place] for place in range(4)])).mask
    assert len({mask.numpy().tobytes() for mask in drawn}) == 4, "each slice has its own"


@pytest.mark.parametrize("gain", [0.5, 3.0])
def test_stored_sensitivities_have_unit_norm(
    tmp_path: Path, anatomy: np.ndarray, gain: float
) -> None:
    """With others the true image would not agree with what was measured of it."""
    write(tmp_path / "train" / "a.h5", phased(anatomy, slice(10, 12)))
    with h5py.File(tmp_path / "train" / "a.h5", "r+") as file:
        file[coils.SENSITIVITIES][...] *= gain
    batch = CartesianUndersampling(EquispacedLines(4))(collate([dataset(tmp_path, "a")[0]]))
    assert batch.coils is not None
    measurement = Measurement(batch.kspace, batch.mask, batch.coils.sensitivities)
    torch.testing.assert_close(measurement.impose(batch.target), batch.target, rtol=0, atol=1e-5)


def test_stored_sensitivities_of_nan_are_refused(tmp_path: Path, anatomy: np.ndarray) -> None:
    write(tmp_path / "train" / "a.h5", phased(anatomy, slice(10, 12)))
    with h5py.File(tmp_path / "train" / "a.h5", "r+") as file:
        file[coils.SENSITIVITIES][0, 3, 4, 1] = np.nan
    with pytest.raises(DataError, match=r"a\.h5: sensitivities, slice 1 holds NaN"):
        dataset(tmp_path, "a")


def test_calibration_reads_no_line_that_a_volume_has_not() -> None:
    rules = (
        GaussianLines(4, axis=1, centre_lines=6),
        RegularLines(2),
        EquispacedLines(8, centre_fraction=0.04),
    )
    for rule, size in product(rules, ((48, 40), (256, 256))):
        task = CartesianUndersampling(rule, by_volume=True)
        full = central(torch.ones(size), task.centre_of(size))
        for number in range(20):
            name = tuple(map(ord, f"file{number}.h5"))
            missed = full * (1 - task.mask(size, name=name)[0, 0])
            assert not missed.any(), (rule, name)


def test_teacher_that_sees_more_sees_what_was_measured(tmp_path: Path, anatomy: np.ndarray) -> None:
    write(tmp_path / "train" / "a.h5", phased(anatomy, slice(10, 12)))
    few = CartesianUndersampling(EquispacedLines(4, axis=1))
    more = CartesianUndersampling(EquispacedLines(4, axis=1), more=EquispacedLines(2, axis=1))
    batch = few(collate([dataset(tmp_path, "a")[0]]))
    revealed = more.revealed(batch, training=True)
    assert revealed.mask.sum() > 1.5 * batch.mask.sum()
    assert batch.coils is not None
    full = batch.coils.full
    assert full is not None
    assert torch.equal(revealed.kspace, torch.where(revealed.mask > 0, full, 0))
    assert torch.equal(more(batch.sliced()).kspace, revealed.kspace)


def test_batches_are_of_one_size_and_one_number_of_coils(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    images = phased(anatomy, slice(10, 15))
    write(tmp_path / "train" / "a.h5", images)
    write(tmp_path / "train" / "b.h5", images, count=6)
    write(tmp_path / "train" / "c.h5", images[:, :40])
    write(tmp_path / "train" / "d.h5", images)
    found = dataset(tmp_path, "abcd")
    assert found.groups == [0] * 5 + [1] * 5 + [2] * 5 + [0] * 5
    for shuffle in (False, True):
        shares = [
            [list(b) for b in SliceBatches(found.groups, 4, shuffle, 3, rank, 2)]
            for rank in range(2)
        ]
        assert len(shares[0]) == len(shares[1]), "all processes make equally many steps"
        together = [[i for b in pair for i in b if i >= 0] for pair in zip(*shares, strict=True)]
        assert sorted(i for batch in together for i in batch) == list(range(20))
        for batch in together:
            assert len({found.groups[i] for i in batch}) == 1
            task = CartesianUndersampling(EquispacedLines(3, axis=1))
            assert task(found.__getitems__(batch)).image.isfinite().all()
        if not shuffle:
            alone = SliceBatches(found.groups, 4, False, 3, 0, 1)
            assert [i for batch in alone for i in batch] == list(range(20)), "order is kept"


def test_what_is_wrong_with_a_file_is_told(tmp_path: Path, anatomy: np.ndarray) -> None:
    images = phased(anatomy, slice(10, 12))
    write_slices(tmp_path / "train" / "one.h5", ({TARGET: np.abs(s)} for s in images), {})
    with pytest.raises(DataError, match=r"one\.h5: has no kspace_coils; .*keep_coils=true"):
        inspect_coils(tmp_path / "train" / "one.h5")
    path = tmp_path / "train" / "a.h5"
    write(path, images)
    with h5py.File(path, "a") as file:
        del file[coils.SENSITIVITIES]
        file[coils.SENSITIVITIES] = np.ones((4, 20, 20, 2), np.complex64)
    with pytest.raises(DataError, match=r"a\.h5: kspace_coils is .*sensitivities is \(4, 20, 20"):
        inspect_coils(path)
    write(path, images)
    with h5py.File(path, "a") as file:
        file[coils.KSPACE][1, 2, 3, 0] = np.nan
    with pytest.raises(DataError, match=r"a\.h5: kspace_coils, slice 0 holds NaN"):
        dataset(tmp_path, "a")
    write(path, 0 * images)
    with pytest.raises(DataError, match=r"a\.h5: its k-space is zero"):
        dataset(tmp_path, "a")


def undersampled(kspace: np.ndarray) -> np.ndarray:
    return kspace * (np.arange(40) % 3 == 0)[:, None]


@pytest.mark.parametrize(
    ("key", "change", "told"),
    [
        (coils.KSPACE, undersampled, "undersampled: no target can be made of it .slice 0"),
        (coils.KSPACE, partial(np.fft.fftshift, axes=(1, 2)), "strongest in the middle"),
        (coils.KSPACE, np.real, "kspace_coils is float32 of shape"),
        (coils.KSPACE, lambda k: k[0], "kspace_coils is complex64 of shape"),
        (TARGET, lambda t: np.pad(t, ((9, 9), (0, 0), (0, 0))), "66x40, larger than its k-space"),
    ],
)
def test_kspace_that_is_no_target_is_refused(
    tmp_path: Path,
    anatomy: np.ndarray,
    key: str,
    change: Callable[[np.ndarray], np.ndarray],
    told: str,
) -> None:
    """Files of one's own, which no reader has judged."""
    path = tmp_path / "train" / "a.h5"
    write(path, phased(anatomy, slice(10, 12)), known=False)
    with h5py.File(path, "a") as file:
        values = change(file[key][...])
        del file[key]
        file[key] = values
    with pytest.raises(DataError, match=rf"a\.h5: .*{told}"):
        companion(inspect_coils(path), tmp_path, (12, 12), Espirit())


def test_groups_are_no_kspace(tmp_path: Path, anatomy: np.ndarray) -> None:
    path = tmp_path / "train" / "a.h5"
    write(path, phased(anatomy, slice(10, 12)), known=False)
    with h5py.File(path, "a") as file:
        file.create_group(coils.SENSITIVITIES)
    with pytest.raises(DataError, match=r"a\.h5: .*sensitivities is a group"):
        inspect_coils(path)


def test_root_sum_of_squares_is_the_magnitude_of_the_combined(anatomy: np.ndarray) -> None:
    image = phased(anatomy, slice(10, 11))[0]
    maps = sensitivities(5, image.shape)
    np.testing.assert_allclose(root_sum_of_squares(maps * image), np.abs(image), atol=1e-6)

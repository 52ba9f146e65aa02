from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from kdmri.data.datamodule import MRIDataModule
from kdmri.data.masks import EquispacedLines, GaussianLines, MaskRule, PoissonDisc
from kdmri.errors import DataError
from kdmri.physics import CartesianUndersampling, fft2, to_complex
from tests.conftest import write_original
from tests.data.coil_volumes import write


def data_of(folder: Path, anatomy: np.ndarray, mask: np.ndarray) -> MRIDataModule:
    """Files of the original project that one mask sampled, mirrored in training."""
    for split, first in (("train", 4), ("validation", 20), ("test", 28)):
        write_original(folder / split / "acc_4x" / "1.h5", anatomy[:, :, first : first + 8], mask)
    task = CartesianUndersampling(lambda size: mask)
    data = MRIDataModule(task, folder, "4x", batch_size=8, seed=0, flips=True)
    data.trainer = SimpleNamespace(training=True, global_rank=0, world_size=1)
    return data


def test_mirrored_kspace_is_that_of_its_target_under_its_mask(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    data = data_of(tmp_path, anatomy, GaussianLines(4, axis=1)((48, 40)))
    torch.manual_seed(1)
    (slices,) = data.train_dataloader()  # the head is symmetric from left to right alone
    batch = data.on_after_batch_transfer(slices, 0)
    mirrored = [not torch.equal(a, b) for a, b in zip(slices.target, batch.target, strict=True)]
    assert 0 < sum(mirrored) < 8
    expected = batch.mask * fft2(to_complex(batch.target))
    torch.testing.assert_close(batch.kspace, expected, rtol=0, atol=1e-5)


def test_points_in_kspace_cannot_be_mirrored(tmp_path: Path, anatomy: np.ndarray) -> None:
    mask = np.eye(48, 40, dtype=np.uint8)
    data = data_of(tmp_path, anatomy, mask)
    data.dataset("evaluation")  # which nothing mirrors
    with pytest.raises(DataError, match=r"1\.h5: augmentation\.flips cannot be applied"):
        data.dataset("train")


def test_each_file_of_stored_kspace_is_compared_with_the_mask(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    """One of another mask among many would be trained on with samples that it does not have."""
    mask, other = (GaussianLines(4, seed=seed)((48, 40)) for seed in (0, 7))
    data = data_of(tmp_path, anatomy, mask)
    path = tmp_path / "train" / "acc_4x" / "2.h5"
    write_original(path, anatomy[:, :, 12:17], mask)
    data.dataset("selection")
    write_original(path, anatomy[:, :, 12:17], other)
    with pytest.raises(DataError, match=r"2\.h5: kspace_volus_4x has samples outside the mask"):
        data.dataset("train")


def test_slices_that_a_transform_changed_never_come_again(own: Path) -> None:
    """Else a teacher would be asked what it made of another image."""
    task = CartesianUndersampling(GaussianLines(4))
    data = MRIDataModule(
        task,
        own,
        "4x",
        batch_size=4,
        seed=0,
        transform=lambda slices: slices._replace(target=slices.target * 0.9),
    )
    data.trainer = SimpleNamespace(training=True, global_rank=0, world_size=1)
    slices = next(iter(data.train_dataloader()))
    assert slices.variant is not None
    assert data.on_after_batch_transfer(slices, 0).variant is None


@pytest.mark.parametrize(
    ("rule", "effective", "centre"),
    [
        (EquispacedLines(100, centre_fraction=0.25), "4x", "centre_fraction"),  # 10 of 40
        (EquispacedLines(7, centre_fraction=0.25), None, ""),
        (GaussianLines(100, axis=1, centre_lines=10), "40x", "centre_lines"),  # a line at least
        (GaussianLines(8, axis=1, centre_lines=10), None, ""),
        (PoissonDisc(64, centre_radius=6), "17x", "centre_radius"),  # 113 of 1920 samples
    ],
)
def test_far_less_acceleration_than_is_asked_for_is_said(
    own: Path, rule: MaskRule, effective: str | None, centre: str
) -> None:
    """Else 4x would stand in a directory and in tables as 100x, and only one figure tells."""
    task = CartesianUndersampling(rule)
    found = MRIDataModule(task, own, "4x", batch_size=4, seed=0).doubts("train", "selection")
    assert len(found) == (effective is not None)
    for text in found:
        assert f"acceleration {rule.acceleration:g}x is {effective} in effect" in text
        assert text.endswith(f"acceleration.factor or dataset.mask.{centre}")


def test_coils_that_a_training_on_images_leaves_unused_are_said(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    for split in ("train", "validation", "test"):
        write(tmp_path / split / "a.h5", np.moveaxis(anatomy, -1, 0)[8:12])
    task = CartesianUndersampling(GaussianLines(4))
    (said,) = MRIDataModule(task, tmp_path, "4x", batch_size=4, seed=0).doubts("train")
    assert said.startswith(f"{tmp_path}: k-space of several coils is in its files")
    assert "dataset=multicoil" in said

"""E2E-VarNets in the commands: trained, distilled into each other and into DC-CNNs, and used."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from kdmri.models import VarNet, load_network
from kdmri.physics import fft2, ifft2, magnitude
from kdmri.physics.coils import root_sum_of_squares
from tests.conftest import Result
from tests.reconstruct.coils import TRAINED
from tests.reconstruct.test_fastmri_coils import FILE, LINES, coil_images, write
from tests.test_multicoil import HEAD

Run = Callable[..., Result]
NETWORK = {
    "_target_": "kdmri.models.VarNet",
    **{"cascades": 2, "width": 4, "levels": 2, "channels": 2},
    **{"sensitivity_width": 3, "sensitivity_levels": 2},
}
SMALL = (
    *HEAD,
    "dataset.mask.centre_fraction=0.3",
    "dataset.build.slabs=[[train,1],[test,1],[validation,1]]",
    "evaluation.detailed=false",
    "evaluation.baselines=[]",
    "+trainer.limit_train_batches=2",
)
TEACHER = ("architecture@teacher=varnet_small", "~teacher.depth", "teacher.levels=2")
STUDENT = ("architecture@student=varnet_tiny", "~student.depth", "student.levels=1")


@pytest.fixture
def trained(checkpoint: Callable[..., Path]) -> Path:
    """A random VarNet as training leaves it."""
    weights = VarNet(**{k: v for k, v in NETWORK.items() if k != "_target_"}).state_dict()
    return checkpoint(**TRAINED, network=NETWORK, weights=weights)


def weights_of(tmp_path: Path, stage: str) -> dict[str, Any]:
    (path,) = (tmp_path / "experiments").rglob(f"*_{stage}*/best_model.pt")
    return torch.load(path, weights_only=True)["weights"]


def test_varnet_is_distilled_into_a_smaller_one(run: Run, tmp_path: Path) -> None:
    words = ("intermediate_supervision=0.2", "stage.run=[teacher,feature,kd]")
    result = run("train.py", *SMALL, *TEACHER, *STUDENT, *words)
    assert result.code == 0, result.err
    assert "Student + KD" in result.out
    feature, kd = weights_of(tmp_path, "feature"), weights_of(tmp_path, "kd")
    assert not torch.equal(feature["cascades.1.dc_weight"], kd["cascades.1.dc_weight"])
    key = "sensitivity.unet.down.0.0.weight"
    assert not torch.equal(feature[key], kd[key])


def test_varnet_and_dc_cnn_teach_each_other(run: Run) -> None:
    blocks = "distillation.taps.teacher=[[0,bottleneck],[1,up2]]"
    student = "distillation.taps.student=[[0,0],[1,0]]"
    few = "stage.run=[teacher,joint]"
    result = run(
        "train.py", *SMALL, *TEACHER, "stage=all_joint", "loss=joint", few, blocks, student
    )
    assert result.code == 0, result.err
    result = run("train.py", *SMALL, *STUDENT, "stage=all_joint", "loss=joint", few)
    assert result.code == 0, result.err


def test_student_friendly_varnet(run: Run) -> None:
    result = run("train.py", *SMALL, *TEACHER, *STUDENT, "stage=sft", "stage.run=[sft_teacher]")
    assert result.code == 0, result.err
    mixed = run("train.py", *SMALL, *TEACHER, "stage=sft", "stage.run=[sft_teacher]")
    assert mixed.code == 2
    text = " ".join(mixed.err.split())
    assert "VarNet (teacher) hand on k-space of all coils, those of DCCNN (student) take" in text


def test_one_channel_is_refused_with_the_way_out(run: Run) -> None:
    result = run("train.py", *SMALL[:2], *STUDENT)
    assert result.code == 2
    assert "dataset.channels=2" in " ".join(result.err.split())


def test_scan_of_fastmri_becomes_the_root_sum_of_squares(
    trained: Path, run: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    images = coil_images(anatomy)
    write(tmp_path / "scans" / FILE, images, LINES)
    words = (f"checkpoint={trained}", "input=scans", "output=out")
    result = run("kdmri/reconstruct/__main__.py", *words)
    assert result.code == 0, result.err
    mask = torch.from_numpy(np.fft.ifftshift(LINES)).float().expand(1, 1, 96, 40)
    kspace = torch.where(mask > 0, fft2(torch.from_numpy(images).to(torch.complex64)), 0)
    with torch.no_grad():  # the scale of the scan cancels, and no sensitivities are needed
        given = torch.zeros(len(images), 2, 96, 40)
        wanted = magnitude(load_network(trained)(given, kspace, mask))[:, 0, 24:72, 4:36].numpy()
    with h5py.File(tmp_path / "out" / FILE) as file:
        found = file["reconstruction"][...]
    np.testing.assert_allclose(found, wanted, atol=1e-4 * wanted.max())
    zero_filled = root_sum_of_squares(ifft2(kspace))[:, 0, 24:72, 4:36].numpy()
    assert np.abs(zero_filled - wanted).max() > 0.1 * wanted.max()


@pytest.mark.parametrize("kind", ["onnx", "torch_export"])
def test_export_names_what_can_be_exported(trained: Path, run: Run, kind: str) -> None:
    words = (f"checkpoint={trained}", "output=out", f"format={kind}")
    result = run("kdmri/export/__main__.py", *words)
    assert result.code == 2
    text = " ".join(result.err.split())
    assert "VarNet is not exported, its cascades hand on k-space of all coils" in text

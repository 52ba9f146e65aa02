"""What runs on a GPU gives what the CPU gives; skipped where there is none."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hydra import compose

from kdmri.data.batch import Slice
from kdmri.data.masks import GaussianLines
from kdmri.models import build_network, network_settings
from kdmri.physics import CartesianUndersampling
from kdmri.training.muon import Muon
from tests.conftest import Result, command
from tests.distillation.test_losses import ALL, build, features
from tests.killing import as_user, finish, kill_after_first_save, weights_of
from tests.test_train import STAGES

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
Run = Callable[..., Result]
EXACT = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(autouse=True)
def _full_single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default cuDNN rounds what it convolves to ten bits (TF32)."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def slices(count: int = 3) -> Slice:
    torch.manual_seed(3)
    target, number = torch.rand(count, 1, 48, 40), torch.arange(count)
    none = torch.zeros_like(number)
    return Slice(target, None, torch.ones(count), none, number, none)


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize("name", ["d3c5", "d5c5", "d3c5_residual", "d3c5_expanded", "unet"])
@pytest.mark.filterwarnings("default")  # of the compiler itself
@pytest.mark.parametrize("compiled", [False, True])
def test_network_and_its_gradients_are_those_of_the_cpu(name: str, compiled: bool) -> None:
    config = compose("config", [f"architecture@student={name}"])
    network = build_network(network_settings(config.student))
    task = CartesianUndersampling(GaussianLines(4))
    found = []
    for device in ("cpu", "cuda"):
        batch = task(slices().to(torch.device(device)))
        network = network.to(device)
        network.zero_grad()
        call = torch.compile(network) if compiled and device == "cuda" else network
        output = call(batch.image, batch.kspace, batch.mask)
        output.square().mean().backward()
        gradients = [p.grad.cpu().flatten() for p in network.parameters() if p.grad is not None]
        found.append([batch.image.cpu(), output.detach().cpu(), torch.cat(gradients)])
    # Single gradients may be mere rounding. Those of U-Net, which normalises 3x2 pixels here,
    # differ by 8e-4 between float32 and float64 on a CPU already.
    bound = 5e-3 if name == "unet" else 1e-3
    for mine, its in zip(*found, strict=True):
        assert torch.linalg.vector_norm(its - mine) < bound * torch.linalg.vector_norm(mine)


@pytest.mark.parametrize("kind", ALL)
def test_loss_between_activations_is_that_of_the_cpu(kind: Callable) -> None:
    loss, student, teacher = build(kind), features(4, 4), features(4, 4)
    expected = loss(student, teacher)
    found = loss.cuda()([f.cuda() for f in student], [f.cuda() for f in teacher])
    torch.testing.assert_close(found.cpu(), expected, **EXACT)


def test_muon_steps_as_on_the_cpu() -> None:
    found = []
    for device in ("cpu", "cuda"):
        torch.manual_seed(1)
        layer = torch.nn.Conv2d(4, 6, 3).to(device)
        optimizer = Muon(layer.parameters(), lr=0.01, betas=(0.9, 0.99))
        for scale in (1, 2):
            layer.weight.grad = scale * torch.ones_like(layer.weight).cumsum(0).cumsum(3)
            layer.bias.grad = scale * torch.ones_like(layer.bias).cumsum(0)
            optimizer.step()
        found.append([layer.weight.detach().cpu(), layer.bias.detach().cpu()])
    for mine, its in zip(*found, strict=True):
        torch.testing.assert_close(mine, its, **EXACT)


def test_all_stages_learn_what_they_learn_on_the_cpu(
    train: Run, evaluate: Run, tmp_path: Path
) -> None:
    """A large epsilon keeps Adam from blowing up rounding errors of gradients near zero."""
    runs = tmp_path / "experiments" / "own" / "acc_4x"
    words = ("+optimizer.eps=0.01", "augmentation=flips")
    for name, trainer in (("here", "cpu"), ("there", "gpu")):
        result = train(*words, f"name={name}", f"trainer={trainer}")
        assert result.code == 0, result.err
    for stage in STAGES:
        here, there = (next(runs.glob(f"{name}_{stage}_aug*")) for name in ("here", "there"))
        record = json.loads((there / "stage.json").read_text())
        assert torch.cuda.get_device_name() in json.dumps(record)
        expected = weights_of(here)
        for key, value in weights_of(there).items():
            assert not value.is_cuda, "weights are read on machines without a GPU"
            torch.testing.assert_close(value, expected[key], rtol=1e-3, atol=1e-5)
    there = next(runs.glob("there_kd_aug*"))
    measured = [(there / "report.txt").read_text()]
    assert evaluate(*words, "name=there", "trainer=cpu").code == 0
    measured.append((there / "report.txt").read_text())
    psnr = [float(text.split()[2]) for text in measured]
    assert psnr[0] == pytest.approx(psnr[1], rel=1e-3)


@pytest.mark.parametrize("words", [("augmentation=affine",), ("trainer.precision=bf16-mixed",)])
def test_killed_stage_goes_on(tmp_path: Path, own: Path, words: tuple[str, ...]) -> None:
    runs = tmp_path / "experiments" / "own" / "acc_4x"
    words = (*words, "trainer=gpu", "stage=student", "trainer.max_epochs=6", "optimizer=muon")
    finish(as_user(tmp_path, *words, "name=whole"))
    whole = next(runs.glob("whole_student*"))
    folder = whole.with_name(whole.name.replace("whole", "cut"))
    kill_after_first_save(as_user(tmp_path, *words, "name=cut"), folder)
    finish(as_user(tmp_path, *words, "name=cut"))
    psnr = [float((path / "report.txt").read_text().split()[2]) for path in (whole, folder)]
    assert psnr[0] == pytest.approx(psnr[1], rel=1e-2)


def test_reconstructs_on_a_gpu_as_on_the_cpu(train: Run, own: Path, tmp_path: Path) -> None:
    assert train("stage=student", "trainer=gpu").code == 0
    checkpoint = next((tmp_path / "experiments").rglob("best_model.pt"))
    volumes = []
    for device in ("cpu", "cuda"):
        words = (f"checkpoint={checkpoint}", f"input={own / 'test'}", f"output={device}")
        command(tmp_path, "-m", "kdmri.reconstruct", *words, f"device={device}")
        with h5py.File(tmp_path / device / "a.h5") as file:
            volumes.append({key: np.asarray(value) for key, value in file.items()})
    assert volumes[0].keys() == volumes[1].keys()
    for key, values in volumes[0].items():
        np.testing.assert_allclose(values, volumes[1][key], atol=2e-3)


def test_benchmark_measures_a_gpu(tmp_path: Path) -> None:
    words = ("works=[student inference,kd step,student evaluation]", "device=cuda", "rounds=2")
    out = command(tmp_path, "-m", "kdmri.benchmark", *words, "size=[48,40]", "slices=4")
    assert torch.cuda.get_device_name() in out
    assert "kd step" in out

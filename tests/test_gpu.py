"""What runs on a GPU gives what the CPU gives; skipped where there is none."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hydra import compose

from kdmri.data.batch import Coils, Slice
from kdmri.data.cropping import Window
from kdmri.data.masks import EquispacedLines, GaussianLines
from kdmri.distillation import AttentionTransfer, FitNets
from kdmri.models import DCCNN, UNet, build_network, network_settings
from kdmri.physics import CartesianUndersampling, Espirit, Measurement, fft2, ifft2
from kdmri.physics.coils import combine
from kdmri.physics.sense import conjugate_gradient_sense
from kdmri.training import Distillation, StudentFriendly, Supervised
from kdmri.training.base import TrainingMethod
from kdmri.training.captured import Capture
from kdmri.training.distillation import LossWeights
from kdmri.training.muon import Muon
from tests.conftest import TINY, Result, command
from tests.data.readers.coils import phased, sensitivities
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


def methods() -> dict[str, Callable[[], TrainingMethod]]:
    """Each way of learning, with networks wide enough for the products of a graph."""
    student, teacher = (partial(DCCNN, cascades=2, depth=d, width=8) for d in (2, 3))
    adam = partial(torch.optim.Adam, lr=1e-3, eps=0.01)

    def distilled(*weights: float, loss: type = AttentionTransfer) -> TrainingMethod:
        parts = {"distillation": loss(), "weights": LossWeights(*weights), "optimizer": adam}
        return Distillation(network=student(), teacher=teacher(), teacher_cache_gib=0.1, **parts)

    return {
        "supervised": lambda: Supervised(network=teacher(), optimizer=adam),
        "within": lambda: Supervised(
            network=student(), optimizer=adam, intermediate_supervision=0.5
        ),
        "expanded": lambda: Supervised(network=student(expansion=2), optimizer=adam),
        "complex": lambda: Supervised(network=student(channels=2), optimizer=adam),
        "unet": lambda: Supervised(network=UNet(width=8, levels=2), optimizer=adam),
        "feature": lambda: distilled(0.0, 0.0, 1.0),
        "kd": lambda: distilled(0.5, 0.5, 0.0),
        "joint": lambda: distilled(0.5, 0.5, 1.0, loss=FitNets),
        "sft": lambda: StudentFriendly(network=teacher(), student=student(), optimizer=adam),
    }


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("name", list(methods()))
def test_captured_steps_are_those_without_a_graph(name: str, half: bool) -> None:
    task, found = CartesianUndersampling(GaussianLines(4)), []
    for captured in (False, True):
        torch.manual_seed(5)
        method = methods()[name]().cuda()
        method.log = lambda *_, **__: None  # type: ignore[method-assign,assignment]
        if isinstance(method, Distillation):
            method.teacher.cuda()
        method.capture = Capture(method, quiet=True) if captured else None
        optimizer = method.configure_optimizers()
        losses = []
        for step in range(8):
            given = slices(3 if step % 3 else 2).to(torch.device("cuda"))
            if method.network.channels == 2:
                given = given._replace(target=given.target.repeat(1, 2, 1, 1))
            with torch.autocast("cuda", dtype=torch.bfloat16, enabled=half):
                loss = method.loss(task(given))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        if method.capture is not None:
            assert method.capture.refused is None
            assert method.capture.captured == 2, "one for each number of slices"
        found.append((torch.stack(losses), torch.cat([p.flatten() for p in method.parameters()])))
    (losses, weights), (same_losses, same_weights) = found
    assert losses[-1] < losses[1], "it learns"
    torch.testing.assert_close(same_losses, losses, rtol=2e-2 if half else 1e-4, atol=1e-6)
    moved = torch.linalg.vector_norm(same_weights - weights) / torch.linalg.vector_norm(weights)
    assert moved < (2e-2 if half else 1e-3)


def test_a_step_that_waits_for_the_gpu_goes_on_without_a_graph(
    capsys: pytest.CaptureFixture[str],
) -> None:
    layer, image = torch.nn.Linear(4, 4).cuda(), torch.rand(2, 4, device="cuda")

    def waiting(given: torch.Tensor) -> list[torch.Tensor]:
        return [layer(given) * (1 + int(given.shape[0] * given.sum().item() > 0))]

    capture = Capture(layer)
    for _ in range(3):
        (output,) = capture(waiting, "waiting", (image,))
        torch.testing.assert_close(output, 2 * layer(image))
        output.sum().backward()
    assert capsys.readouterr().out.count("capture: not possible") == 1
    again = Capture(layer, quiet=True)
    (output,) = again(lambda given: [layer(given)], "layer", (image,))
    assert again.refused is None, "a refusal leaves the GPU as it was"
    torch.testing.assert_close(output, layer(image))


def test_a_capture_leaves_statistics_and_random_numbers_alone() -> None:
    norms = [torch.nn.BatchNorm2d(3).cuda() for _ in range(2)]
    image = torch.rand(2, 3, 8, 8, device="cuda")
    capture, state = Capture(norms[1], quiet=True), torch.cuda.get_rng_state()
    for _ in range(2):
        expected = norms[0](image)
        (found,) = capture(lambda given: [norms[1](given)], "norm", (image,))
        torch.testing.assert_close(found, expected)
    assert torch.equal(torch.cuda.get_rng_state(), state)
    for one, other in zip(norms[1].buffers(), norms[0].buffers(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(("precision", "bound"), [("32-true", 1e-3), ("16-mixed", 2e-2)])
def test_captured_training_ends_as_one_without(
    train: Run, tmp_path: Path, precision: str, bound: float
) -> None:
    """Clipping, averages, a schedule, accumulated steps and a last, smaller batch are in it."""
    words = ("stage=student", "trainer=gpu", "trainer.max_epochs=3", "student.width=8")
    words += (
        "+optimizer.eps=0.01",
        "scheduler.step_size=1",
        "weight_averaging=0.9",
        "batch_size=5",
    )
    words += ("trainer.gradient_clip_val=0.5", "+trainer.accumulate_grad_batches=2")
    words += (f"trainer.precision={precision}",)
    found = []
    for name, capture in (("graph", "true"), ("plain", "false")):
        result = train(*words, f"name={name}", f"capture={capture}")
        assert result.code == 0, result.err
        assert ("replayed from CUDA graphs" in result.out) == (capture == "true")
        weights = weights_of(next(tmp_path.rglob(f"{name}_student*/best_model.pt")).parent)
        found.append(torch.cat([value.flatten() for value in weights.values()]))
    captured, plain = found
    assert torch.linalg.vector_norm(captured - plain) < bound * torch.linalg.vector_norm(plain)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_captured_stage_that_is_killed_ends_bit_for_bit(
    tmp_path: Path, own: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # as PyTorch asks for
    words = ("trainer=gpu", "stage=student", "trainer.max_epochs=6", "+trainer.deterministic=true")
    words += ("student.width=8", "augmentation=flips", "batch_size=5")
    words += (f"trainer.precision={precision}",)
    finish(as_user(tmp_path, *words, "name=whole"))
    whole = next(tmp_path.rglob("whole_student*"))
    folder = whole.with_name(whole.name.replace("whole", "cut"))
    kill_after_first_save(as_user(tmp_path, *words, "name=cut"), folder)
    finish(as_user(tmp_path, *words, "name=cut"))
    expected = weights_of(whole)
    for key, value in weights_of(folder).items():
        assert torch.equal(value, expected[key]), key


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


def test_benchmark_measures_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    words = ("works=[student inference,kd step,student evaluation]", "device=cuda", "rounds=2")
    out = command(tmp_path, "-m", "kdmri.benchmark", *words, "size=[48,40]", "slices=4")
    assert torch.cuda.get_device_name() in out
    assert "kd step, uncaptured" in out


def test_several_coils_are_those_of_the_cpu(anatomy: np.ndarray) -> None:
    image = torch.from_numpy(phased(anatomy, slice(10, 13)))[:, None]
    maps = torch.from_numpy(sensitivities(6, (48, 40)))
    kspace = fft2(maps * image)
    estimate = Espirit(calibration=24, kernel=6, threshold=0.02, crop=0.8)
    network = DCCNN(cascades=2, depth=3, width=8, channels=2)
    task = CartesianUndersampling(EquispacedLines(3, axis=1, centre_fraction=0.3), masks=20)
    found = []
    for device in (torch.device("cpu"), torch.device("cuda")):
        own = estimate(kspace.to(device), (24, 12))
        target = combine(ifft2(kspace.to(device)), own)
        number, names = torch.arange(3, device=device), torch.zeros(3, 1, dtype=torch.int64)
        given = Slice(
            torch.cat((target.real, target.imag), dim=1),
            kspace.to(device),
            torch.ones(3, device=device),
            *(number, number, 0 * number),
            coils=Coils(own, torch.ones(3, 1, 48, 40).to(device), names, Window(8, 4, 32, 32)),
        )
        torch.manual_seed(0)
        batch = task.training_batch(given)
        output = network.to(device)(*batch.inputs)
        with torch.autocast(device.type, torch.bfloat16):
            half = network(*batch.inputs)
        assert half.dtype == torch.float32
        measured = (batch.kspace, batch.mask, own)
        imposed = Measurement(*measured).impose(batch.target)
        sense = conjugate_gradient_sense(*measured, regularisation=0.01)
        values = (batch.image, output, imposed, sense, (own.conj() * target).abs())
        found.append([value.detach().cpu() for value in values])
        torch.testing.assert_close(half.cpu(), output.detach().cpu(), atol=0.05, rtol=0)
    for mine, its in zip(*found, strict=True):
        torch.testing.assert_close(its, mine, atol=1e-3, rtol=0)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_stages_of_several_coils_are_captured(run: Run, precision: str) -> None:
    slabs = "dataset.build.slabs=[[train,1],[test,1],[validation,1]]"
    words = ("dataset=mni_multicoil", "dataset.build.size=[48,40]", "dataset.build.coils=4", slabs)
    settings = ("augmentation=coils", "dataset.mask.centre_fraction=0.3", "trainer=gpu")
    result = run("train.py", *TINY[:2], *words, *settings, f"trainer.precision={precision}")
    assert result.code == 0, result.err
    assert result.out.count("training steps are replayed from CUDA graphs") >= 4

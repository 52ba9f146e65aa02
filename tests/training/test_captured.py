"""When steps are captured, and what surrounds a capture; tests/test_gpu.py captures."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor, nn

from kdmri.errors import ConfigurationError
from kdmri.training import captured
from kdmri.training.captured import Capture, chosen


def trainer(device: str, strategy: type = SingleDeviceStrategy) -> Any:
    made = strategy.__new__(strategy)
    # As Lightning's own property gives it, without a GPU.
    kind = type(strategy.__name__, (strategy,), {"root_device": torch.device(device)})
    made.__class__ = kind
    return SimpleNamespace(strategy=made)


@pytest.mark.parametrize(
    ("wanted", "device", "strategy", "expected", "said"),
    [
        (True, "cuda:0", SingleDeviceStrategy, True, ""),
        (False, "cuda:0", SingleDeviceStrategy, False, ""),
        (True, "cpu", SingleDeviceStrategy, False, ""),
        (True, "cpu", DDPStrategy, False, ""),
        (True, "cuda:1", DDPStrategy, False, "capture: for one GPU alone, not with DDPStrategy"),
    ],
)
def test_steps_on_one_gpu_are_captured(
    wanted: bool,
    device: str,
    strategy: type,
    expected: bool,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = chosen(wanted, trainer(device, strategy), nn.Linear(1, 1))
    assert isinstance(found, Capture) is expected
    assert capsys.readouterr().out.strip() == said


def test_what_cannot_be_captured_runs_as_it_is_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refusing(*_: Any) -> None:
        raise RuntimeError("called a synchronizing CUDA operation\nand more of it")

    monkeypatch.setattr(captured, "_Graph", refusing)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)
    layer, image = nn.Linear(3, 2), torch.rand(4, 3)
    capture = Capture(layer)
    for _ in range(2):
        (found,) = capture(lambda x: [layer(x)], "layer", (image,))
        assert torch.equal(found, layer(image))
        (gradient,) = torch.autograd.grad(found.sum(), layer.bias)
        assert torch.equal(gradient, torch.full((2,), 4.0))
    assert capture.refused == "called a synchronizing CUDA operation"
    assert capture.captured == 0
    assert capsys.readouterr().out.count("capture: not possible") == 1


class Doubled:
    """A graph that doubles its input and a weight: y = 2 w x, of which only w is learnt."""

    differentiable = (True, False)

    def __init__(self, weight: nn.Parameter) -> None:
        self.parameters, self.seen = [weight], torch.empty(0)

    def forward(self, inputs: tuple[Tensor, ...]) -> list[Tensor]:
        (self.seen,) = inputs
        return [2 * self.parameters[0].detach() * self.seen, self.seen.clone()]

    def backward(self, weights: list[Tensor]) -> list[Tensor]:
        (weight,) = weights
        return [(2 * self.seen * weight).sum()]


def test_gradients_are_those_of_the_last_run(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = nn.Linear(1, 1)
    weight = nn.Parameter(torch.tensor(3.0))
    capture = Capture(layer, quiet=True)
    monkeypatch.setattr(capture, "_capture", lambda *_: Doubled(weight))
    call = (lambda x: [x], "doubled")
    first, same = capture(*call, (torch.tensor([1.0, 2.0]),))
    assert first.tolist() == [6.0, 12.0]
    assert not same.requires_grad
    first.square().sum().backward()
    assert weight.grad is not None
    assert weight.grad.item() == 2 * 6 * 2 * 1 + 2 * 12 * 2 * 2
    with torch.no_grad():
        assert capture(lambda x: [x + 1], "doubled", (torch.ones(1),))[0].tolist() == [2.0]
    early, _ = capture(*call, (torch.ones(2),))
    late, _ = capture(*call, (torch.ones(2),))
    late.sum().backward()
    with pytest.raises(ConfigurationError, match=r"again before .* give capture=false"):
        early.sum().backward()


def test_of_many_shapes_the_last_ones_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, ...]] = []

    def capturing(_: Any, inputs: tuple[Tensor, ...]) -> Doubled:
        made.append(tuple(inputs[0].shape))
        return Doubled(nn.Parameter(torch.tensor(1.0)))

    capture = Capture(nn.Linear(1, 1), quiet=True)
    monkeypatch.setattr(capture, "_capture", capturing)
    for size in (1, 2, 3, 4, 1, 5, 1, 2):
        capture(lambda x: [x], "doubled", (torch.ones(size),))
    assert made == [(1,), (2,), (3,), (4,), (5,), (2,)]
    assert capture.captured == captured.KEPT
    capture(lambda x: [x], "otherwise", (torch.ones(2),))
    assert made[-1] == (2,)
    assert len(made) == 7


def test_leaves_stand_in_for_weights_and_share_their_memory() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    module[1].weight = module[0].weight  # tied
    module[1].bias.requires_grad_(False)
    before = list(module.parameters())
    with captured._stand_ins(module) as leaves:
        inside = list(module.parameters())
        for one, other in zip(inside, before, strict=True):
            assert one is leaves[other]
            assert one is not other
            assert one.data_ptr() == other.data_ptr()
            assert one.requires_grad == other.requires_grad
        assert module[0].weight is module[1].weight
    for one, other in zip(module.parameters(), before, strict=True):
        assert one is other


def test_a_warm_up_leaves_random_numbers_and_statistics_alone() -> None:
    norm = nn.BatchNorm2d(3)
    state = torch.get_rng_state()
    with captured._undisturbed(norm):
        norm(torch.rand(2, 3, 4, 4))
        assert norm.running_mean is not None
        assert norm.running_mean.any()
    assert torch.equal(torch.get_rng_state(), state)
    assert not norm.running_mean.any()
    assert norm.num_batches_tracked == 0

"""Replays what a training step does from CUDA graphs: one start instead of hundreds of kernels'."""

import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from kdmri.console import console
from kdmri.errors import ConfigurationError
from kdmri.hardware import cuda_graph

WARM_UP = 3
"""Runs before a capture, in which libraries choose their algorithms and take their memory."""
KEPT = 4
"""Graphs of so many shapes of inputs; of more, those that were not used for longest are left."""

Function = Callable[..., Sequence[Tensor]]


def chosen(wanted: bool, trainer: pl.Trainer, method: nn.Module) -> "Capture | None":
    """Choose how a stage's steps run: as CUDA graphs where that is wanted and one GPU trains."""
    if not wanted or trainer.strategy.root_device.type != "cuda":
        return None
    if not isinstance(trainer.strategy, SingleDeviceStrategy):
        _say(f"capture: for one GPU alone, not with {type(trainer.strategy).__name__}")
        return None
    return Capture(method)


class Capture:
    """Runs functions of tensors and weights as CUDA graphs, their gradients included.

    Whatever shape comes is captured when it first comes, and replayed then as well, so that a run
    that is resumed computes what one without interruption does. A function that waits for the GPU
    cannot be captured: from then on all run as they are, which is said once.

    Attributes:
        refused: why it was not possible; None as long as it was.
        turn: how often a graph was run; gradients belong to the last time.
    """

    def __init__(self, module: nn.Module, quiet: bool = False) -> None:
        """Take the module whose weights the functions use; its trained ones get gradients.

        Args:
            module: on one GPU.
            quiet: do not say it when the first graph is there.
        """
        self._module, self._quiet = module, quiet
        self._graphs: OrderedDict[Hashable, _Graph] = OrderedDict()
        self._pool: Any = None
        self.turn = 0
        self.refused: str | None = None

    @property
    def captured(self) -> int:
        """Number of graphs that are kept."""
        return len(self._graphs)

    def __call__(
        self, function: Function, settings: Hashable, inputs: Sequence[Tensor]
    ) -> Sequence[Tensor]:
        """Run `function(*inputs)`.

        Args:
            function: computes, on one GPU, with nothing that changes between two calls but the
                inputs and the weights of the module.
            settings: all else that it depends on; another value is another graph.
            inputs: without gradient.

        Returns:
            What it gives; valid, and with gradients to the weights, until the next call.

        Raises:
            ConfigurationError: it cannot be captured, which showed too late to go on without.
        """
        if self.refused is not None or not torch.is_grad_enabled():
            return function(*inputs)
        autocast = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
        key = (settings, autocast, *((tuple(i.shape), i.dtype, i.device) for i in inputs))
        if key not in self._graphs:
            try:
                self._graphs[key] = self._capture(function, inputs)
            except RuntimeError as error:
                self.refused = _first_line(error)
                self._graphs.clear()
                _say(f"capture: not possible, kernels are started one by one ({self.refused})")
                return function(*inputs)
            if self.captured == 1 and not self._quiet:
                _say("capture: training steps are replayed from CUDA graphs")
            if self.captured > KEPT:
                self._graphs.popitem(last=False)
        self._graphs.move_to_end(key)
        graph = self._graphs[key]
        return _Replay.apply(self, graph, *inputs, *graph.parameters)

    def _capture(self, function: Function, inputs: Sequence[Tensor]) -> "_Graph":
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        trained = [p for p in self._module.parameters() if p.requires_grad]
        with cuda_graph(), _undisturbed(self._module), _stand_ins(self._module) as leaves:
            return _Graph(function, inputs, trained, [leaves[p] for p in trained], self._pool)


class _Graph:
    """A function captured for one shape of inputs: a graph forward, and one backward.

    Attributes:
        parameters: those that it gives gradients.
        differentiable: for each output, whether it has gradients.
    """

    def __init__(
        self,
        function: Function,
        inputs: Sequence[Tensor],
        parameters: Sequence[nn.Parameter],
        leaves: Sequence[Tensor],
        pool: Any,
    ) -> None:
        """Capture a function, in which `leaves` stand for the `parameters`."""
        self._inputs = [given.detach().clone() for given in inputs]
        self._warm_up(function, leaves)
        self._forward, self._backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        # The loader's thread may pin memory meanwhile, which a "global" capture does not allow.
        alone: Any = {"pool": pool, "capture_error_mode": "thread_local"}
        try:
            with _own_casts(), torch.cuda.graph(self._forward, **alone):
                outputs = list(function(*self._inputs))
            learnt = [output for output in outputs if output.requires_grad]
            self._weights = [torch.empty_like(output) for output in learnt]
            with torch.cuda.graph(self._backward, **alone):
                gradients = torch.autograd.grad(learnt, leaves, self._weights, allow_unused=True)
        except RuntimeError as error:  # PyTorch does not recover from it
            raise ConfigurationError(
                f"capture=true: a training step cannot be captured ({_first_line(error)}); give "
                "capture=false"
            ) from error
        found = [(p, g) for p, g in zip(parameters, gradients, strict=True) if g is not None]
        self.parameters, self._gradients = [p for p, _ in found], [g for _, g in found]
        self.differentiable = [output.requires_grad for output in outputs]
        self._outputs = [output.detach() for output in outputs]

    def _warm_up(self, function: Function, leaves: Sequence[Tensor]) -> None:
        """Run it some times beside the stream in use; whatever waits for the GPU fails here."""
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside), _own_casts():
            _wake_autograd()
            with _no_waiting():
                for _ in range(WARM_UP):
                    learnt = [output for output in function(*self._inputs) if output.requires_grad]
                    given = [torch.zeros_like(output) for output in learnt]
                    torch.autograd.grad(learnt, leaves, given, allow_unused=True)
        torch.cuda.current_stream().wait_stream(beside)

    def forward(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given)
        self._forward.replay()
        return [output.detach() for output in self._outputs]

    def backward(self, weights: Sequence[Tensor]) -> list[Tensor]:
        for own, given in zip(self._weights, weights, strict=True):
            own.copy_(given)
        self._backward.replay()
        return list(torch._foreach_mul(self._gradients, 1.0))  # the next run overwrites its own


class _Replay(torch.autograd.Function):
    """A run of a graph as autograd sees it: from the weights to what the function gives."""

    @staticmethod
    def forward(ctx: Any, capture: Capture, graph: _Graph, *given: Tensor) -> tuple[Tensor, ...]:
        inputs = given[: len(given) - len(graph.parameters)]
        outputs = graph.forward(inputs)
        capture.turn += 1
        ctx.capture, ctx.graph, ctx.turn, ctx.inputs = capture, graph, capture.turn, len(inputs)
        ctx.mark_non_differentiable(
            *(o for o, yes in zip(outputs, graph.differentiable, strict=True) if not yes)
        )
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *weights: Tensor) -> tuple[Tensor | None, ...]:
        graph: _Graph = ctx.graph
        if ctx.turn != ctx.capture.turn:
            raise ConfigurationError(
                "capture=true: a training step runs its network again before the gradients of the "
                "first run are taken; give capture=false"
            )
        learnt = [w for w, yes in zip(weights, graph.differentiable, strict=True) if yes]
        return None, None, *[None] * ctx.inputs, *graph.backward(learnt)


@contextmanager
def _undisturbed(module: nn.Module) -> Iterator[None]:
    """Leave random numbers and buffers, such as statistics of batches, as they were before."""
    buffers = list(module.buffers())
    before = [buffer.clone() for buffer in buffers]
    gpus = {p.device.index for p in module.parameters() if p.is_cuda}
    try:
        with torch.random.fork_rng(devices=sorted(gpus)):
            yield
    finally:
        for buffer, value in zip(buffers, before, strict=True):
            buffer.copy_(value)


@contextmanager
def _stand_ins(module: nn.Module) -> Iterator[dict[nn.Parameter, nn.Parameter]]:
    """Put fresh leaves, which share their memory, in the place of all weights.

    A weight that a graph of autograd holds elsewhere is bound to the stream of that graph, for
    which a capture cannot wait.
    """
    leaves = {p: nn.Parameter(p.detach(), p.requires_grad) for p in module.parameters()}
    places = [
        (owner, name, parameter)
        for owner in module.modules()
        for name, parameter in owner.named_parameters(recurse=False, remove_duplicate=False)
    ]
    for owner, name, parameter in places:
        setattr(owner, name, leaves[parameter])
    try:
        yield leaves
    finally:
        for owner, name, parameter in places:
            setattr(owner, name, parameter)


@contextmanager
def _own_casts() -> Iterator[None]:
    """Cast weights to bfloat16 anew within, and forget those casts afterwards."""
    torch.clear_autocast_cache()
    try:
        yield
    finally:
        torch.clear_autocast_cache()


def _wake_autograd() -> None:
    """Let the thread that computes gradients find its GPU; cuFFT warns where it comes first."""
    one = torch.ones((), device="cuda", requires_grad=True)
    torch.autograd.grad(one.exp(), one)


@contextmanager
def _no_waiting() -> Iterator[None]:
    """Make it a RuntimeError when the CPU waits for the GPU, which no graph can."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*debug mode is a prototype feature.*")
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _say(line: str) -> None:
    console().print(line, highlight=False)

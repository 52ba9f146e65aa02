"""Muon: an optimiser that teaches a kernel all its directions at one speed."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Trained = tuple[nn.Parameter, Tensor]
"""A parameter with its gradient."""

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the odd polynomial a x + b x^3 + c x^5 that brings singular values close to 1."""
ITERATIONS = 5
TINY = 1e-7


def orthogonal(matrices: Tensor) -> Tensor:
    """Bring all singular values near 1, with the singular vectors as they are.

    Five Newton-Schulz iterations, after which those that were not tiny lie between 0.7 and 1.2
    (Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024).

    Args:
        matrices: float32 (..., M, N).

    Returns:
        float32 (..., M, N).
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp_min(TINY)
    a, b, c = NEWTON_SCHULZ
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(Optimizer):
    """Momentum whose step is made orthogonal for kernels; vectors are optimised by Adam.

    A kernel (outputs, inputs, 3, 3) is a matrix (outputs, inputs * 9) here: the first axis against
    all others. The root mean square of its step is about 0.2 of the learning rate (Liu et al.,
    "Muon is scalable for LLM training", 2025, eq. 4), so that rates are of Adam's order.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float],
    ) -> None:
        """Take the parameters.

        Args:
            params: trained; those of two or more dimensions as matrices, others as vectors.
            lr: learning rate.
            betas: decay of the momentum, and for vectors of the mean square, each in [0, 1).

        Raises:
            ValueError: a value is out of its range, or there is no matrix.
        """
        if lr < 0 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"Muon(lr={lr}, betas={betas}): needs lr >= 0 and betas in [0, 1)")
        super().__init__(params, {"lr": lr, "betas": tuple(betas)})
        if all(p.ndim < 2 for group in self.param_groups for p in group["params"]):
            raise ValueError(
                "Muon needs kernels, and all parameters are vectors, as a strategy that flattens "
                "them (fsdp) leaves them; use another optimizer"
            )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make one step; `closure` evaluates the loss again where it is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            alike: dict[torch.Size, list[Trained]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike[parameter.shape].append((parameter, parameter.grad))
            for shape, trained in alike.items():
                step = self._matrices if len(shape) > 1 else self._vectors
                step(trained, group["lr"], *group["betas"])
        return loss

    def _matrices(self, trained: list[Trained], lr: float, decay: float, _: float) -> None:
        """Update parameters of one shape, (outputs, ...), at once."""
        ahead = []
        for parameter, gradient in trained:
            momentum = self._moment(parameter, "momentum").lerp_(gradient, 1 - decay)
            ahead.append(gradient.lerp(momentum, decay).flatten(1))
        steps = orthogonal(torch.stack(ahead).float())
        size = 0.2 * max(steps.shape[-2:]) ** 0.5
        for (parameter, _gradient), step in zip(trained, steps, strict=True):
            parameter.sub_(step.view(parameter.shape), alpha=lr * size)

    def _vectors(
        self, trained: list[Trained], lr: float, decay: float, square_decay: float
    ) -> None:
        """Update parameters of one dimension as Adam does (Kingma and Ba 2015)."""
        for parameter, gradient in trained:
            state = self.state[parameter]
            state["step"] = state.get("step", 0) + 1
            momentum = self._moment(parameter, "momentum").lerp_(gradient, 1 - decay)
            square = self._moment(parameter, "square").lerp_(gradient.square(), 1 - square_decay)
            mean = momentum / (1 - decay ** state["step"])
            scale = (square / (1 - square_decay ** state["step"])).sqrt() + 1e-8
            parameter.addcdiv_(mean, scale, value=-lr)

    def _moment(self, parameter: nn.Parameter, name: str) -> Tensor:
        state = self.state[parameter]
        if name not in state:
            state[name] = torch.zeros_like(parameter)
        return state[name]

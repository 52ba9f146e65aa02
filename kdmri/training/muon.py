"""Muon: an optimiser that teaches a kernel all its directions at one speed."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

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
    x = x.reshape(-1, *x.shape[-2:])
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp_min(TINY)
    a, b, c = NEWTON_SCHULZ
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).reshape(matrices.shape)


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
            trained: list[Tensor] = [p for p in group["params"] if p.grad is not None]
            settings = group["lr"], *group["betas"]
            alike: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for parameter in trained:
                if parameter.ndim > 1:
                    alike[parameter.shape].append(parameter)
            for kernels in alike.values():
                self._matrices(kernels, *settings)
            if vectors := [p for p in trained if p.ndim < 2]:
                self._vectors(vectors, *settings)
        return loss

    def _matrices(self, trained: list[Tensor], lr: float, decay: float, _: float) -> None:
        """Update parameters of one shape, (outputs, inputs, ...), at once."""
        gradients, momenta = _gradients(trained), self._moments(trained, "momentum")
        torch._foreach_lerp_(momenta, gradients, 1 - decay)
        ahead = torch._foreach_lerp(gradients, momenta, decay)
        # Columns in the order in which they lie in memory; any will do.
        last = [gradient.movedim(1, -1) for gradient in ahead]
        steps = orthogonal(torch.stack([gradient.flatten(1) for gradient in last]).float())
        size = 0.2 * max(steps.shape[-2:]) ** 0.5
        shaped = [step.view(last[0].shape).movedim(-1, 1) for step in steps]
        torch._foreach_add_(trained, shaped, alpha=-lr * size)

    def _vectors(self, trained: list[Tensor], lr: float, decay: float, square_decay: float) -> None:
        """Update parameters of one dimension as Adam does (Kingma and Ba 2015), all at once."""
        gradients, momenta = _gradients(trained), self._moments(trained, "momentum")
        squares = self._moments(trained, "square")
        torch._foreach_lerp_(momenta, gradients, 1 - decay)
        torch._foreach_lerp_(squares, torch._foreach_mul(gradients, gradients), 1 - square_decay)
        counts = []
        for parameter in trained:
            state = self.state[parameter]
            state["step"] = state.get("step", 0) + 1
            counts.append(state["step"])
        means = torch._foreach_div(momenta, [1 - decay**count for count in counts])
        scales = torch._foreach_div(squares, [1 - square_decay**count for count in counts])
        torch._foreach_sqrt_(scales)
        torch._foreach_add_(scales, 1e-8)
        torch._foreach_addcdiv_(trained, means, scales, value=-lr)

    def _moments(self, trained: list[Tensor], name: str) -> list[Tensor]:
        """Find what is kept of each parameter under a name; zeros at first."""
        for parameter in trained:
            if name not in self.state[parameter]:
                self.state[parameter][name] = torch.zeros_like(parameter)
        return [self.state[parameter][name] for parameter in trained]


def _gradients(trained: list[Tensor]) -> list[Tensor]:
    return [parameter.grad for parameter in trained if parameter.grad is not None]

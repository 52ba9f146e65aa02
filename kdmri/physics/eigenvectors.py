"""Strongest eigenvectors of many small matrices at once, by squarings and the power iteration."""

import torch
from torch import Tensor

SQUARINGS, ITERATIONS = 3, 12
"""Of the power iteration: W to the power of 8, applied 12 times, so powers of up to 104."""

NOTHING = 1e-4
"""Trace of W, the sum of eigenvalues up to 1, below which a point has no signal."""


def strongest_eigenvectors(operator: Tensor) -> tuple[Tensor, Tensor]:
    """Find the strongest eigenvector of each matrix, and its eigenvalue.

    Args:
        operator: Hermitian, eigenvalues of 0 to about 1, complex64 (B, h, w, n, n).

    Returns:
        complex64 (B, h, w, n, 1), of unit norm, 0 where the trace is below `NOTHING`;
        float32 (B, h, w).
    """
    tiny = torch.finfo(torch.float32).tiny
    trace = operator.diagonal(dim1=-2, dim2=-1).real.sum(dim=-1)
    # Where there is no signal, rounding alone makes the trace, which may be below 0.
    power = operator * torch.where(trace > NOTHING, trace.reciprocal(), 0)[..., None, None]
    for _ in range(SQUARINGS):  # of unit trace its entries neither vanish nor grow
        power = power @ power
        trace = power.diagonal(dim1=-2, dim2=-1).real.sum(dim=-1)
        power = power * trace.clamp_min(tiny).reciprocal()[..., None, None]
    strongest = power.diagonal(dim1=-2, dim2=-1).real.argmax(dim=-1)
    vector = power.gather(-1, strongest[..., None, None].expand(*power.shape[:-1], 1))
    for _ in range(ITERATIONS):
        vector = power @ vector
    vector = vector / torch.linalg.vector_norm(vector, dim=-2, keepdim=True).clamp_min(tiny)
    return vector, (vector.mH @ operator @ vector).real[..., 0, 0]

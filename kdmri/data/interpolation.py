"""Interpolation of smooth functions from a coarse grid, as a matrix for each axis."""

import torch
from torch import Tensor


def cubic_matrix(positions: Tensor, points: int, periodic: bool) -> Tensor:
    """Return the matrix that interpolates by the cubic through the four nearest samples.

    It is Lagrange's polynomial, whose error falls with the fourth power of the spacing; PyTorch's
    bicubic interpolation (a = -0.75) does not even keep a straight line straight.

    Args:
        positions: where to interpolate, in units of the spacing of samples, float (N,).
        points: number of samples, at positions 0, 1, ...; at least 4.
        periodic: sample `points` is sample 0 again; else the four at the edge are used there.

    Returns:
        float32 (N, points).

    >>> matrix = cubic_matrix(torch.tensor([0.5, 2.0, 4.25]), 6, periodic=False)
    >>> matrix @ torch.arange(6.0) ** 3
    tensor([ 0.1250,  8.0000, 76.7656])
    """
    first = positions.floor().long() - 1
    if not periodic:
        first = first.clamp(0, points - 4)
    at = positions - first  # within 0 .. 3
    nodes = range(4)
    weights = [
        torch.stack([(at - other) / (node - other) for other in nodes if other != node]).prod(dim=0)
        for node in nodes
    ]
    matrix = torch.zeros(len(positions), points, device=positions.device)
    index = (first[:, None] + torch.arange(4, device=positions.device)) % points
    return matrix.scatter_add_(1, index, torch.stack(weights, dim=1).float())

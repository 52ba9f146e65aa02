#!/usr/bin/env bash
# mri-nufft's density compensations put the image on scales from 1e-4 to 1e5: none of them is 1.
#
# Versions: mri-nufft 1.5.1, finufft 2.5.1, scipy 1.17.1, numpy 2.4.6.
# Input: a Gaussian of 64 x 64 and 128 x 128 and a radial trajectory of 2n spokes and 2n samples, at places -0.5 to
# 0.5; adj_op(op(image)) with density="voronoi", "cell_count" and True (pipe, 10 iterations), and without one; the
# best real factor between it and the image, and the relative error after it.
# A good engineer would guess: compensated for density, the adjoint is about the inverse, so the factor is about 1, or
# at least the one of the operator (which has a scale of its own) for all methods and sizes.
# Seen: "voronoi" and "cell_count" lie nine orders of magnitude apart, and neither keeps its factor from 64 to 128: the
# first is multiplied by the sum of all inverse areas, the second has the sum 1. True alone has one factor, 0.61.
# Regularisation and step sizes mean something else with each, and nothing is said. (The name "pipe", which is
# True's method, fails with finufft: it asks for gpunufft.)
SEEN='factor (and error after it) by density, 64: False 2.7e+01 (0.8), voronoi 6.5e+04 (0.0), cell_count 8.9e-05 (0.3), True 6.1e-01 (0.3); 128: False 5.3e+01 (0.8), voronoi 2.9e+05 (0.0), cell_count 2.2e-05 (0.3), True 6.1e-01 (0.3)'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq mri-nufft==1.5.1 finufft==2.5.1 scipy==1.17.1 numpy==2.4.6

"$work/venv/bin/python" -W ignore - >"$work/line" <<'PYTHON'
import mrinufft, numpy as np

def factors(size: int) -> str:
    angles = np.pi * np.arange(2 * size) / (2 * size)
    radii = (np.arange(2 * size) - size + 0.5) / (2 * size)
    places = np.stack([np.outer(np.cos(angles), radii), np.outer(np.sin(angles), radii)], axis=-1)
    places = places.reshape(-1, 2).astype(np.float32)
    y, x = np.mgrid[:size, :size] - size // 2
    image = np.exp(-(x**2 + y**2) / (size / 6) ** 2).astype(np.complex64)
    told = []
    for density in (False, "voronoi", "cell_count", True):
        operator = mrinufft.get_operator("finufft")(places, (size, size), density=density)
        found = operator.adj_op(operator.op(image)).squeeze()
        factor = (np.vdot(image, found) / np.vdot(image, image)).real
        error = np.linalg.norm(found / factor - image) / np.linalg.norm(image)
        told.append(f"{density} {factor:.1e} ({error:.1f})")
    return f"{size}: " + ", ".join(told)

print("factor (and error after it) by density,", "; ".join(factors(size) for size in (64, 128)))
PYTHON
cat "$work/line"
[[ $(cat "$work/line") == "$SEEN" ]]

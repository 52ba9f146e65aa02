#!/usr/bin/env bash
# mri-nufft takes the middle of k-space in radians for cycles, and spreads it over all of k-space.
#
# Versions: mri-nufft 1.5.1, finufft 2.5.1, numpy 2.4.6.
# Input: a random image of 64 x 64; three trajectories in radians, which mri-nufft takes as well as cycles: 500
# samples all over k-space, the same scaled to the middle 12 %, and these with one sample of the edge after them.
# Results are compared, but for a factor, with the sum of the discrete Fourier transform at the same samples.
# A good engineer would guess: one unit for one operator, so equal results for equal samples.
# Seen: exact for the first and the third, wholly wrong (error 1.0) for the second: where no coordinate is above
# 0.5 all are multiplied by 2 pi. A warning says so. Central samples alone, of calibration or of a coarse image for
# sensitivities, so come out as another scan's, while those of the whole scan are right.
SEEN='error of all of k-space 0.0, of its middle 1.0, of its middle and one sample of the edge 0.0; warnings 0 1 0'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq mri-nufft==1.5.1 finufft==2.5.1 numpy==2.4.6

cd "$work"
venv/bin/python - >line <<'PYTHON'
import warnings

import numpy as np
from mrinufft import get_operator

SIZE = 64
draws = np.random.default_rng(0)
image = (draws.standard_normal((SIZE, SIZE)) + 1j * draws.standard_normal((SIZE, SIZE))).astype(np.complex64)
everywhere = draws.uniform(-np.pi, np.pi, (500, 2)).astype(np.float32)
middle = 0.12 * everywhere
both = np.concatenate([middle, np.float32([[3, 3]])])


def by_definition(samples):
    places = np.arange(SIZE) - SIZE / 2
    rows, columns = (np.exp(-1j * samples[:, axis, None] * places) for axis in (0, 1))
    return np.einsum("kx,xy,ky->k", rows, image, columns)


errors, warned = [], []
for samples in (everywhere, middle, both):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = get_operator("finufft")(samples, shape=(SIZE, SIZE)).op(image).ravel()
    warned.append(sum("rescaled" in str(one.message) for one in said))
    wanted = by_definition(samples)
    wanted = wanted * np.vdot(wanted, found) / np.vdot(wanted, wanted)
    errors.append(np.linalg.norm(found - wanted) / np.linalg.norm(found))
print("error of all of k-space {:.1f}, of its middle {:.1f}, of its middle and one sample of the edge {:.1f}; "
      "warnings {} {} {}".format(*errors, *warned))
PYTHON
cat line
[[ $(cat line) == "$SEEN" ]]

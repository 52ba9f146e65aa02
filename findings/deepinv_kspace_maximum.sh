#!/usr/bin/env bash
# DeepInverse normalises k-space by its largest real or imaginary number: the receiver's phase sets the scale.
#
# Versions: deepinv 0.5.0, torch 2.13.0, numpy 2.4.6. torchvision, which these transforms of deepinv do not use, is
# stood in for by mock modules to keep the install small.
# Input: k-space of a disc of 64 x 64 with a smaller one in it, unitary and centred, given to
# MRISliceTransform(normalize=1.0) as it is and with a phase of 90, 135, 180 and 225 degrees on all samples,
# which changes no magnitude image; told is the largest magnitude of the normalised k-space.
# A good engineer would guess: 1 each. The documentation has "normalize / kspace.max()", and k-space is complex.
# Seen: 1, 1, 1.41, 10 and 10.4: the largest number of real and imaginary parts with its sign is divided
# by, so where the centre of k-space is negative the scale is that of a side lobe. Nothing is said.
SEEN='largest magnitude after normalize=1.0 by phase: 0: 1.00, 90: 1.00, 135: 1.41, 180: 10.00, 225: 10.38'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq torch==2.13.0 numpy==2.4.6 h5py==3.16.0 matplotlib==3.11.2 torchmetrics==1.9.0 \
    einops==0.8.2 natsort==8.4.0 requests==2.34.2 tqdm==4.70.1
"$work/venv/bin/pip" install -qq --no-deps --no-warn-conflicts deepinv==0.5.0

"$work/venv/bin/python" -W ignore - >"$work/line" <<'PYTHON'
import math, sys
from unittest.mock import MagicMock
import torch

for name in ("", ".datasets", ".datasets.folder", ".datasets.utils", ".transforms", ".transforms.functional",
             ".transforms.v2", ".utils"):
    sys.modules[f"torchvision{name}"] = MagicMock()
from deepinv.datasets import MRISliceTransform

y, x = torch.meshgrid(torch.arange(64) - 32, torch.arange(64) - 32, indexing="ij")
image = (x**2 + (1.3 * y) ** 2 < 24**2) + 0.5 * ((x - 5) ** 2 + y**2 < 64)
kspace = torch.fft.fftshift(torch.fft.fft2(torch.fft.ifftshift(image), norm="ortho"))

def largest(degrees: int) -> str:
    """Return the largest magnitude of k-space that was turned by a phase and then normalised to 1."""
    turned = kspace * complex(math.cos(math.radians(degrees)), math.sin(math.radians(degrees)))
    _, normalised, _ = MRISliceTransform(normalize=1.0)(torch.nan, torch.stack([turned.real, turned.imag]))
    return f"{torch.hypot(*normalised).max():.2f}"

print("largest magnitude after normalize=1.0 by phase:",
      ", ".join(f"{degrees}: {largest(degrees)}" for degrees in (0, 90, 135, 180, 225)))
PYTHON
cat "$work/line"
[[ $(cat "$work/line") == "$SEEN" ]]

#!/usr/bin/env bash
# piq's SSIM averages blocks of pixels first where images have 384 and more: fastMRI's brains, but not its knees.
#
# Versions: piq 0.8.0, scikit-image 0.26.0, torch 2.13.0, numpy 2.4.6. torchvision, which only piq's networks use, is
# left out.
# Input: random images of n x n values from 0.25 to 0.75, and of 640 x 368 and 768 x 396 as fastMRI's knees and brains
# are, with noise of deviation 0.1; measured by default and with downsample=False, and by scikit-image with the same
# window of 11 pixels.
# A good engineer would guess: SSIM is the mean of a local measure and so the same at all sizes, 383 and 384 do not
# differ. piq's description says that downsample=True, the default, is what matches scikit-image.
# Seen: the other way round. downsample=False is scikit-image's value at each size. The default is so below 384
# pixels of the shorter side; from there on it measures means of blocks of 2 x 2, from 641 on of 3 x 3, and gives more.
# So knees are measured at their resolution and brains at half of it. Nothing is said.
SEEN='default, downsample=False, scikit-image: 320x320 0.8072 0.8072 0.8072, 383x383 0.8062 0.8062 0.8062, 384x384 0.8162 0.8059 0.8059, 640x640 0.8145 0.8061 0.8061, 641x641 0.8279 0.8049 0.8049, 640x368 0.8049 0.8049 0.8049, 768x396 0.8148 0.8059 0.8059; words 0'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq torch==2.13.0 scikit-image==0.26.0 numpy==2.4.6
"$work/venv/bin/pip" install -qq --no-deps piq==0.8.0

cd "$work"
cat >measure.py <<'PYTHON'
import sys
from unittest.mock import MagicMock

sys.modules["torchvision"] = sys.modules["torchvision.models"] = MagicMock()
import torch
from piq import ssim
from skimage.metrics import structural_similarity

def measured(rows: int, columns: int) -> str:
    """Return SSIM by default, without downsampling, and of scikit-image."""
    target = 0.25 + 0.5 * torch.rand(1, 1, rows, columns, generator=random, dtype=torch.float64)
    image = (target + 0.1 * torch.randn(target.shape, generator=random, dtype=torch.float64)).clamp(0, 1)
    other = structural_similarity(
        target[0, 0].numpy(), image[0, 0].numpy(), data_range=1.0, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False)
    return f"{rows}x{columns} {ssim(image, target):.4f} {ssim(image, target, downsample=False):.4f} {other:.4f}"

random = torch.Generator().manual_seed(0)
sizes = ((320, 320), (383, 383), (384, 384), (640, 640), (641, 641), (640, 368), (768, 396))
print("default, downsample=False, scikit-image: " + ", ".join(measured(*size) for size in sizes), end="")
PYTHON
line="$(venv/bin/python measure.py 2>words); words $(wc -l <words)"
echo "$line"
[[ $line == "$SEEN" ]]

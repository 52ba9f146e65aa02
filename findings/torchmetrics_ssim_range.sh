#!/usr/bin/env bash
# torchmetrics' SSIM rises when an error is added: without data_range the reconstruction's own maximum sets the scale.
#
# Versions: torchmetrics 1.9.0, scikit-image 0.26.0, torch 2.13.0, numpy 2.4.6.
# Input: an image of 128 x 128 from 0 to 1 (a disc with a pattern) with noise of deviation 0.05; the same with one wrong
# pixel of 20, as a spike or a network's overshoot leaves it; and the first once more in a batch beside an image that is
# ten times as bright, each slice measured for itself (reduction="none"). data_range is left at its default.
# A good engineer would guess: one wrong pixel makes SSIM lower. A slice's SSIM does not depend on which slices are
# beside it. If no range is given it is the target's, as in fastMRI, or an error asks for it, as in scikit-image.
# Seen: 0.56 becomes 0.99 by the wrong pixel, and 0.98 by the neighbour. The default takes the larger range of target
# and reconstruction over the whole batch, and SSIM's constants grow with its square. With data_range=1.0 the three are
# 0.49, 0.49 and 0.49. Nothing is said: a network that leaves spikes wins a comparison.
SEEN='alone, with a spike, beside a brighter image: default 0.56 0.99 0.98, data_range=1 0.49 0.49 0.49; scikit-image without data_range refuses; words 0'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq torch==2.13.0 torchmetrics==1.9.0 scikit-image==0.26.0 numpy==2.4.6

cd "$work"
venv/bin/python - >line 2>words <<'PYTHON'
import torch
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure as ssim

random = torch.Generator().manual_seed(0)
y, x = torch.meshgrid(torch.linspace(-1, 1, 128), torch.linspace(-1, 1, 128), indexing="ij")
target = ((x**2 + y**2 < 0.6) * (0.6 + 0.4 * torch.sin(9 * x) * torch.cos(7 * y)))[None, None]
image = target + 0.05 * torch.randn(target.shape, generator=random)
spiked = image.clone()
spiked[0, 0, 5, 5] = 20

def three(**options) -> str:
    """Return SSIM of the image, of the image with a spike, and of the image beside a brighter one."""
    beside = ssim(torch.cat([image, 10 * image]), torch.cat([target, 10 * target]), reduction="none", **options)
    return f"{ssim(image, target, **options):.2f} {ssim(spiked, target, **options):.2f} {beside[0]:.2f}"

try:
    other = structural_similarity(target[0, 0].numpy(), image[0, 0].numpy())
except ValueError:
    other = "refuses"
print(f"alone, with a spike, beside a brighter image: default {three()}, data_range=1 {three(data_range=1.0)}; "
      f"scikit-image without data_range {other}", end="")
PYTHON
line="$(cat line); words $(wc -l <words)"
echo "$line"
[[ $line == "$SEEN" ]]

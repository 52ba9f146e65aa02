#!/usr/bin/env bash
# fastMRI crops an odd centre out of an even image one pixel beside BART, sigpy and the FFT's centre.
#
# Versions: fastmri 0.3.0 (torch 2.13.0, numpy 2.4.6), sigpy 0.1.27, BART v0.8.00 (Debian 12).
# Input: an image of 8 x 8 with one bright pixel at the centre of the FFT, (4, 4), cropped to 4 x 4 and to
# 5 x 5 by fastmri.data.transforms.center_crop, sigpy.resize and `bart resize -c`.
# A good engineer would guess: "centre" means one thing to them all; the pixel stays at the centre of
# the FFT, n // 2.
# Seen: so it is for 4 x 4, and in sigpy and BART for 5 x 5 (index 2). fastMRI puts it at 3, as it rounds
# half of the difference down: by the inverse FFT, k-space of the crop then has a phase ramp, and images
# of two toolboxes differ by a shift of one pixel.
SEEN='bright pixel (centre) in 4x4: fastmri 2 sigpy 2 bart 2 (2), in 5x5: fastmri 3 sigpy 2 bart 2 (2)'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v bart >/dev/null || apt-get install -y -qq bart >/dev/null
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq torch==2.13.0 sigpy==0.1.27 numpy==2.4.6 h5py==3.16.0 pandas==3.1.1 \
    PyYAML==6.0.4 requests==2.34.2 tqdm==4.70.1
"$work/venv/bin/pip" install -qq --no-deps --no-warn-conflicts fastmri==0.3.0

cd "$work"
venv/bin/python - >line <<'PYTHON'
import subprocess
import numpy as np, sigpy, torch
from fastmri.data.transforms import center_crop

image = np.zeros((8, 8), np.complex64)
image[4, 4] = 1
with open("image.hdr", "w") as header:
    header.write("# Dimensions\n8 8\n")
image.T.tofile("image.cfl")

def through_bart(size: int) -> np.ndarray:
    subprocess.run(f"bart resize -c 0 {size} 1 {size} image crop".split(), check=True)
    return np.fromfile("crop.cfl", np.complex64).reshape(size, size).T

def place(crop: np.ndarray) -> int:
    row, column = np.unravel_index(np.abs(crop).argmax(), crop.shape)
    assert row == column
    return row

parts = []
for size in (4, 5):
    crops = {"fastmri": center_crop(torch.from_numpy(image), (size, size)).numpy(),
             "sigpy": sigpy.resize(image, (size, size)), "bart": through_bart(size)}
    found = " ".join(f"{tool} {place(crop)}" for tool, crop in crops.items())
    parts.append(f"in {size}x{size}: {found} ({size // 2})")
print("bright pixel (centre)", ", ".join(parts))
PYTHON
cat line
[[ $(cat line) == "$SEEN" ]]

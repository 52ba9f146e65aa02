#!/usr/bin/env bash
# fastMRI's U-Net data are cut at six standard deviations, targets too: the brightest pixels cannot be learned or missed.
#
# Versions: fastmri 0.3.0, torch 2.13.0 (numpy 2.4.6, h5py 3.16.0, pandas, PyYAML, requests, tqdm).
# Input: a slice of 320 x 320 of intensity 1 in a disc with a bright spot of 12 at its side, as fat beside a surface coil
# is, fully sampled; UnetDataTransform without a mask, then target and image times the standard deviation plus the
# mean that come with them, as fastMRI's UnetModule does in validation before it measures.
# A good engineer would guess: normalisation is undone so, and target and image are those of the file; without a mask
# the image is the target.
# Seen: input and target are clamped to -6 and 6 after they are normalised, so the spot is 4.2 both times, and the target
# is not that of the file in the 109 pixels of the spot; max_value is still that of the file, 12. A network that
# copies its input has no error there, and SSIM and PSNR of a validation are not those of the files that
# fastMRI's evaluate measures afterwards.
SEEN='maximum: file 12.0, target 4.2, image 4.2, max_value 12.0; pixels of the target unlike the file: 109'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq torch==2.13.0 numpy==2.4.6 h5py==3.16.0 pandas==3.1.1 PyYAML==6.0.4 \
    requests==2.34.2 tqdm==4.70.1
"$work/venv/bin/pip" install -qq --no-deps --no-warn-conflicts fastmri==0.3.0

"$work/venv/bin/python" -W ignore - >"$work/line" 2>"$work/said" <<'PYTHON' || { cat "$work/said"; exit 1; }
import numpy as np
from fastmri.data.transforms import UnetDataTransform

N = 320
y, x = np.mgrid[-N // 2 : N // 2, -N // 2 : N // 2]
slice_ = np.where(np.hypot(y, x) < 120, 1.0, 0.0)
slice_[np.hypot(y, x + 100) < 6] = 12
slice_ = slice_.astype(np.float32)
kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(slice_), norm="ortho")).astype(np.complex64)
attributes = {"max": float(slice_.max()), "recon_size": (N, N, 1), "padding_left": 0, "padding_right": N}
sample = UnetDataTransform("singlecoil")(kspace, np.zeros(N), slice_, attributes, "file.h5", 0)
target, image = (part * sample.std + sample.mean for part in (sample.target, sample.image))
changed = int((np.abs(target.numpy() - slice_) > 0.01).sum())
print(f"maximum: file {slice_.max():.1f}, target {target.max():.1f}, image {image.max():.1f}, max_value "
      f"{sample.max_value:.1f}; pixels of the target unlike the file: {changed}")
PYTHON
cat "$work/line"
[[ $(cat "$work/line") == "$SEEN" ]]

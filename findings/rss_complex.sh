#!/usr/bin/env bash
# The root sum of squares of fastMRI and MONAI cancels complex coil images: coils of opposite phase give 0.
#
# Versions: fastmri 0.3.0, monai 1.6.1, torch 2.13.0, numpy 2.4.6.
# Input: a disc seen by eight coils in a ring, whose phases turn once around it, and whose sensitivities have a root sum
# of squares of 1, as a complex tensor (coil, 64, 64); fastmri.rss and monai's root_sum_of_squares along the coils, the
# same of their magnitudes and, with two real numbers for a complex one, fastmri.rss_complex; the mean of the
# result's magnitude within the disc.
# A good engineer would guess: 1 each: squares of complex numbers in a sum of squares are those of their magnitudes, and
# both functions are documented for coil images.
# Seen: complex numbers are squared as they are, so the sum is of complex numbers that cancel: 0.23 on average and
# less than 0.001 in the darkest pixel, and the result is complex. Nothing is said. Of magnitudes, or with real and
# imaginary parts by rss_complex, it is 1. numpy arrays have the same in MONAI.
SEEN='in the disc: fastmri.rss 0.23 (least 0.000), monai 0.23 (least 0.000), of numpy 0.23 (least 0.000); of magnitudes 1.00 (least 1.000), fastmri.rss_complex 1.00 (least 1.000)'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq torch==2.13.0 numpy==2.4.6 h5py==3.16.0 pandas==3.1.1 PyYAML==6.0.4 \
    requests==2.34.2 tqdm==4.70.1
"$work/venv/bin/pip" install -qq --no-deps --no-warn-conflicts fastmri==0.3.0 monai==1.6.1

"$work/venv/bin/python" -W ignore - >"$work/line" 2>"$work/said" <<'PYTHON' || { cat "$work/said"; exit 1; }
import fastmri, numpy as np, torch
from monai.apps.reconstruction.mri_utils import root_sum_of_squares

N, COILS = 64, 8
y, x = np.mgrid[-N // 2 : N // 2, -N // 2 : N // 2] / N
disc = np.hypot(y, x) < 0.35
angles = 2 * np.pi * np.arange(COILS)[:, None, None] / COILS
coils = np.exp(-1.2 * ((y - 0.6 * np.cos(angles)) ** 2 + (x - 0.6 * np.sin(angles)) ** 2) + 1j * angles)
coils /= np.sqrt((np.abs(coils) ** 2).sum(0))
images = torch.tensor(coils * disc)

def told(combined: torch.Tensor | np.ndarray) -> str:
    """Return the mean and the least magnitude within the disc."""
    magnitude = np.abs(np.asarray(combined))[disc]
    return f"{magnitude.mean():.2f} (least {magnitude.min():.3f})"

print("in the disc: fastmri.rss", told(fastmri.rss(images)) + ", monai", told(root_sum_of_squares(images, 0))
      + ", of numpy", told(root_sum_of_squares(images.numpy(), 0)) + "; of magnitudes", told(fastmri.rss(images.abs()))
      + ", fastmri.rss_complex", told(fastmri.rss_complex(torch.view_as_real(images))))
PYTHON
cat "$work/line"
[[ $(cat "$work/line") == "$SEEN" ]]

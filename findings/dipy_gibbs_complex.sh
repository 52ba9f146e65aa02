#!/usr/bin/env bash
# dipy's gibbs_removal makes negative values positive and complex images real: it takes magnitudes without a word.
#
# Versions: dipy 1.12.1, scipy 1.17.1, MRtrix3 3.0.3 (Debian 12), nibabel 5.4.2, numpy 2.4.6.
# Input: a disc of radius 20 in 64 x 64 pixels, cut out of the k-space of a finer one (256 x 256) so that it rings; the
# same times -1, as real parts, field maps and differences (perfusion) have negative values; and times exp(0.7 i), as an
# image is before its magnitude is taken. inplace=False.
# A good engineer would guess: the filter shifts pixels by parts of a pixel and is linear in a factor, so the result of
# the image times -1 is the result times -1, as mrdegibbs of MRtrix3 has it; and a complex image keeps its phase,
# or an error says that complex images are not taken.
# Seen: the image times -1 comes out positive, with a mean of 0.27 where mrdegibbs has -0.31. The complex image comes out as complex128
# with an imaginary part of 0 and no phase. Nothing is said.
SEEN='mean 0.306: dipy 0.310, mrdegibbs 0.306; mean -0.306: dipy 0.270 and none below 0.000, mrdegibbs -0.306; phase 0.7: complex128, phase 0, imaginary part 0; words 0'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v mrdegibbs >/dev/null || apt-get install -y -qq mrtrix3 >/dev/null
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq dipy==1.12.1 scipy==1.17.1 nibabel==5.4.2 numpy==2.4.6

cd "$work"
venv/bin/python - >line 2>words <<'PYTHON'
import subprocess
import warnings

import nibabel
import numpy as np
from dipy.denoise.gibbs import gibbs_removal

def by_mrtrix(image: np.ndarray) -> np.ndarray:
    nibabel.save(nibabel.Nifti1Image(image[:, :, None].astype(np.float32), np.eye(4)), "in.nii")
    subprocess.run("mrdegibbs -quiet -force in.nii out.nii".split(), check=True)
    return np.asanyarray(nibabel.load("out.nii").dataobj)[:, :, 0]

warnings.simplefilter("always")
y, x = np.mgrid[-128:128, -128:128] / 4
spectrum = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift((x**2 + y**2 < 20**2).astype(float))))
ringing = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(spectrum[96:160, 96:160]))).real / 16
right, negative = (gibbs_removal(image, inplace=False) for image in (ringing, -ringing))
complex_image = gibbs_removal(ringing * np.exp(0.7j), inplace=False)
print(f"mean {ringing.mean():.3f}: dipy {right.mean():.3f}, mrdegibbs {by_mrtrix(ringing).mean():.3f}; "
      f"mean {-ringing.mean():.3f}: dipy {negative.mean():.3f} and none below {negative.min():.3f}, "
      f"mrdegibbs {by_mrtrix(-ringing).mean():.3f}; phase 0.7: {complex_image.dtype}, "
      f"phase {np.angle(complex_image[32, 32]):g}, imaginary part {np.abs(complex_image.imag).max():g}", end="")
PYTHON
line="$(cat line); words $(wc -l <words)"
echo "$line"
[[ $line == "$SEEN" ]]

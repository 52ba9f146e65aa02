#!/usr/bin/env bash
# MRtrix3's centred FFT loses a frequency of odd sizes, and its inverse does not give the image back.
#
# Versions: MRtrix3 3.0.3 (Debian 12), nibabel 5.4.2, numpy 2.4.6.
# Input: noise of 16 and 15 pixels along the first axis; `mrfilter fft -axes 0`, the same with -centre_zero, and
# what each -inverse makes of its result, against numpy.
# A good engineer would guess: -centre_zero is fftshift, which at 15 moves the frequency 0 to place 7; and the
# inverse with the option undoes the transform with it, as without it.
# Seen: at 16 the transform is numpy's. At 15 all negative frequencies are one place off: the one beside the
# middle, -1, is gone, and the highest is there twice. The inverse moves its result, not its input: at 16 the
# image comes back moved by half its size, with the sign of each second pixel changed. Without the option all
# is right.
SEEN='16: plain right True and back True, centred right True, without the frequency None, back False, moved with signs True; 15: plain right True and back True, centred right False, without the frequency -1, back False, moved with signs False'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v mrfilter >/dev/null || apt-get install -y -qq mrtrix3 >/dev/null
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq nibabel==5.4.2 numpy==2.4.6

cd "$work"
venv/bin/python - >line <<'PYTHON'
import subprocess
import nibabel, numpy as np

def fft(array: np.ndarray, options: str) -> np.ndarray:
    nibabel.save(nibabel.Nifti1Image(array.astype(np.complex64)[:, None, None], np.eye(4)), "in.nii")
    subprocess.run(f"mrfilter in.nii fft -axes 0 {options} out.nii -force -quiet".split(), check=True)
    return np.asanyarray(nibabel.load("out.nii").dataobj)[:, 0, 0]

random = np.random.default_rng(0)
parts = []
for size in (16, 15):
    image = random.standard_normal(size)
    right = np.fft.fft(image)
    plain, centred = fft(image, ""), fft(image, "-centre_zero")
    back, centred_back = fft(plain, "-inverse"), fft(centred, "-centre_zero -inverse")
    found = [int(np.abs(right - value).argmin()) for value in centred]
    assert max(abs(right[k] - value) for k, value in zip(found, centred)) < 1e-4
    signs = (-1) ** (np.arange(size) + size // 2)
    parts.append(f"{size}: plain right {np.allclose(plain, right, atol=1e-5)} and back {np.allclose(back, image, atol=1e-5)}"
                 f", centred right {np.allclose(centred, np.fft.fftshift(right), atol=1e-5)}"
                 f", without the frequency {', '.join(str(k - size) for k in range(size) if k not in found) or None}, back {np.allclose(centred_back, image, atol=1e-5)}"
                 f", moved with signs {np.allclose(centred_back, np.roll(image, size // 2) * signs, atol=1e-5)}")
print("; ".join(parts))
PYTHON
cat line
[[ $(cat line) == "$SEEN" ]]

#!/usr/bin/env bash
# BART's phantom: k-space and coils are on scales of their own.
#
# Versions: BART v0.8.00 (Debian 12), numpy 2.4.6.
# Input: `bart phantom` of 64 x 64 as an image, as k-space (-k), and with eight coils (-s 8).
# A good engineer would guess: the inverse FFT of the k-space, with the usual 1/n for all samples
# (numpy, scipy, torch) or the unitary one of `bart fft -u`, is the image; and the coils weigh the
# image by sensitivities of about 1.
# Seen: the image has a maximum of 1. numpy's inverse is 1/4,096 of it and the unitary one 1/64 of it
# (times 1.16 by Gibbs ringing): the k-space fits only `bart fft -i` without -u, an inverse that
# divides by nothing. With eight coils the root-sum-of-squares image has a maximum of 1.8e5.
SEEN='maximum of image 1, by numpy.fft.ifft2 1.16/4096, by bart fft -i -u 1.16/64, by bart fft -i 1.16, of eight coils 1.8e+05'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v bart >/dev/null || apt-get install -y -qq bart >/dev/null
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq numpy==2.4.6

cd "$work"
bart phantom -x 64 image
bart phantom -k -x 64 kspace
bart phantom -s 8 -x 64 coils
bart rss 8 coils combined
bart fft -i 3 kspace plain
bart fft -i -u 3 kspace unitary

venv/bin/python - >line <<'PYTHON'
import numpy as np

def read(name: str) -> np.ndarray:
    return np.fromfile(f"{name}.cfl", np.complex64).reshape(64, 64).T

numpy_image = np.fft.ifft2(np.fft.ifftshift(read("kspace")))
maximum = {name: np.abs(read(name)).max() for name in ("image", "combined", "plain", "unitary")}
print(f"maximum of image {maximum['image']:.3g},",
      f"by numpy.fft.ifft2 {np.abs(numpy_image).max() * 4096:.3g}/4096,",
      f"by bart fft -i -u {maximum['unitary'] * 64:.3g}/64,",
      f"by bart fft -i {maximum['plain']:.3g}, of eight coils {maximum['combined']:.2g}")
PYTHON
echo "BART $(bart version): $(cat line)"
[[ $(cat line) == "$SEEN" ]]

#!/usr/bin/env bash
# BART's pics takes the scale out of its images: k-space times 1,000 gives the same image.
#
# Versions: BART v0.8.00 (Debian 12), numpy 2.4.6.
# Input: fully sampled k-space of BART's phantom, one coil of sensitivity 1, a tiny regularisation.
# A good engineer would guess: a reconstruction is linear here, so k-space times 1,000 gives the image
# times 1,000, and the image fits the k-space that it came from.
# Seen: pics divides k-space by a number that it takes from the data and leaves the image so, unless -S
# is given: both images have the same maximum. Series reconstructed one by one (repetitions, slices,
# undersampled against full) so lose their scale against each other. With -S it is as guessed.
SEEN='pics maximum 1.2901 and 1.2901 (ratio 1), pics -S 0.018125 and 18.125 (ratio 1000)'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v bart >/dev/null || apt-get install -y -qq bart >/dev/null
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq numpy==2.4.6

cd "$work"
{
    bart phantom -k -x 64 weak
    bart scale 1000 weak strong
    bart ones 2 64 64 coil
    for kspace in weak strong; do
        bart pics -l2 -r 0.000001 "$kspace" coil "plain_$kspace"
        bart pics -S -l2 -r 0.000001 "$kspace" coil "rescaled_$kspace"
    done
} >/dev/null

venv/bin/python - >line <<'PYTHON'
import numpy as np

def maxima(option: str) -> tuple[float, float]:
    weak, strong = (np.abs(np.fromfile(f"{option}_{name}.cfl", np.complex64)).max()
                    for name in ("weak", "strong"))
    return weak, strong

(a, b), (c, d) = maxima("plain"), maxima("rescaled")
print(f"pics maximum {a:.5g} and {b:.5g} (ratio {b / a:.4g}),",
      f"pics -S {c:.5g} and {d:.5g} (ratio {d / c:.4g})")
PYTHON
echo "BART $(bart version): $(cat line)"
[[ $(cat line) == "$SEEN" ]]

#!/usr/bin/env bash
# sigpy's masking leaves the signs of samples that were not measured in their zeros; BART's does not.
#
# Versions: sigpy 0.1.27, numpy 2.4.6, BART v0.8.00 (Debian 12).
# Input: complex Gaussian k-space of 512 x 512 and a mask that keeps each 4th column, multiplied by
# sigpy.linop.Multiply, as views of real and imaginary part (as PyTorch code stores k-space) by numpy,
# and by `bart fmac`. The sign of the real part of a masked sample is guessed from the sign bit of its 0.
# A good engineer would guess: what the mask removes is gone; the guess is right by chance, 50 %.
# Seen: 75 % for sigpy and 100 % for real and imaginary parts, since -1 times 0 is -0, which equals 0
# in each test but has its sign in atan2, so in phase images and in whatever sees bits. BART adds to +0
# and gives chance.
SEEN='right signs of removed samples: sigpy 75 %, numpy by parts 100 %, BART 50 %; phase of removed samples not 0: sigpy 25 %, numpy by parts 50 %, BART 0 %'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v bart >/dev/null || apt-get install -y -qq bart >/dev/null
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq sigpy==0.1.27 numpy==2.4.6

cd "$work"
venv/bin/python - >line <<'PYTHON'
import subprocess
import numpy as np
import sigpy

random = np.random.default_rng(0)
parts = random.standard_normal((512, 512, 2), np.float32)
kspace = parts.view(np.complex64)[..., 0]
mask = np.zeros((512, 512), np.float32)
mask[:, ::4] = 1
removed = mask == 0

def through_bart() -> np.ndarray:
    for name, array in (("kspace", kspace), ("mask", mask)):
        with open(f"{name}.hdr", "w") as header:
            header.write("# Dimensions\n512 512\n")
        array.astype(np.complex64).T.ravel("C").tofile(f"{name}.cfl")
    subprocess.run(["bart", "fmac", "kspace", "mask", "masked"], check=True)
    return np.fromfile("masked.cfl", np.complex64).reshape(512, 512).T

masked = {"sigpy": sigpy.linop.Multiply(kspace.shape, mask)(kspace),
          "numpy by parts": (parts * mask[..., None]).view(np.complex64)[..., 0],
          "BART": through_bart()}
right, turned = {}, {}
for tool, result in masked.items():
    assert np.array_equal(result, np.where(removed, 0, kspace))
    right[tool] = np.mean(np.signbit(result.real[removed]) == (kspace.real[removed] < 0))
    turned[tool] = np.mean(np.angle(result[removed]) != 0)

def listed(shares: dict[str, float]) -> str:
    return ", ".join(f"{tool} {share:.0%}".replace("%", " %") for tool, share in shares.items())

print(f"right signs of removed samples: {listed(right)}; phase of removed samples not 0: {listed(turned)}")
PYTHON
cat line
[[ $(cat line) == "$SEEN" ]]

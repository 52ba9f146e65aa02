#!/usr/bin/env bash
# BART's nlinv writes sensitivities that do not belong to its image: used by pics they shade it by a third.
#
# Versions: BART v0.8.00 (Debian 12), numpy 2.4.6.
# Input: a smooth-edged disc of 64 x 64 by eight coils whose sensitivities have a root sum of squares of 1, fully sampled
# and without noise; `nlinv k image maps`, `nlinv -N`, `ecalib -m1 -c0`, and `pics -S -l2 -r 1e-6` with nlinv's and with
# ecalib's maps. Compared are the root sum of squares of the maps in the disc, image times maps with the coil images
# (a factor is free), and pics' magnitude with the disc.
# A good engineer would guess: the two outputs of a joint estimate fit each other, image times maps being the coil images,
# and maps of nlinv serve pics as those of ecalib do.
# Seen: the image is multiplied by the maps' root sum of squares, and the maps are written as they were, from 0.86 to 1.47
# of it: image times maps misses the coil images by 14 %, with -N (image as estimated) by 3 %. pics with these maps
# gives a disc between 0.79 and 1.33 of its shade, with ecalib's 1.00. Divided by their root
# sum of squares they fit the coils (overlap above 0.99).
SEEN='root sum of squares of nlinv maps 0.86 to 1.47; image times maps misses the coil images by 14 %, with -N 3 %; pics by the disc with maps of nlinv 0.79 to 1.33, of ecalib 1.00 to 1.00'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v bart >/dev/null || apt-get install -y -qq bart >/dev/null
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq numpy==2.4.6

cd "$work"
venv/bin/python - >line <<'PYTHON'
import subprocess
import numpy as np

N, COILS = 64, 8

def bart(command: str) -> None:
    subprocess.run(["bart", *command.split()], check=True, capture_output=True)

def read(name: str, *shape: int) -> np.ndarray:
    """Return an array of BART; the first dimension is the fastest."""
    return np.fromfile(f"{name}.cfl", np.complex64).reshape(shape, order="F")

y, x = np.mgrid[-N // 2 : N // 2, -N // 2 : N // 2] / N
disc = 1 / (1 + np.exp(12 * (np.hypot(y, x) / 0.35 - 1)))
angles = 2 * np.pi * np.arange(COILS) / COILS
away = (y[..., None] - 0.6 * np.cos(angles)) ** 2 + (x[..., None] - 0.6 * np.sin(angles)) ** 2
turned = angles + 2 * x[..., None] * np.cos(angles) + 3 * y[..., None]
coils = np.exp(-1.2 * away + 1j * turned)
coils /= np.sqrt((np.abs(coils) ** 2).sum(-1, keepdims=True))
images = coils * disc[..., None]
kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(images, axes=(0, 1)), axes=(0, 1), norm="ortho"), axes=(0, 1))
kspace.astype(np.complex64).ravel(order="F").tofile("k.cfl")
with open("k.hdr", "w") as header:
    print("# Dimensions", f"{N} {N} 1 {COILS}" + " 1" * 12, sep="\n", file=header)
inside = disc > 0.5

def missed(image: str, maps: str) -> str:
    """Return by how much image times maps misses the coil images; the best factor is free."""
    product = read(image, N, N)[..., None] * read(maps, N, N, COILS)
    factor = np.vdot(product, images) / np.vdot(product, product)
    return f"{100 * np.linalg.norm(factor * product - images) / np.linalg.norm(images):.0f} %"

def shade(maps: str) -> str:
    """Return the range of pics' magnitude by the disc's; the best factor is free."""
    bart(f"pics -S -l2 -r 1e-6 k {maps} image_pics")
    magnitude = np.abs(read("image_pics", N, N))
    magnitude *= (magnitude * disc).sum() / (magnitude**2).sum()
    ratio = (magnitude / disc)[inside]
    return f"{ratio.min():.2f} to {ratio.max():.2f}"

bart("nlinv k image maps")
bart("nlinv -N k image_n maps_n")
bart("ecalib -m1 -c0 k maps_e")
norm = np.sqrt((np.abs(read("maps", N, N, COILS)) ** 2).sum(-1))[inside]
print(f"root sum of squares of nlinv maps {norm.min():.2f} to {norm.max():.2f}; image times maps misses the coil",
      f"images by {missed('image', 'maps')}, with -N {missed('image_n', 'maps_n')}; pics by the disc with maps of nlinv",
      f"{shade('maps')}, of ecalib {shade('maps_e')}")
PYTHON
cat line
[[ $(cat line) == "$SEEN" ]]

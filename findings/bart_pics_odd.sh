#!/usr/bin/env bash
# BART's pics moves the image by a pixel along each odd dimension, but not the coils; bart fft does not.
#
# Versions: BART v0.8.00 (Debian 12), numpy 2.4.6.
# Input: a smooth-edged disc seen by eight coils with known sensitivities, fully sampled and without noise,
# of 64 x 64, 64 x 63 and 63 x 63; k-space by numpy's centred FFT, which `bart fft -u` agrees with at each
# size. Reconstructed by plain `pics -S` (least squares, no regularisation).
# A good engineer would guess: the error is 0 for each size, as sizes are free and 63 is no special one;
# or pics refuses odd sizes.
# Seen: 64 x 64 is exact. Of odd sizes the best fit is the image moved by +1 pixel along each odd
# dimension, times a phase of its own (91 and -178 degrees), so magnitudes are off by 10 % and more too.
# The coils stay in place, so the fit is not exact. Nothing is printed. K-space has to be modulated by the
# inverse of what the coils are modulated by; the two are the same for even sizes, and v0.8.00 takes the
# wrong one for odd ones. K-space times exp(-4 pi i c (k - c / 2) / n), c = n // 2, along each odd dimension
# gives exact images. (Pull request 328, merged in 2024 and in v1.0.00, takes the inverse.)
SEEN='error, of magnitude, moved: 64x64 0.000 0.000 (0, 0), 64x63 1.431 0.097 (0, 1), 63x63 1.994 0.137 (1, 1); k-space corrected before: 0.000 0.000 0.000; bart fft against numpy 0.000 0.000 0.000'
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

def write(name: str, array: np.ndarray) -> None:
    with open(f"{name}.hdr", "w") as header:
        header.write("# Dimensions\n" + " ".join(map(str, array.shape)) + "\n")
    array.astype(np.complex64).ravel(order="F").tofile(f"{name}.cfl")

def bart(command: str, array: np.ndarray) -> np.ndarray:
    """Return what a command makes of k-space or an image (with maps in `maps`)."""
    write("in", array)
    subprocess.run(["bart", *command.split()], check=True, capture_output=True)
    return np.fromfile("out.cfl", np.complex64).reshape(array.shape[:2], order="F")

def fft(image: np.ndarray) -> np.ndarray:
    shifted = np.fft.fft2(np.fft.ifftshift(image, axes=(0, 1)), axes=(0, 1), norm="ortho")
    return np.fft.fftshift(shifted, axes=(0, 1))

def error(found: np.ndarray, image: np.ndarray) -> float:
    return float(np.linalg.norm(found - image) / np.linalg.norm(image))

def correction(size: int) -> np.ndarray:
    place, centre = np.arange(size), size // 2
    return np.exp(-4j * np.pi * centre / size * (place - centre / 2)) if size % 2 else np.ones(size)

def moved(found: np.ndarray, image: np.ndarray) -> tuple[int, int]:
    """Return the move, of up to one pixel each way, that fits best up to a complex factor."""
    tried = []
    for move in np.ndindex(3, 3):
        shift = (move[0] - 1, move[1] - 1)
        there = np.roll(image, shift, (0, 1))
        tried.append((error(np.vdot(there, found) / np.vdot(there, there) * there, found), shift))
    return min(tried)[1]

errors, corrected, ffts = [], [], []
for rows, columns in ((64, 64), (64, 63), (63, 63)):
    y, x = np.mgrid[:rows, :columns]
    y, x = (y - rows // 2) / rows, (x - columns // 2) / columns
    image = (1 + 0.3 * np.sin(9 * y) * np.cos(7 * x)) / (1 + np.exp((np.hypot(y, x) - 0.3) * 60))
    coils = np.stack([np.exp(-((y - 0.5 * np.sin(a)) ** 2 + (x - 0.5 * np.cos(a)) ** 2) / 0.3 + 1j * a)
                      for a in 2 * np.pi * np.arange(8) / 8], axis=-1)
    coils /= np.linalg.norm(coils, axis=-1, keepdims=True)
    write("maps", coils[:, :, None])
    kspace = fft(image[..., None] * coils)
    factor = (correction(rows)[:, None] * correction(columns))[..., None]

    found = bart("pics -S -i 100 in maps out", kspace[:, :, None])
    errors.append(f"{rows}x{columns} {error(found, image):.3f} {error(np.abs(found), image):.3f}"
                  f" {moved(found, image)}")
    corrected.append(f"{error(bart('pics -S -i 100 in maps out', (kspace * factor)[:, :, None]), image):.3f}")
    ffts.append(f"{error(bart('fft -u 3 in out', image), fft(image)):.3f}")

print("error, of magnitude, moved: " + ", ".join(errors) + "; k-space corrected before: " + " ".join(corrected)
      + "; bart fft against numpy " + " ".join(ffts))
PYTHON
cat line
[[ $(cat line) == "$SEEN" ]]

#!/usr/bin/env bash
# The "ortho" NUFFT of torchkbnufft is half of the unitary transform, and its factor turns with the grid.
#
# Versions: torchkbnufft 1.5.2, torch 2.13.0, mri-nufft 1.5.1, finufft 2.5.1, sigpy 0.1.27, numpy 2.4.6.
# Input: complex noise of 64 x 64 and, for the last figure, 16 x 16 x 16, and 300 random places of k-space;
# samples by KbNufft with norm="ortho", with the default grid (twice the image) and with grids of 1.5 and
# 1.25 times, by mri-nufft's operator (finufft, as it is) and by sigpy.nufft, against the sums of the unitary
# Fourier transform; compared is the best real factor.
# A good engineer would guess: 1 each: orthonormal is what norm="ortho" means in numpy and torch, so samples on
# the grid are those of fft2(..., norm="ortho"); the grid of the interpolation trades speed against accuracy only.
# Seen: 0.5, and 0.667 and 0.8 with the smaller grids: the factor is that of the oversampled grid's FFT, 1 by its
# oversampling in each dimension. mri-nufft has 0.5 as well, and both have 0.354 in three dimensions; sigpy has 1.
# So k-space simulated by one and reconstructed by another changes its scale, and noise and regularisation with it.
SEEN='factor: torchkbnufft grid 2.0 0.500, grid 1.5 0.667, grid 1.25 0.800, mri-nufft 0.500, sigpy 1.000; in 3D: torchkbnufft 0.354, mri-nufft 0.354, sigpy 1.000'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq torchkbnufft==1.5.2 torch==2.13.0 mri-nufft==1.5.1 finufft==2.5.1 sigpy==0.1.27 \
    numpy==2.4.6

"$work/venv/bin/python" -W ignore - >"$work/line" <<'PYTHON'
import mrinufft, numpy as np, sigpy, torch, torchkbnufft

random = np.random.default_rng(0)

def exact(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the sums of the unitary Fourier transform; places in samples from the middle of k-space."""
    size = len(image)
    for axis in range(image.ndim):
        waves = np.exp(-2j * np.pi * np.outer(places[:, axis], np.arange(size) - size // 2) / size)
        image = np.einsum("pi,i...->p...", waves, image) if axis == 0 else np.einsum("pi,pi...->p...", waves, image)
    return image / size ** (places.shape[1] / 2)

def factors(size: int, dimensions: int, grids: list[float]) -> str:
    shape = (size,) * dimensions
    image = random.standard_normal(shape) + 1j * random.standard_normal(shape)
    places = random.uniform(-0.45 * size, 0.45 * size, (300, dimensions))
    right = exact(image, places)
    told = lambda found: f"{(np.vdot(right, found) / np.vdot(right, right)).real:.3f}"
    parts = []
    for grid in grids:
        forward = torchkbnufft.KbNufft(shape, grid_size=tuple(int(grid * n) for n in shape), dtype=torch.complex128)
        radians = torch.tensor(2 * np.pi * places.T / size)
        found = forward(torch.tensor(image)[None, None], radians, norm="ortho")[0, 0].numpy()
        parts.append("torchkbnufft " * (not parts) + f"grid {grid} " * (len(grids) > 1) + told(found))
    operator = mrinufft.get_operator("finufft")((places / size).astype(np.float32), shape, density=False)
    parts.append(f"mri-nufft {told(operator.op(image.astype(np.complex64)).ravel())}")
    parts.append(f"sigpy {told(sigpy.nufft(image, places, oversamp=2, width=6))}")
    return ", ".join(parts)

print("factor:", factors(64, 2, [2.0, 1.5, 1.25]) + "; in 3D:", factors(16, 3, [2.0]))
PYTHON
cat "$work/line"
[[ $(cat "$work/line") == "$SEEN" ]]

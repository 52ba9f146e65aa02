#!/usr/bin/env bash
# BART's nufft is scaled as the unitary FFT, its exact form -s as the plain one: 64 times more at 64 x 64.
#
# Versions: BART v0.8.00 (Debian 12), numpy 2.4.6.
# Input: complex noise of 32 x 32, 64 x 64, and 128 x 128, and the whole places of k-space, four samples and
# more from its edge, where nufft, `nufft -s` (DFT), `fft -u` (unitary) and `fft` all give the same samples.
# Also nufft's adjoint of such samples, with and without -s.
# A good engineer would guess: -s chooses how the same thing is computed, slow and exact, as a reference for
# the fast one, so the two agree to the error of the latter; `fft` says by -u which scale it has.
# Seen: nufft is 1.001 times fft -u, and -s is 1.000 times fft, so it is 32, 64, and 128 times larger; so is
# the adjoint. Samples by -s of a phantom, reconstructed without it, are too large by the matrix size.
SEEN='32: nufft / fft -u 1.001, nufft -s / fft 1.000, -s / without 32.0, adjoint 32.0; 64: nufft / fft -u 1.001, nufft -s / fft 1.000, -s / without 63.9, adjoint 63.9; 128: nufft / fft -u 1.001, nufft -s / fft 1.000, -s / without 127.8, adjoint 127.8'
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

def norm(command: str, where: np.ndarray | None = None) -> float:
    """Return the norm of what a command writes, or of its values at some places of k-space."""
    subprocess.run(["bart", *command.split(), "out"], check=True, capture_output=True)
    values = np.fromfile("out.cfl", np.complex64)
    if where is not None:
        values = values.reshape(size, size, order="F")[tuple(where + size // 2)]
    return float(np.linalg.norm(values))

random = np.random.default_rng(0)
parts = []
for size in (32, 64, 128):
    write("image", random.standard_normal((size, size)) + 1j * random.standard_normal((size, size)))
    inner = np.arange(4 - size // 2, size // 2 - 4)
    places = np.stack(np.meshgrid(inner, inner, indexing="ij")).reshape(2, -1)
    write("places", np.concatenate([places, np.zeros((1, places.shape[1]))]))
    write("samples", random.standard_normal((1, places.shape[1])))

    fast, slow = norm("nufft places image"), norm("nufft -s places image")
    unitary, plain = norm("fft -u 3 image", places), norm("fft 3 image", places)
    back, slow_back = (norm(f"nufft -a {option} -d {size}:{size}:1 places samples") for option in ("", "-s"))
    parts.append(f"{size}: nufft / fft -u {fast / unitary:.3f}, nufft -s / fft {slow / plain:.3f},"
                 f" -s / without {slow / fast:.1f}, adjoint {slow_back / back:.1f}")
print("; ".join(parts))
PYTHON
cat line
[[ $(cat line) == "$SEEN" ]]

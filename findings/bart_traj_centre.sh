#!/usr/bin/env bash
# BART's radial traj misses k-space's centre by half a sample, and its -c "[DC sampled]" does so at odd sizes.
#
# Versions: BART v0.8.00 (Debian 12), numpy 2.4.6.
# Input: `bart traj -r -x n -y 8` for n of 128 and 127, without and with -c, and with -o 2 (oversampling) besides; told is
# the distance from the middle of k-space of the nearest sample, and of sample n // 2 of each spoke, the centre that
# numpy and `bart fft` have, in samples.
# A good engineer would guess: spokes of a radial scan run through the middle, so sample n // 2 is at 0; or else -c, by whose
# help the trajectory is asymmetric and the middle sampled, does it.
# Seen: without -c no sample of 128 is nearer than 0.5 (0.25 with -o 2): spokes are symmetric about the middle. With -c
# sample 64 is at 0. At 127 the two are exchanged: without -c sample 63 is at 0, with -c it is at -0.5, and the middle is
# not sampled. The signal of the middle (for self-gating, or the phase of a spoke) is another sample's there.
SEEN='nearest sample and sample n // 2 by their distance: 128 0.5 0.5, with -c 0.0 0.0, with -o 2 0.25 0.25, -c -o 2 0.0 0.0; 127 0.0 0.0, with -c 0.5 0.5, with -o 2 0.25 0.25, -c -o 2 0.0 0.0'
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

SPOKES = 8

def told(samples: int, options: str, oversampling: int = 1) -> str:
    """Return the distance of the nearest sample and of the middle one of a spoke; the same for all spokes."""
    command = f"bart traj -r -x {samples} -y {SPOKES} {options} places"
    subprocess.run(command.split(), check=True, capture_output=True)
    places = np.fromfile("places.cfl", np.complex64).real.reshape(SPOKES, samples * oversampling, 3)
    distances = np.linalg.norm(places, axis=-1).round(3)
    nearest, middle = distances.min(1), distances[:, samples * oversampling // 2]
    assert np.ptp(nearest) == np.ptp(middle) == 0, distances
    return f"{nearest[0]} {middle[0]}"

parts = [f"{n} {told(n, '')}, with -c {told(n, '-c')}, with -o 2 {told(n, '-o 2', 2)}, -c -o 2 {told(n, '-c -o 2', 2)}"
         for n in (128, 127)]
print("nearest sample and sample n // 2 by their distance: " + "; ".join(parts))
PYTHON
cat line
[[ $(cat line) == "$SEEN" ]]

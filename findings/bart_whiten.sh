#!/usr/bin/env bash
# Whitened noise has unit variance neither in BART nor in sigpy; in BART it depends on the array's shape.
#
# Versions: BART v0.8.00 (Debian 12), sigpy 0.1.27, numpy 2.4.6.
# Input: 10,000 noise samples a coil, 4 coils, complex variance 9; in BART once as one readout of 10,000
# samples, once as 10 readouts of 1,000, once as 100 of 100. The noise is whitened by itself.
# A good engineer would guess: variance 1 in each coil, since that is what pre-whitening is for, and that
# the noise given to the function is left as it was.
# Seen: BART divides the covariance by the samples of one readout only, so the variance is 1, 0.1 and
# 0.01 (`whiten -n` makes it 1). sigpy.mri.get_cov does not divide at all, so sigpy.mri.whiten gives
# 1/10,000; it also subtracts the mean from the caller's array in place.
SEEN='BART 10000x1: 1.0e+00, 1000x10: 1.0e-01, 100x100: 9.9e-03, sigpy 1.0e-04, sigpy changed its input: True'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v bart >/dev/null || apt-get install -y -qq bart >/dev/null
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq sigpy==0.1.27 numpy==2.4.6

cd "$work"
for shape in "10000 1" "1000 10" "100 100"; do
    name=${shape/ /x}
    # shellcheck disable=SC2086
    bart zeros 4 $shape 1 4 zeros
    bart noise -s 1 -n 9 zeros "noise_$name"
    bart whiten "noise_$name" "noise_$name" "white_$name"
done

venv/bin/python - >line <<'PYTHON'
import numpy as np
import sigpy.mri

def coils(name: str) -> np.ndarray:
    """Read a BART array as (samples, coils)."""
    return np.fromfile(f"{name}.cfl", np.complex64).reshape(4, -1).T

def variance(values: np.ndarray) -> str:
    return f"{values.var(axis=0).mean():.1e}"

parts = [f"{name}: {variance(coils(f'white_{name}'))}" for name in ("10000x1", "1000x10", "100x100")]
noise = coils("noise_10000x1").T + 1
given = noise.copy()
white = sigpy.mri.whiten(given, sigpy.mri.get_cov(noise))
print("BART", ", ".join(parts) + ",", f"sigpy {variance(white.T)},",
      f"sigpy changed its input: {not np.array_equal(noise, given)}")
PYTHON
echo "BART $(bart version): variance of whitened noise: $(cat line)"
[[ $(cat line) == "$SEEN" ]]

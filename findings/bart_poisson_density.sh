#!/usr/bin/env bash
# BART's poisson -v accelerates far more than asked for: 1 x 1 gives 7.6, 2 x 2 gives 10.5, 4 x 4 gives 23.
#
# Versions: BART v0.8.00 (Debian 12), sigpy 0.1.27, numpy 2.4.6.
# Input: Poisson-disc patterns of 128 x 128 by `bart poisson -y a -z a` for a = 1, 2, 3, and 4, with and
# without -v (variable density), and by sigpy.mri.poisson (which is of variable density) for a * a; the
# acceleration found is all samples by those that are set.
# A good engineer would guess: options called "acceleration dim 1" and "dim 2" give their product with -v
# too, with the samples only placed otherwise: 1, 4, 9, 16.
# Seen: without -v it is so from 4 on, and sigpy adapts its density until it is. With -v: 7.6, 10.5, 15.6, 23;
# the accelerations are those of the middle, and samples thin out from there. Nothing is printed. A
# baseline of "4x" by such a mask has 2.6 times less data than one by sigpy's.
SEEN='asked for 1 4 9 16: bart 1.2 4.0 9.0 16.1, bart -v 7.6 10.5 15.6 22.9, sigpy (4 9 16) 4.0 9.0 16.1'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v bart >/dev/null || apt-get install -y -qq bart >/dev/null
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq sigpy==0.1.27 numpy==2.4.6

cd "$work"
for a in 1 2 3 4; do
    bart poisson -Y 128 -Z 128 -y $a -z $a plain_$a >>log
    bart poisson -Y 128 -Z 128 -y $a -z $a -v variable_$a >>log
done

venv/bin/python - >line <<'PYTHON'
import numpy as np
import sigpy.mri

def by_bart(kind: str) -> str:
    return " ".join(f"{128**2 / np.count_nonzero(np.fromfile(f'{kind}_{a}.cfl', np.complex64)):.1f}"
                    for a in (1, 2, 3, 4))

by_sigpy = " ".join(f"{128**2 / np.count_nonzero(sigpy.mri.poisson((128, 128), a * a)):.1f}" for a in (2, 3, 4))
print(f"asked for 1 4 9 16: bart {by_bart('plain')}, bart -v {by_bart('variable')}, sigpy (4 9 16) {by_sigpy}")
PYTHON
cat line
[[ $(cat line) == "$SEEN" ]]

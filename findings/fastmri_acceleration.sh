#!/usr/bin/env bash
# fastMRI's "equispaced" masks are not as fast as their acceleration says; "random" ones are.
#
# Versions: fastmri 0.3.0, torch 2.13.0 (numpy 2.4.6, h5py 3.16.0, pandas, PyYAML, requests, tqdm).
# Input: masks of 368 columns for acceleration 4 with 8 % low frequencies, and 8 with 4 %, by
# create_mask_for_mask_type; the acceleration found is the columns by the sampled columns, as the mean
# of 200 seeds.
# A good engineer would guess: all kinds keep the acceleration that was asked for, as "random" does by
# thinning out the outer columns.
# Seen: "equispaced" and "magic" add the low frequencies on top of every 4th or 8th column, so that the
# scan is 3.2 and 6.2 times as fast; "equispaced_fraction" keeps the acceleration, "magic_fraction"
# exceeds it. A comparison of kinds at "acceleration 8" compares different amounts of data.
SEEN='4x: random 4.0, equispaced 3.2, equispaced_fraction 4.0, magic 3.2, magic_fraction 4.3; 8x: random 7.9, equispaced 6.2, equispaced_fraction 8.0, magic 6.2, magic_fraction 8.3'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq torch==2.13.0 numpy==2.4.6 h5py==3.16.0 pandas==3.1.1 PyYAML==6.0.4 \
    requests==2.34.2 tqdm==4.70.1
"$work/venv/bin/pip" install -qq --no-deps --no-warn-conflicts fastmri==0.3.0

"$work/venv/bin/python" - >"$work/line" <<'PYTHON'
import numpy as np
from fastmri.data.subsample import create_mask_for_mask_type

COLUMNS = 368
KINDS = ("random", "equispaced", "equispaced_fraction", "magic", "magic_fraction")

def found(kind: str, acceleration: int, low: float) -> float:
    mask = create_mask_for_mask_type(kind, [low], [acceleration])
    return np.mean([COLUMNS / float(mask((1, 1, COLUMNS, 1), seed=seed)[0].sum()) for seed in range(200)])

print("; ".join(f"{a}x: " + ", ".join(f"{kind} {found(kind, a, low):.1f}" for kind in KINDS)
                for a, low in ((4, 0.08), (8, 0.04))))
PYTHON
cat "$work/line"
[[ $(cat "$work/line") == "$SEEN" ]]

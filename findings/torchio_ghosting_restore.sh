#!/usr/bin/env bash
# torchio's ghosting keeps k-space's centre, by default, of 75 lines and more alone: of 64 it takes three quarters away.
#
# Versions: torchio 1.2.1, torch 2.13.0, numpy 2.4.6.
# Input: a disc in images of 64, 72, 80 and 128 squared pixels; Ghosting with 4 ghosts of intensity 0.75, with
# restore=0.02 as RandomGhosting has it by default, and with restore=None, which keeps the central line alone.
# A good engineer would guess: 2 % of the lines are kept, of 64 lines that is one: the central one. So the mean of
# the image, which is k-space's central sample, stays 1, as it does where the central line alone is kept.
# Seen: the mean stays at 80 and 128, and falls to 0.25 at 64 and 72. Half of the rounded number is kept on either
# side, which of one line is none. So patches of 64 pixels are darkened rather than ghosted where the central line is
# among those that are changed. Besides, the real part is given for the magnitude: values below 0 in each.
SEEN='mean with restore 0.02 and None, of 1: 64: 0.25 (lowest -0.56) and 1.00 (lowest -0.16), 72: 0.25 (lowest -0.56) and 1.00 (lowest -0.17), 80: 1.00 (lowest -0.17) and 1.00 (lowest -0.17), 128: 1.00 (lowest -0.18) and 1.00 (lowest -0.18)'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq torch==2.13.0 torchio==1.2.1 numpy==2.4.6

cd "$work"
venv/bin/python - >line <<'PYTHON'
import numpy as np
import torch
import torchio

parts = []
for size in (64, 72, 80, 128):
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    disc = torch.from_numpy(x**2 + y**2 < 0.5).float()[None, :, :, None]
    figures = []
    for restore in (0.02, None):
        ghosting = torchio.Ghosting(num_ghosts=4, axis=1, intensity=0.75, restore=restore)
        found = ghosting(torchio.ScalarImage(tensor=disc)).data
        figures.append(f"{found.mean() / disc.mean():.2f} (lowest {found.min():.2f})")
    parts.append(f"{size}: " + " and ".join(figures))
print("mean with restore 0.02 and None, of 1: " + ", ".join(parts))
PYTHON
cat line
[[ $(cat line) == "$SEEN" ]]

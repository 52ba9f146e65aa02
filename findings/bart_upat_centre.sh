#!/usr/bin/env bash
# BART's upat takes the size of k-space's centre for a radius: -c 24 measures 47 central lines.
#
# Versions: BART v0.8.00 (Debian 12), numpy 2.4.6.
# Input: patterns of 256 lines, every 64th and a centre of 1, 2, 8 and 24 (`upat -Y 256 -y 64 -c`), and the
# same centres in `bart poisson -C`, 256 x 256; counted are the lines measured without a gap around line 128.
# A good engineer would guess: "size of k-space center" is the number of central lines, as the -C of poisson
# and the -r of ecalib and caldir, so the centre of 24 is what ecalib -r 24 is calibrated on.
# Seen: upat measures 1, 3, 15 and 47 lines, all whose distance from the middle is below the size; poisson
# measures squares of 8 and 24. With every fourth line and -c 24, 100 of 256 lines are measured and not 82:
# the acceleration is 2.6, not 3.1.
SEEN='central lines of upat -c 1 2 8 24: 1 3 15 47; of poisson -C 8 24: 8 24; measured by upat -y 4 -c 24: 100 of 256'
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

LINES = 256

def pattern(command: str, size: int) -> np.ndarray:
    """Run a command of BART; return where its pattern of LINES x size is not zero."""
    subprocess.run(["bart", *command.split(), "pattern"], check=True, capture_output=True)
    return np.fromfile("pattern.cfl", np.complex64).reshape(size, LINES).T != 0

def central(measured: np.ndarray) -> int:
    """Return how many lines around the middle one are measured without a gap."""
    gaps = np.flatnonzero(~measured)
    middle = LINES // 2
    return gaps[gaps > middle].min() - gaps[gaps < middle].max() - 1

def lines(step: int, centre: int) -> np.ndarray:
    return pattern(f"upat -Y {LINES} -Z 1 -y {step} -z 1 -c {centre}", 1)[:, 0]

def square(centre: int) -> int:
    """Return the size of the square of poisson: along its middle column."""
    measured = pattern(f"poisson -Y {LINES} -Z {LINES} -y 100 -z 100 -C {centre} -s 1", LINES)
    return central(measured[:, LINES // 2])

print("central lines of upat -c 1 2 8 24:", *(central(lines(64, centre)) for centre in (1, 2, 8, 24)), end="; ")
print("of poisson -C 8 24:", *(square(centre) for centre in (8, 24)), end="; ")
print(f"measured by upat -y 4 -c 24: {lines(4, 24).sum()} of {LINES}")
PYTHON
cat line
[[ $(cat line) == "$SEEN" ]]

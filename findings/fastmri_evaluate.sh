#!/usr/bin/env bash
# fastMRI's evaluate measures all volumes and then fails to print the figures.
#
# Versions: fastmri 0.3.0, runstats 2.0.0 (on Python 3.11: in Python), torch 2.13.0, numpy 2.4.6, scikit-image 0.26.0,
# h5py 3.16.0.
# Input: two volumes of three slices in files as fastMRI has them (reconstruction_rss, reconstruction);
# `python -m fastmri.evaluate --challenge multicoil`, and its function evaluate by hand.
# A good engineer would guess: the command prints NMSE, PSNR and SSIM: it is what a leaderboard was ranked by.
# Seen: it reads and measures all volumes and ends with 1 and a TypeError in the place of the figures: its SSIM
# is an array of one number, and the sums of runstats keep it an array, which "{:.4g}" does not take. (The wheels
# of runstats, which are compiled, end at Python 3.9; they were not run here.) The figures are there: evaluate().means().
SEEN='exit 1, printed 0 bytes, TypeError: unsupported format string passed to numpy.ndarray.__format__; by hand MSE 0.000102 of shape (), NMSE 0.000298 of shape (), PSNR 39.9 of shape (), SSIM 0.999 of shape (1,)'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq torch==2.13.0 numpy==2.4.6 h5py==3.16.0 pandas==3.1.1 PyYAML==6.0.4 \
    requests==2.34.2 tqdm==4.70.1 scikit-image==0.26.0 runstats==2.0.0
"$work/venv/bin/pip" install -qq --no-deps --no-warn-conflicts fastmri==0.3.0

mkdir "$work/targets" "$work/images"
cd "$work"
"$work/venv/bin/python" - >line <<'PYTHON'
import subprocess, sys
from argparse import Namespace
from pathlib import Path
import h5py, numpy as np
from fastmri.evaluate import evaluate

random = np.random.default_rng(0)
for number in range(2):
    volume = random.random((3, 32, 32), dtype=np.float32)
    with h5py.File(f"targets/{number}.h5", "w") as target, h5py.File(f"images/{number}.h5", "w") as image:
        target["reconstruction_rss"] = volume
        target.attrs["acquisition"] = "AXT2"
        image["reconstruction"] = volume + 0.01 * random.standard_normal(volume.shape).astype(np.float32)

words = "-m fastmri.evaluate --target-path targets --predictions-path images --challenge multicoil".split()
done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
paths = Namespace(target_path=Path("targets"), predictions_path=Path("images"), acquisition=None, acceleration=None)
means = evaluate(paths, "reconstruction_rss").means()
print(f"exit {done.returncode}, printed {len(done.stdout)} bytes, {done.stderr.splitlines()[-1]}; by hand",
      ", ".join(f"{name} {np.asarray(value).item():.3g} of shape {np.shape(value)}" for name, value in sorted(means.items())))
PYTHON
cat line
[[ $(cat line) == "$SEEN" ]]

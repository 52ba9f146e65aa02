#!/usr/bin/env bash
# torchmetrics' PSNR of complex images squares errors without their magnitude: a wrong phase is an infinite PSNR.
#
# Versions: torchmetrics 1.9.0, torch 2.13.0, numpy 2.4.6.
# Input: complex images of 64 x 64 with complex Gaussian values of variance 1, data_range=1; errors of magnitude 0.1 all
# over that are real, imaginary, and half of each (phase of 45 degrees), and complex noise of variance 0.01: all of
# them are 20 dB by the mean of squared magnitudes.
# A good engineer would guess: 20 dB each, or an error that says that complex images are not taken, as of SSIM.
# Seen: 20.0, infinite, 23.0 and 22.9 dB. The error is squared as a complex number, so imaginary errors count
# negatively and cancel real ones, and of the sum only the real part is kept. All that is heard is PyTorch's warning of
# a cast, for the first image of the process alone. mean_squared_error gives the complex number. Networks that
# reconstruct complex images look better the more of their error is in the phase.
SEEN='real 20.0 dB of 20.0, MSE 0.0100; imaginary inf dB of 20.0, MSE -0.0100; 45 degrees 23.0 dB of 20.0, MSE 0.0000+0.0100i; noise 22.9 dB of 19.9, MSE 0.0001+0.0001i; warnings [1, 0, 0, 0]; SSIM refused'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq torch==2.13.0 torchmetrics==1.9.0 numpy==2.4.6

cd "$work"
venv/bin/python - >line <<'PYTHON'
import warnings

import torch
from torchmetrics.functional import mean_squared_error
from torchmetrics.functional.image import structural_similarity_index_measure
from torchmetrics.image import PeakSignalNoiseRatio

random = torch.Generator().manual_seed(0)
target = torch.randn(1, 1, 64, 64, dtype=torch.complex64, generator=random)
noise = torch.randn(1, 1, 64, 64, dtype=torch.complex64, generator=random)
errors = {"real": 0.1, "imaginary": 0.1j, "45 degrees": 0.1 * (1 + 1j) / 2**0.5, "noise": 0.1 * noise}
parts, casts = [], []
for name, error in errors.items():
    image, metric = target + error, PeakSignalNoiseRatio(data_range=1.0)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        metric.update(image, target)
        value = metric.compute()
    casts.append(len(told))
    squares = mean_squared_error(image, target)
    right = -10 * torch.log10((image - target).abs().square().mean())
    parts.append(f"{name} {value:.1f} dB of {right:.1f}, MSE {squares.real:.4f}{squares.imag:+.4f}i")
try:
    structural_similarity_index_measure(image, target, data_range=1.0)
    ssim = "taken"
except (RuntimeError, NotImplementedError, TypeError):
    ssim = "refused"
print("; ".join(parts).replace("+0.0000i", "").replace("-0.0000i", "") + f"; warnings {casts}; SSIM {ssim}")
PYTHON
cat line
[[ $(cat line) == "$SEEN" ]]

#!/usr/bin/env bash
# Lightning's true precisions miss complex data: bf16-true makes sensitivities real, 64-true leaves them in single.
#
# Versions: pytorch-lightning 2.6.6, torch 2.13.0, numpy 2.4.6.
# Input: a module with a weight of 1 and a complex buffer of coil sensitivities exp(i phase), fed complex64 k-space whose
# image it combines as conj(sensitivity) * image; Trainer(precision=...) predicts. The phases are 0 to 3 over 8 coils.
# A good engineer would guess: "64-true" makes all of it double, so that a result is right to 1e-16, and "16-true" and
# "bf16-true", of whose types there is no complex one that all operators take, leave complex data or refuse them.
# Seen: "64-true" makes weights double, but buffers and batches stay complex64: the combined image is complex128
# and off by 4e-8, as in single. "16-true" and "bf16-true" drop the imaginary part of the buffer, so that a checkpoint
# would hold no more, and leave batches complex: the image is off by a half. PyTorch warns of the cast once a process;
# where it was warned of before, nothing is said.
SEEN='32-true: weight and maps float32, complex64, image complex64 off by 4e-08, warned 0; 64-true: weight and maps float64, complex64, image complex128 off by 4e-08, warned 0; bf16-true: weight and maps bfloat16, bfloat16, image complex64 off by 5e-01, warned 1; 16-true: weight and maps float16, float16, image complex64 off by 5e-01, warned 0'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq torch==2.13.0 pytorch-lightning==2.6.6 numpy==2.4.6

cd "$work"
cat >predict.py <<'PYTHON'
import logging
import warnings

import torch
from pytorch_lightning import LightningModule, Trainer

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)

class Combination(LightningModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.register_buffer("maps", sensitivities.to(torch.complex64))

    def predict_step(self, images: torch.Tensor, index: int) -> torch.Tensor:
        return self.weight * (self.maps.conj() * images).mean(-1)

sensitivities = torch.exp(1j * torch.linspace(0, 3, 8, dtype=torch.float64))
image = torch.exp(1j * torch.linspace(-3, 3, 64, dtype=torch.float64))[:, None]
coils = image * sensitivities
parts = []
for precision in ("32-true", "64-true", "bf16-true", "16-true"):
    module = Combination()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        batches = torch.utils.data.DataLoader(coils.to(torch.complex64), batch_size=64)
        found, = Trainer(
            precision=precision, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False).predict(module, batches)
    casts = sum("imaginary" in str(warning.message) for warning in told)
    error = ((found.to(torch.complex128) - image[:, 0]).norm() / image.norm()).item()
    kinds = ", ".join(str(tensor.dtype).removeprefix("torch.") for tensor in (module.weight, module.maps))
    made = str(found.dtype).removeprefix("torch.")
    parts.append(f"{precision}: weight and maps {kinds}, image {made} off by {error:.0e}, warned {casts}")
print("; ".join(parts))
PYTHON
venv/bin/python predict.py >line 2>/dev/null
cat line
[[ $(cat line) == "$SEEN" ]]

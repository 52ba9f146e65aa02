#!/usr/bin/env bash
# MRpro's coil compression keeps the wrong part of complex data: it projects on the conjugate subspace.
#
# Versions: mrpro 0.261015, torch 2.13.0, numpy 2.4.6. torchvision, which only a phantom of mrpro uses,
# is stood in for by empty modules to keep the install small.
# Input: 1,000 samples of 8 coils that are random mixtures of 2 virtual coils, so of rank 2, once with
# complex and once with real mixing; PCACompressionOp with 2 components (as KData.compress_coils does).
# A good engineer would guess: 2 components keep all of data of rank 2, as the singular value
# decomposition does, and the adjoint gives the data back.
# Seen: real mixing is kept; of complex data 34 % of the energy is left and the data that come back are
# off by 81 %, since the matrix holds the conjugate of the principal directions. Coils of real scans are
# complex.
SEEN='energy kept by 2 of 8 coils: svd 100 %, mrpro on real mixing 100 %, on complex mixing 34 %; error of what comes back 81 %'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq torch==2.13.0 numpy==2.4.6 einops==0.8.2 ismrmrd==1.15.0 nibabel==5.4.2 \
    pydicom==3.0.2 finufft==2.5.1 scipy==1.17.1 PyWavelets==1.9.0 platformdirs==4.14.8 \
    requests==2.34.2 tqdm==4.70.1
"$work/venv/bin/pip" install -qq --no-deps --no-warn-conflicts mrpro==0.261015 ptwt==0.1.9 \
    pytorch-finufft==0.1.0 torchnd==0.3.0
mkdir -p "$work/modules/torchvision/transforms"
touch "$work/modules/torchvision/"{,transforms/}__init__.py "$work/modules/torchvision/transforms/functional.py"

PYTHONPATH="$work/modules" "$work/venv/bin/python" - >"$work/line" 2>"$work/said" <<'PYTHON' || { cat "$work/said"; exit 1; }
import torch
from mrpro.operators import PCACompressionOp

torch.manual_seed(0)

def energy(data: torch.Tensor, of: torch.Tensor) -> float:
    return float(data.norm() ** 2 / of.norm() ** 2)

def compressed(data: torch.Tensor) -> tuple[float, float]:
    """Return the energy kept and the relative error of the data that come back."""
    operator = PCACompressionOp(data, n_components=2)
    (virtual,) = operator(data)
    (back,) = operator.adjoint(virtual)
    return energy(virtual, data), float((back - data).norm() / data.norm())

basis = torch.linalg.qr(torch.randn(8, 2, dtype=torch.complex64))[0]
data = torch.randn(1000, 2, dtype=torch.complex64) @ basis.mT
real = (torch.randn(1000, 2) @ torch.randn(2, 8)).to(torch.complex64)
directions = torch.linalg.svd(data, full_matrices=False)[2][:2]
kept, error = compressed(data)
print(f"energy kept by 2 of 8 coils: svd {100 * energy(data @ directions.mH, data):.0f} %,",
      f"mrpro on real mixing {100 * compressed(real)[0]:.0f} %, on complex mixing {100 * kept:.0f} %;",
      f"error of what comes back {100 * error:.0f} %")
PYTHON
cat "$work/line"
[[ $(cat "$work/line") == "$SEEN" ]]

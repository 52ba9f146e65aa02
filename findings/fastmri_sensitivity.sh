#!/usr/bin/env bash
# fastMRI's VarNet estimates its sensitivities from one column when everything is measured.
#
# Versions: fastmri 0.3.0, torch 2.13.0 (numpy 2.4.6, h5py 3.16.0, pandas, PyYAML, requests, tqdm).
# Input: masks of 320 columns for SensitivityModel of fastmri.models.varnet, without a count of low
# frequencies: undersampled with 26 central columns, undersampled without any more in the centre, full.
# A good engineer would guess: the more of the centre is measured, the wider the part that the
# sensitivities come from; all 320 columns for a full mask.
# Seen: 26 columns, then 1, then 1 for the full mask too, since the search for the first column that was
# not measured finds none and says 0. Maps of a full scan then differ from those of the width that is
# passed by hand by more than half their largest value (random weights, same network).
SEEN='columns for sensitivities: centre of 26 26, no centre 1, all measured 1'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq torch==2.13.0 numpy==2.4.6 h5py==3.16.0 pandas==3.1.1 PyYAML==6.0.4 \
    requests==2.34.2 tqdm==4.70.1
"$work/venv/bin/pip" install -qq --no-deps --no-warn-conflicts fastmri==0.3.0

"$work/venv/bin/python" - >"$work/line" <<'PYTHON'
import torch
from fastmri.models.varnet import SensitivityModel

COLUMNS = 320
torch.manual_seed(0)
model = SensitivityModel(chans=4, num_pools=2).eval()

def mask(centre: int, acceleration: int) -> torch.Tensor:
    columns = torch.zeros(COLUMNS, dtype=torch.bool)
    first = COLUMNS // 2 - centre // 2
    columns[first : first + centre] = True
    columns[::acceleration] = True
    return columns.view(1, 1, 1, COLUMNS, 1)

widths = {name: int(model.get_pad_and_num_low_freqs(m)[1])
          for name, m in (("centre of 26", mask(26, 4)), ("no centre", mask(0, 4)), ("all measured", mask(0, 1)))}
kspace = torch.randn(1, 4, 64, COLUMNS, 2)
with torch.no_grad():
    found, asked = model(kspace, mask(0, 1)), model(kspace, mask(0, 1), COLUMNS)
change = float((found - asked).abs().max() / asked.abs().max())
assert change > 0.5, change
print("columns for sensitivities:", ", ".join(f"{name} {width}" for name, width in widths.items()))
PYTHON
cat "$work/line"
[[ $(cat "$work/line") == "$SEEN" ]]

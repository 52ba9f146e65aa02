#!/usr/bin/env bash
# MRpro whitens the coils of Siemens scans by the noise of other data: it conjugates their k-space, not their noise.
#
# Versions: mrpro 0.261015, ismrmrd 1.15.0, torch 2.13.0, numpy 2.4.6. torchvision, which only a phantom of
# mrpro uses, is stood in for by empty modules to keep the install small.
# Input: an ISMRMRD file of 4 coils whose noise is a random complex mixture: one noise acquisition of 4,096
# samples, and 64 lines that hold the same noise and no object; once with systemVendor GE, once SIEMENS.
# KData.from_file, KNoise.from_file, prewhiten_kspace.
# A good engineer would guess: whitened noise has no correlation, whatever the vendor.
# Seen: of GE none above that of 4,096 samples; of SIEMENS 0.89, since KData.from_file takes the conjugate of
# Siemens' k-space and KNoise.from_file does not. (With several noise acquisitions prewhiten_kspace fails:
# "shape '[1, 4, 1, 64, 64]' is invalid for input of size 1048576".)
SEEN='largest correlation of whitened noise: GE 0.04, SIEMENS 0.89'
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

PYTHONPATH="$work/modules" "$work/venv/bin/python" - "$work" >"$work/line" 2>"$work/said" <<'PYTHON' || { cat "$work/said"; exit 1; }
import sys
import ismrmrd
import numpy as np
import torch
from ismrmrd import xsd
from mrpro.algorithms import prewhiten_kspace
from mrpro.data import KData, KNoise
from mrpro.data.traj_calculators import KTrajectoryCartesian

N, COILS = 64, 4
rng = np.random.default_rng(0)
normal = lambda *shape: rng.normal(size=shape) + 1j * rng.normal(size=shape)
mixing = normal(COILS, COILS)

def space() -> xsd.encodingSpaceType:
    return xsd.encodingSpaceType(
        matrixSize=xsd.matrixSizeType(x=N, y=N, z=1),
        fieldOfView_mm=xsd.fieldOfViewMm(x=N, y=N, z=5),
    )

def correlation(vendor: str) -> float:
    """Write noise and lines of the same noise; return the largest correlation once it was whitened."""
    header = xsd.ismrmrdHeader(
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=128000000),
        acquisitionSystemInformation=xsd.acquisitionSystemInformationType(
            systemVendor=vendor, receiverChannels=COILS
        ),
        encoding=[xsd.encodingType(
            encodedSpace=space(), reconSpace=space(), trajectory=xsd.trajectoryType.CARTESIAN,
            encodingLimits=xsd.encodingLimitsType(
                kspace_encoding_step_1=xsd.limitType(minimum=0, maximum=N - 1, center=N // 2)
            ),
        )],
    )
    path = f"{sys.argv[1]}/{vendor}.h5"
    with ismrmrd.Dataset(path) as file:
        file.write_xml_header(xsd.ToXML(header).encode())
        for row in range(-1, N):
            data = mixing @ normal(COILS, N * N if row < 0 else N)
            line = ismrmrd.Acquisition.from_array(data.astype(np.complex64))
            line.center_sample = N // 2
            line.read_dir[:], line.phase_dir[:], line.slice_dir[:] = np.eye(3)
            if row < 0:
                line.setFlag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
            line.idx.kspace_encode_step_1 = max(row, 0)
            file.append_acquisition(line)
    scan = KData.from_file(path, KTrajectoryCartesian())
    white = prewhiten_kspace(scan, KNoise.from_file(path)).data
    samples = white.movedim(-4, 0).reshape(COILS, -1)
    found = (samples @ samples.mH / samples.shape[1]).numpy()
    power = np.sqrt(found.diagonal().real)
    return float(np.abs(found / np.outer(power, power) - np.eye(COILS)).max())

told = ", ".join(f"{vendor} {correlation(vendor):.2f}" for vendor in ("GE", "SIEMENS"))
print(f"largest correlation of whitened noise: {told}")
PYTHON
cat "$work/line"
[[ $(cat "$work/line") == "$SEEN" ]]

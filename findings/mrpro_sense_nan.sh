#!/usr/bin/env bash
# MRpro's iterative SENSE of a fully sampled scan is NaN in each pixel, with the five iterations that it has as it is.
#
# Versions: mrpro 0.261015, ismrmrd 1.15.0, torch 2.13.0, numpy 2.4.6. torchvision, which only a phantom of mrpro
# uses, is stood in for by empty modules to keep the install small.
# Input: ISMRMRD files of a disc of 64 x 64 by four coils whose sensitivities have a root sum of squares of 1, with noise
# of 0.02; all lines, and every second one and the central 12; IterativeSENSEReconstruction(scan)(scan), whose
# sensitivities are Walsh's, with 1 to 5 iterations (5 is the default), and DirectReconstruction; the error of the
# magnitude against the disc.
# A good engineer would guess: where all lines are measured the first iteration is the solution, as conjugate gradients
# need one step for each eigenvalue, and those after it change nothing. More iterations are no risk there.
# Seen: the first is. The conjugate gradients are called with a tolerance of 0, so the residual, which is rounding by
# then, is divided by itself until both are 0: NaN, all 4,096 pixels, no warning. A reference by the same call as
# the accelerated scans is lost so; of those, five iterations are twice as noisy as one.
SEEN='error after 1, 2 and 5 iterations: all lines 0.042 0.042 nan (4096 pixels), direct 0.042; half of them 0.044 0.060 0.087, direct 0.059'
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
from ismrmrd import xsd
from mrpro.algorithms.reconstruction import DirectReconstruction, IterativeSENSEReconstruction
from mrpro.data import KData
from mrpro.data.traj_calculators import KTrajectoryCartesian

N, COILS, NOISE = 64, 4, 0.02
rng = np.random.default_rng(0)
y, x = np.mgrid[-N // 2 : N // 2, -N // 2 : N // 2] / N
disc = 1 / (1 + np.exp(12 * (np.hypot(y, x) / 0.35 - 1)))
angles = 2 * np.pi * np.arange(COILS)[:, None, None] / COILS
coils = np.exp(-1.2 * ((y - 0.6 * np.cos(angles)) ** 2 + (x - 0.6 * np.sin(angles)) ** 2) + 1j * angles)
coils /= np.sqrt((np.abs(coils) ** 2).sum(0))
kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(coils * disc, axes=(1, 2)), norm="ortho"), axes=(1, 2))
kspace = kspace + NOISE * (rng.normal(size=kspace.shape) + 1j * rng.normal(size=kspace.shape))

def space() -> xsd.encodingSpaceType:
    return xsd.encodingSpaceType(
        matrixSize=xsd.matrixSizeType(x=N, y=N, z=1),
        fieldOfView_mm=xsd.fieldOfViewMm(x=256, y=256, z=5),
    )

def scan(rows: list[int]) -> KData:
    header = xsd.ismrmrdHeader(
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=128000000),
        acquisitionSystemInformation=xsd.acquisitionSystemInformationType(systemVendor="GE", receiverChannels=COILS),
        encoding=[xsd.encodingType(
            encodedSpace=space(), reconSpace=space(), trajectory=xsd.trajectoryType.CARTESIAN,
            encodingLimits=xsd.encodingLimitsType(
                kspace_encoding_step_1=xsd.limitType(minimum=0, maximum=N - 1, center=N // 2)
            ),
        )],
    )
    path = f"{sys.argv[1]}/{len(rows)}.h5"
    with ismrmrd.Dataset(path) as file:
        file.write_xml_header(xsd.ToXML(header).encode())
        for row in rows:
            line = ismrmrd.Acquisition.from_array(kspace[:, row].astype(np.complex64))
            line.center_sample = N // 2
            line.read_dir[:], line.phase_dir[:], line.slice_dir[:] = np.eye(3)
            line.idx.kspace_encode_step_1 = row
            file.append_acquisition(line)
    return KData.from_file(path, KTrajectoryCartesian())

def told(data: KData) -> str:
    """Return the errors after 1, 2 and the default number of iterations, and of the direct reconstruction."""
    direct = DirectReconstruction(data)
    parts = []
    for made in (*(IterativeSENSEReconstruction(data, n_iterations=n) for n in (1, 2)),
                 IterativeSENSEReconstruction(data), direct):
        image = made(data).data.abs().numpy().reshape(N, N)
        missing = int(np.isnan(image).sum())
        error = np.linalg.norm(image - disc) / np.linalg.norm(disc)
        parts.append("direct " * (made is direct) + f"{error:.3f}" + f" ({missing} pixels)" * bool(missing))
    return " ".join(parts[:-1]) + ", " + parts[-1]

half = sorted({*range(0, N, 2), *range(N // 2 - 6, N // 2 + 6)})
print("error after 1, 2 and 5 iterations: all lines", told(scan(list(range(N)))) + "; half of them", told(scan(half)))
PYTHON
cat "$work/line"
[[ $(cat "$work/line") == "$SEEN" ]]

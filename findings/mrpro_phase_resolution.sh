#!/usr/bin/env bash
# MRpro squeezes scans of reduced phase resolution: the object is 25 % too narrow, and the header says otherwise.
#
# Versions: mrpro 0.261015, ismrmrd 1.15.0, torch 2.13.0, numpy 2.4.6. torchvision, which only a phantom of mrpro
# uses, is stood in for by empty modules to keep the install small.
# Input: ISMRMRD files of a Gaussian with a deviation of 20 mm whose centre lies 16 mm beside the middle along y, in a
# field of view of 256 x 256 mm (encoded and reconstructed), reconstructed matrix 128 x 128, encoded matrix 128 x 128,
# 128 x 96 (75 % phase resolution) and 128 x 127; KData.from_file, DirectReconstruction; centre and deviation along
# y in pixels, times the resolution in the header of the image.
# A good engineer would guess: 16 mm and 20 mm for each: with one field of view more pixels than lines are filled up with
# zeros in k-space, and the header says 128 pixels of 2 mm.
# Seen: the transform is of 96 lines, and its image is padded to 128 pixels with zeros: pixels are of 2.67 mm, the header
# of the image says 2 mm, and all lengths along y are 3/4 of what they are. With 127 lines the image is moved by a
# pixel besides: pad_or_crop puts the middle of an odd size not at n // 2 of an even one. Nothing is said.
SEEN='centre and deviation along y: 128 lines 16.0 and 20.0 mm, 96 lines 12.0 and 15.0 mm, 127 lines 13.9 and 19.8 mm; pixels by the header 2.00 2.00 2.00 mm'
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
from mrpro.algorithms.reconstruction import DirectReconstruction
from mrpro.data import KData
from mrpro.data.traj_calculators import KTrajectoryCartesian

N, FIELD, CENTRE, DEVIATION = 128, 256.0, 16.0, 20.0  # pixels, mm, mm, mm

def space(lines: int) -> xsd.encodingSpaceType:
    return xsd.encodingSpaceType(
        matrixSize=xsd.matrixSizeType(x=N, y=lines, z=1),
        fieldOfView_mm=xsd.fieldOfViewMm(x=FIELD, y=FIELD, z=5),
    )

def seen(lines: int) -> tuple[str, str]:
    """Write a scan of as many lines; return centre and deviation of its image along y, and the header's pixel."""
    header = xsd.ismrmrdHeader(
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=128000000),
        acquisitionSystemInformation=xsd.acquisitionSystemInformationType(systemVendor="GE", receiverChannels=1),
        encoding=[xsd.encodingType(
            encodedSpace=space(lines), reconSpace=space(N), trajectory=xsd.trajectoryType.CARTESIAN,
            encodingLimits=xsd.encodingLimitsType(
                kspace_encoding_step_1=xsd.limitType(minimum=0, maximum=lines - 1, center=lines // 2)
            ),
        )],
    )
    places_y, places_x = (np.arange(lines) - lines // 2) / FIELD, (np.arange(N) - N // 2) / FIELD  # cycles per mm
    samples = np.exp(-2 * (np.pi * DEVIATION) ** 2 * (places_y[:, None] ** 2 + places_x**2))
    samples = 100 * samples * np.exp(-2j * np.pi * places_y * CENTRE)[:, None]
    path = f"{sys.argv[1]}/{lines}.h5"
    with ismrmrd.Dataset(path) as file:
        file.write_xml_header(xsd.ToXML(header).encode())
        for row in range(lines):
            line = ismrmrd.Acquisition.from_array(samples[row, None].astype(np.complex64))
            line.center_sample = N // 2
            line.read_dir[:], line.phase_dir[:], line.slice_dir[:] = np.eye(3)
            line.idx.kspace_encode_step_1 = row
            file.append_acquisition(line)
    scan = KData.from_file(path, KTrajectoryCartesian())
    image = DirectReconstruction(scan, csm=None)(scan)
    assert image.data.shape[-2:] == (N, N), image.data.shape
    pixel = 1000 * float(image.header.resolution.y)  # m to mm
    weights = image.data.abs().numpy().reshape(N, N).sum(1)
    places = (np.arange(N) - N // 2) * pixel
    centre = np.average(places, weights=weights)
    deviation = np.sqrt(np.average((places - centre) ** 2, weights=weights))
    return f"{lines} lines {centre:.1f} and {deviation:.1f} mm", f"{pixel:.2f}"

found, pixels = zip(*(seen(lines) for lines in (128, 96, 127)))
print("centre and deviation along y:", ", ".join(found) + "; pixels by the header", *pixels, "mm")
PYTHON
cat "$work/line"
[[ $(cat "$work/line") == "$SEEN" ]]

#!/usr/bin/env bash
# DCMTK's dcmj2pnm rounds to whole numbers after RescaleSlope: MR images of small values come out black.
#
# Versions: dcmj2pnm of DCMTK v3.6.7 (Debian 12), pydicom 3.0.2, numpy 2.4.6.
# Input: an MR image of 256 x 256 with each 16-bit number once, RescaleSlope such that the largest value is
# 0.93, 9.3, 93, and 930, and a window over all values; converted with that window (+Wi 1), with that of
# minimum and maximum (+Wm), and with the latter but without the slope (-M +Wm).
# A good engineer would guess: 256 grey levels each time. The slope is a float, and a window of minimum and
# maximum does not depend on scale, so a unit of the values is no matter.
# Seen: 1, 10, 93 and 256 levels by either window, since the values are whole numbers before the window is
# applied; without the slope it is 256 each time. A warning says that the modality transform "may create
# unexpected result" for MR images, but the same one for the good picture. The exit status is 0. Images with
# quantities (seconds, 1/s, fractions) or normalised to 1 are affected.
SEEN='grey levels with +Wi 1, +Wm, -M +Wm: largest value 0.93: 1 1 256, 9.3: 10 10 256, 93: 93 93 256, 930: 256 256 256; same messages True'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v dcmj2pnm >/dev/null || apt-get install -y -qq dcmtk >/dev/null
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq pydicom==3.0.2 numpy==2.4.6

cd "$work"
venv/bin/python - >line <<'PYTHON'
import subprocess
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

SIZE = 256

def write(largest: float) -> None:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID, image.SOPInstanceUID = MRImageStorage, generate_uid()
    image.Modality = "MR"
    image.Rows = image.Columns = SIZE
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 0
    image.RescaleSlope, image.RescaleIntercept, image.RescaleType = f"{largest / 65535:.10g}", 0, "US"
    image.WindowCenter, image.WindowWidth = largest / 2, largest
    image.PixelData = np.arange(SIZE * SIZE, dtype=np.uint16).tobytes()
    image.save_as("image.dcm", enforce_file_format=True)

def convert(*options: str) -> tuple[int, str]:
    """Return how many grey levels the picture has, and the kinds of messages."""
    run = subprocess.run(["dcmj2pnm", *options, "image.dcm", "image.pgm"], check=True, capture_output=True, text=True)
    with open("image.pgm", "rb") as picture:
        grey = np.frombuffer(picture.read()[-SIZE * SIZE :], np.uint8)
    return np.unique(grey).size, run.stderr

parts, messages = [], []
for largest in (0.93, 9.3, 93, 930):
    write(largest)
    results = [convert("+Wi", "1"), convert("+Wm"), convert("-M", "+Wm")]
    messages.append(results[1][1])
    parts.append(f"{largest}: " + " ".join(str(levels) for levels, _ in results))
print("grey levels with +Wi 1, +Wm, -M +Wm: largest value " + ", ".join(parts)
      + f"; same messages {len(set(messages)) == 1}")
PYTHON
cat line
[[ $(cat line) == "$SEEN" ]]

#!/usr/bin/env bash
# dcm2niix loses the shear of a slanted stack, without a word.
#
# Versions: dcm2niix v1.0.20220720 (Debian 12), pydicom 3.0.2, nibabel 5.4.2, numpy 2.4.6.
# Input: two stacks of eight MR slices, 4 mm apart. In the second one, each slice also lies 2 mm
# further along its rows, so the step of ImagePositionPatient is not along the slices' normal.
# A good engineer would guess: the affine's third column is that step, (-2, 0, 4) in RAS+ mm, since
# NIfTI's sform can hold it; or a warning that it is not.
# Seen: the affine is orthogonal and its slice distance is the step's length, 4.472 mm: the last slice
# is 14 mm off sideways and 3.3 mm too far along the normal. The messages are those of the straight
# stack.
SEEN='straight step [0, 0, 4], slanted step [0, 0, 4.472], last slice off by 14.4 mm, same messages: True'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v dcm2niix >/dev/null || apt-get install -y -qq dcm2niix >/dev/null
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq pydicom==3.0.2 nibabel==5.4.2 numpy==2.4.6

"$work/venv/bin/python" - "$work" >"$work/line" <<'PYTHON'
import re, subprocess, sys
from pathlib import Path
import nibabel, numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

def convert(folder: Path, shift: float, slices: int = 8):
    """Return the affine and the messages (without digits) for steps of (shift, 0, 4) mm in LPS+."""
    (folder / "out").mkdir(parents=True)
    shared = dict(
        SOPClassUID=MRImageStorage, StudyInstanceUID=generate_uid(), SeriesInstanceUID=generate_uid(),
        FrameOfReferenceUID=generate_uid(), Modality="MR", Manufacturer="SIEMENS", SeriesNumber=1,
        PatientName="Phantom", PatientID="1", ProtocolName="stack", ImageType=["ORIGINAL", "PRIMARY", "M"],
        ScanningSequence="SE", SequenceVariant="NONE", ScanOptions="", MRAcquisitionType="2D",
        EchoTime=10, RepetitionTime=500, EchoTrainLength=1, SliceThickness=4, PixelSpacing=[1, 1],
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0], Rows=16, Columns=16, SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2", BitsAllocated=16, BitsStored=12, HighBit=11,
        PixelRepresentation=0, PixelData=np.arange(256, dtype=np.uint16).tobytes())
    for k in range(slices):
        image = Dataset()
        for keyword, value in shared.items():
            setattr(image, keyword, value)
        image.SOPInstanceUID, image.InstanceNumber = generate_uid(), k + 1
        image.ImagePositionPatient = [k * shift, 0, k * 4]
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.save_as(folder / f"{k}.dcm", enforce_file_format=True)
    command = ["dcm2niix", "-f", "stack", "-o", str(folder / "out"), str(folder)]
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    messages = (told.stdout + told.stderr).replace(str(folder), "")
    return nibabel.load(folder / "out" / "stack.nii").affine, re.sub(r"\d", "", messages)

def figures(vector) -> list[float]:
    return [float(f"{v:.4g}") + 0 for v in vector]

straight, said_before = convert(Path(sys.argv[1], "straight"), 0)
slanted, said = convert(Path(sys.argv[1], "slanted"), 2)
off = np.linalg.norm(7 * (slanted[:3, 2] - [-2, 0, 4]))
text = f"straight step {figures(straight[:3, 2])}, slanted step {figures(slanted[:3, 2])}"
print(text.replace(".0", ""), f"last slice off by {off:.1f} mm, same messages: {said == said_before}", sep=", ")
PYTHON
echo "$(dcm2niix --version | tail -1): $(cat "$work/line")"
[[ $(cat "$work/line") == "$SEEN" ]]

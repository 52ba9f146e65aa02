#!/usr/bin/env bash
# Signed DICOM images lose their sign in MRtrix3, and in dcm2niix where they have 12 bits: -200 is 65336 or 3896.
#
# Versions: MRtrix3 3.0.3 and dcm2niix v1.0.20220720 (Debian 12), dcm2niix 1.0.20260724 (pip), SimpleITK 2.5.7,
# pydicom 3.0.2, nibabel 5.4.2, numpy 2.4.6.
# Input: MR images with PixelRepresentation 1, as phase and real images have it: values -200 to 55, once with 16 bits
# stored and once with 12 bits (the four above them continue the sign), as they are and with a RescaleSlope of 0.01;
# told is the smallest value by each program.
# A good engineer would guess: -200 (and -2) in all.
# Seen: MRtrix never looks at PixelRepresentation: below 0 its values are 65336 to 65535, so the smallest is 0.
# dcm2niix of Debian cuts 12 bits out and forgets the sign, 3896 to 4095; with 16 bits, and in the version of
# 2026, it is right. Neither says anything.
SEEN='smallest of 16 bits: SimpleITK -200, MRtrix 0, dcm2niix 2022 -200, dcm2niix 2026 -200 | 12 bits: SimpleITK -200, MRtrix 0, dcm2niix 2022 0, dcm2niix 2026 -200 | by 0.01: SimpleITK -2, MRtrix 0, dcm2niix 2022 0, dcm2niix 2026 -2'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v mrconvert >/dev/null || apt-get install -y -qq mrtrix3 >/dev/null
[[ -x /usr/bin/dcm2niix ]] || apt-get install -y -qq dcm2niix >/dev/null
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq dcm2niix==1.0.20260724 SimpleITK==2.5.7 pydicom==3.0.2 nibabel==5.4.2 numpy==2.4.6

cd "$work"
ln -s "$work"/venv/bin/dcm2niix newer
venv/bin/python - >line <<'PYTHON'
import subprocess
from pathlib import Path
import nibabel, numpy as np, SimpleITK
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

values = np.arange(-200, 56, dtype=np.int16).reshape(16, 16)

def write(folder: Path, bits: int, slope: float) -> list[str]:
    """Write three slices with the values; return the paths."""
    folder.mkdir()
    shared = dict(
        SOPClassUID=MRImageStorage, StudyInstanceUID=generate_uid(), SeriesInstanceUID=generate_uid(),
        FrameOfReferenceUID=generate_uid(), Modality="MR", Manufacturer="Maker", SeriesNumber=1, StudyID="1",
        PatientName="Phantom", PatientID="1", ImageType=["ORIGINAL", "PRIMARY", "R"], ScanningSequence="SE",
        SequenceVariant="NONE", MRAcquisitionType="2D", EchoTime=10, RepetitionTime=500, SliceThickness=5,
        PixelSpacing=[1, 1], ImageOrientationPatient=[1, 0, 0, 0, 1, 0], Rows=16, Columns=16, SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2", BitsAllocated=16, BitsStored=bits, HighBit=bits - 1,
        PixelRepresentation=1, RescaleSlope=slope, RescaleIntercept=0, RescaleType="US", PixelData=values.tobytes())
    for k in range(3):
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        own = dict(SOPInstanceUID=generate_uid(), InstanceNumber=k + 1, ImagePositionPatient=[0, 0, 5 * k])
        for keyword, value in (shared | own).items():
            setattr(image, keyword, value)
        image.save_as(folder / f"{k}.dcm", enforce_file_format=True)
    return [str(folder / f"{k}.dcm") for k in range(3)]

def smallest(bits: int, slope: float) -> str:
    folder = Path(f"signed_{bits}_{slope}")
    paths = write(folder, bits, slope)
    found = {"SimpleITK": SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(paths)).min()}
    for name, command in {
        "MRtrix": f"mrconvert -quiet {folder} {folder}_MRtrix.nii",
        "dcm2niix 2022": f"/usr/bin/dcm2niix -f {folder}_2022 -o . {folder}",
        "dcm2niix 2026": f"./newer -f {folder}_2026 -o . {folder}",
    }.items():
        subprocess.run(command.split(), check=True, capture_output=True)
        found[name] = nibabel.load(f"{folder}_{name.split()[-1]}.nii").get_fdata().min()
    return ", ".join(f"{name} {value + 0:.3g}" for name, value in found.items())

print("smallest of 16 bits:", smallest(16, 1), "| 12 bits:", smallest(12, 1), "| by 0.01:", smallest(12, 0.01))
PYTHON
cat line
[[ $(cat line) == "$SEEN" ]]

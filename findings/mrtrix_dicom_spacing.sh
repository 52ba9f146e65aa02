#!/usr/bin/env bash
# MRtrix3 swaps the pixel spacing of DICOM images: a square field of view comes out four times as long as wide.
#
# Versions: MRtrix3 3.0.3 and dcm2niix v1.0.20220720 (Debian 12), SimpleITK 2.5.7, pydicom 3.0.2, nibabel 5.4.2,
# numpy 2.4.6.
# Input: three MR slices of 64 rows and 32 columns, PixelSpacing 1\2, so rows 1 mm apart, columns 2 mm, and a field
# of view of 64 x 64 mm, as scans without interpolation in phase direction have it; a square of 24 x 24 mm in it is
# of 1, the rest of 0. `mrconvert`, `dcm2niix` and SimpleITK.
# A good engineer would guess: columns are 2 mm apart, as the standard has it (the first value of PixelSpacing is the
# distance of rows), so the square is 24 mm along both patient axes in each NIfTI file.
# Seen: mrconvert gives 12 mm and 48 mm and a field of view of 32 x 128 mm, and says nothing. All else is right.
SEEN='square in field of view, mm: mrconvert 12 x 48 in 32 x 128, dcm2niix 24 x 24 in 64 x 64, SimpleITK 24 x 24 in 64 x 64'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v mrconvert >/dev/null || apt-get install -y -qq mrtrix3 >/dev/null
command -v dcm2niix >/dev/null || apt-get install -y -qq dcm2niix >/dev/null
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq SimpleITK==2.5.7 pydicom==3.0.2 nibabel==5.4.2 numpy==2.4.6

mkdir "$work/series"
cd "$work"
venv/bin/python - >line <<'PYTHON'
import subprocess
import nibabel, numpy as np, SimpleITK
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

ROWS, COLUMNS, ROW_DISTANCE, COLUMN_DISTANCE = 64, 32, 1, 2
pixels = np.zeros((ROWS, COLUMNS), np.uint16)
pixels[20:44, 10:22] = 1
shared = dict(
    SOPClassUID=MRImageStorage, StudyInstanceUID=generate_uid(), SeriesInstanceUID=generate_uid(),
    FrameOfReferenceUID=generate_uid(), Modality="MR", Manufacturer="Maker", SeriesNumber=1, StudyID="1",
    PatientName="Phantom", PatientID="1", ImageType=["ORIGINAL", "PRIMARY", "M"], ScanningSequence="SE",
    SequenceVariant="NONE", MRAcquisitionType="2D", EchoTime=10, RepetitionTime=500, SliceThickness=5,
    PixelSpacing=[ROW_DISTANCE, COLUMN_DISTANCE], ImageOrientationPatient=[1, 0, 0, 0, 1, 0], Rows=ROWS,
    Columns=COLUMNS, SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2", BitsAllocated=16, BitsStored=16,
    HighBit=15, PixelRepresentation=0, PixelData=pixels.tobytes())
for k in range(3):
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    own = dict(SOPInstanceUID=generate_uid(), InstanceNumber=k + 1, ImagePositionPatient=[0, 0, 5 * k])
    for keyword, value in (shared | own).items():
        setattr(image, keyword, value)
    image.save_as(f"series/{k}.dcm", enforce_file_format=True)

subprocess.run("mrconvert -quiet series mrconvert.nii".split(), check=True)
subprocess.run("dcm2niix -f dcm2niix -o . series".split(), check=True, capture_output=True)
SimpleITK.WriteImage(SimpleITK.ReadImage([f"series/{k}.dcm" for k in range(3)]), "SimpleITK.nii")

def sizes(name: str) -> str:
    """Return the size of the square and of the field of view in mm, left to right and back to front."""
    image = nibabel.as_closest_canonical(nibabel.load(f"{name}.nii"))
    width, height = (extent * zoom for extent, zoom in zip(image.shape[:2], image.header.get_zooms()))
    inside = np.nonzero(image.get_fdata()[:, :, 0])
    square = [np.ptp(places) + 1 for places in inside]
    return f"{square[0] * image.header.get_zooms()[0]:g} x {square[1] * image.header.get_zooms()[1]:g} in {width:g} x {height:g}"

print("square in field of view, mm:", ", ".join(f"{name} {sizes(name)}" for name in ("mrconvert", "dcm2niix", "SimpleITK")))
PYTHON
cat line
[[ $(cat line) == "$SEEN" ]]

#!/usr/bin/env bash
# dcm2niix takes the slice distance of an enhanced MR object from SliceThickness, by manufacturer.
#
# Versions: dcm2niix v1.0.20220720 (Debian 12), pydicom 3.0.2, nibabel 5.4.2, numpy 2.4.6.
# Input: an enhanced MR object of eight frames, 6 mm apart by ImagePositionPatient, 5 mm thick (a gap
# of 1 mm). Only Manufacturer and the presence of InStackPositionNumber vary.
# A good engineer would guess: 6 mm each time, since the positions are mandatory and say so.
# Seen: 6 mm only with the numbers and for some manufacturers; else 5 mm, the thickness. The last slice
# is then 7 mm off, and no message says so. A file with SpacingBetweenSlices gets its 6 mm.
SEEN='numbered SIEMENS 5 GE 5 Philips 6 CANON 6, not numbered SIEMENS 5 GE 5 Philips 5 CANON 5, warnings 0'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v dcm2niix >/dev/null || apt-get install -y -qq dcm2niix >/dev/null
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq pydicom==3.0.2 nibabel==5.4.2 numpy==2.4.6

"$work/venv/bin/python" - "$work" >"$work/line" <<'PYTHON'
import subprocess, sys
from pathlib import Path
import nibabel, numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, generate_uid

warnings = 0

def item(**elements) -> Dataset:
    made = Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made

def distance(folder: Path, manufacturer: str, numbered: bool, frames: int = 8) -> float:
    """Return the slice distance in mm that dcm2niix writes."""
    global warnings
    (folder / "out").mkdir(parents=True)
    organization = generate_uid()
    first = dict(DimensionOrganizationUID=organization, FunctionalGroupPointer=0x00209113)
    kinds = dict(PixelPresentation="MONOCHROME", VolumetricProperties="VOLUME",
                 VolumeBasedCalculationTechnique="NONE", ComplexImageComponent="MAGNITUDE",
                 AcquisitionContrast="T1")
    shared = item(
        PixelMeasuresSequence=[item(PixelSpacing=[1, 1], SliceThickness=5)],
        PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        MRImageFrameTypeSequence=[item(FrameType=["ORIGINAL", "PRIMARY", "M", "NONE"], **kinds)],
        MRTimingAndRelatedParametersSequence=[item(RepetitionTime=500.0, FlipAngle=90.0)],
        MREchoSequence=[item(EffectiveEchoTime=10.0)],
        PixelValueTransformationSequence=[item(RescaleIntercept=0, RescaleSlope=1, RescaleType="US")])
    content = [item(DimensionIndexValues=[k + 1], FrameAcquisitionNumber=1) for k in range(frames)]
    for k, one in enumerate(content if numbered else []):
        one.StackID, one.InStackPositionNumber = "1", k + 1
    image = item(
        SOPClassUID=EnhancedMRImageStorage, SOPInstanceUID=generate_uid(), StudyInstanceUID=generate_uid(),
        SeriesInstanceUID=generate_uid(), FrameOfReferenceUID=generate_uid(), Modality="MR",
        Manufacturer=manufacturer, ProtocolName="stack", PatientName="Phantom", PatientID="1",
        SeriesNumber=1, InstanceNumber=1, ImageType=["ORIGINAL", "PRIMARY", "M", "NONE"], **kinds,
        MRAcquisitionType="2D", Rows=16, Columns=16, NumberOfFrames=frames, SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2", BitsAllocated=16, BitsStored=12, HighBit=11,
        PixelRepresentation=0, SharedFunctionalGroupsSequence=[shared],
        DimensionOrganizationSequence=[item(DimensionOrganizationUID=organization)],
        DimensionIndexSequence=[item(DimensionIndexPointer=0x00200032, **first)],
        PerFrameFunctionalGroupsSequence=[
            item(FrameContentSequence=[one],
                 PlanePositionSequence=[item(ImagePositionPatient=[0, 0, k * 6])])
            for k, one in enumerate(content)],
        PixelData=np.arange(frames * 256, dtype=np.uint16).tobytes())
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.save_as(folder / "enhanced.dcm", enforce_file_format=True)
    command = ["dcm2niix", "-f", "stack", "-o", str(folder / "out"), str(folder)]
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    warnings += (told.stdout + told.stderr).lower().count("warning")
    return float(nibabel.load(folder / "out" / "stack.nii").affine[2, 2])

makers = {"SIEMENS": "SIEMENS", "GE": "GE MEDICAL SYSTEMS", "Philips": "Philips Medical Systems",
          "CANON": "CANON_MEC"}
parts = [" ".join([label] + [f"{short} {distance(Path(sys.argv[1], label, short), name, numbered):g}"
                             for short, name in makers.items()])
         for label, numbered in (("numbered", True), ("not numbered", False))]
print(*parts, f"warnings {warnings}", sep=", ")
PYTHON
echo "$(dcm2niix --version | tail -1): slice distance in mm: $(cat "$work/line")"
[[ $(cat "$work/line") == "$SEEN" ]]

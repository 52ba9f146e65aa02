#!/usr/bin/env bash
# SimpleITK scales all frames of an enhanced MR object by the first one's slope, pydicom by none.
#
# Versions: SimpleITK 2.5.7, pydicom 3.0.2, dcm2niix v1.0.20220720 (Debian 12), nibabel 5.4.2, numpy 2.4.6.
# Input: enhanced MR objects of three frames, all of stored value 1,000, with a slope and intercept for each
# in the per-frame PixelValueTransformationSequence: 1 and 0, 0.5 and 0, 0.25 and 100, once in this order and
# once the other way round.
# A good engineer would guess: 1000, 500, and 350, as dcm2niix gives them: the standard has the transformation
# for each frame; or a warning that they differ. pydicom's apply_modality_lut and SimpleITK do apply
# the slope of a single-frame MR image.
# Seen: SimpleITK gives three equal frames, 1000 or 350 by the order, and pydicom the stored numbers, since it
# looks for the slope outside the sequences alone. Neither says anything.
SEEN='1000 500 350: SimpleITK 1000 1000 1000, pydicom 1000 1000 1000, dcm2niix 1000 500 350; 350 500 1000: SimpleITK 350 350 350, pydicom 1000 1000 1000, dcm2niix 350 500 1000; messages 0'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v dcm2niix >/dev/null || apt-get install -y -qq dcm2niix >/dev/null
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq SimpleITK==2.5.7 pydicom==3.0.2 nibabel==5.4.2 numpy==2.4.6

"$work/venv/bin/python" - "$work" >"$work/line" 2>"$work/said" <<'PYTHON' || { cat "$work/said"; exit 1; }
import subprocess, sys
from pathlib import Path
import nibabel, numpy as np, pydicom, SimpleITK
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_modality_lut
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, generate_uid

def item(**elements) -> Dataset:
    made = Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made

def write(path: Path, scales: list[tuple[float, float]]) -> None:
    organization = generate_uid()
    first = dict(DimensionOrganizationUID=organization, FunctionalGroupPointer=0x00209113)
    kinds = dict(PixelPresentation="MONOCHROME", VolumetricProperties="VOLUME",
                 VolumeBasedCalculationTechnique="NONE", ComplexImageComponent="MAGNITUDE",
                 AcquisitionContrast="T1")
    shared = item(
        PixelMeasuresSequence=[item(PixelSpacing=[1, 1], SliceThickness=5, SpacingBetweenSlices=5)],
        PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        MRImageFrameTypeSequence=[item(FrameType=["ORIGINAL", "PRIMARY", "M", "NONE"], **kinds)],
        MRTimingAndRelatedParametersSequence=[item(RepetitionTime=500.0, FlipAngle=90.0)],
        MREchoSequence=[item(EffectiveEchoTime=10.0)])
    frames = [
        item(FrameContentSequence=[item(DimensionIndexValues=[k + 1], FrameAcquisitionNumber=1, StackID="1",
                                        InStackPositionNumber=k + 1)],
             PlanePositionSequence=[item(ImagePositionPatient=[0, 0, 5 * k])],
             PixelValueTransformationSequence=[item(RescaleIntercept=b, RescaleSlope=a, RescaleType="US")])
        for k, (a, b) in enumerate(scales)]
    image = item(
        SOPClassUID=EnhancedMRImageStorage, SOPInstanceUID=generate_uid(), StudyInstanceUID=generate_uid(),
        SeriesInstanceUID=generate_uid(), FrameOfReferenceUID=generate_uid(), Modality="MR",
        Manufacturer="Philips Medical Systems", ProtocolName="stack", PatientName="Phantom", PatientID="1",
        SeriesNumber=1, InstanceNumber=1, ImageType=["ORIGINAL", "PRIMARY", "M", "NONE"], **kinds,
        MRAcquisitionType="2D", Rows=16, Columns=16, NumberOfFrames=len(scales), SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2", BitsAllocated=16, BitsStored=12, HighBit=11,
        PixelRepresentation=0, SharedFunctionalGroupsSequence=[shared],
        DimensionOrganizationSequence=[item(DimensionOrganizationUID=organization)],
        DimensionIndexSequence=[item(DimensionIndexPointer=0x00200032, **first)],
        PerFrameFunctionalGroupsSequence=frames,
        PixelData=np.full((len(scales), 16, 16), 1000, np.uint16).tobytes())
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.save_as(path, enforce_file_format=True)

def listed(values) -> str:
    return " ".join(f"{value:.6g}" for value in values)

def values(name: str, scales: list[tuple[float, float]]) -> str:
    """Return the value of each frame, as it is and as three programs read it."""
    folder = Path(sys.argv[1], name)
    (folder / "out").mkdir(parents=True)
    write(folder / "enhanced.dcm", scales)
    by_itk = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(folder / "enhanced.dcm"))[:, 0, 0]
    dataset = pydicom.dcmread(folder / "enhanced.dcm")
    by_pydicom = apply_modality_lut(dataset.pixel_array, dataset)[:, 0, 0]
    subprocess.run(["dcm2niix", "-f", "stack", "-o", folder / "out", folder], check=True, capture_output=True)
    by_dcm2niix = nibabel.load(folder / "out" / "stack.nii").get_fdata()[0, 0]
    return (f"{listed(slope * 1000 + intercept for slope, intercept in scales)}: SimpleITK {listed(by_itk)},"
            f" pydicom {listed(by_pydicom)}, dcm2niix {listed(by_dcm2niix)}")

scales = [(1, 0), (0.5, 0), (0.25, 100)]
print(values("order", scales) + "; " + values("reversed", scales[::-1]), end="")
PYTHON
line="$(cat "$work/line"); messages $(wc -l <"$work/said")"
echo "$line"
[[ $line == "$SEEN" ]]

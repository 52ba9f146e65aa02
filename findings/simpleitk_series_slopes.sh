#!/usr/bin/env bash
# SimpleITK reads a series in the number type of its first file: slopes of the others are cut to integers.
#
# Versions: SimpleITK 2.5.7, dcm2niix v1.0.20220720 (Debian 12), pydicom 3.0.2, nibabel 5.4.2, numpy 2.4.6.
# Input: series of three MR images, all of stored value 1,001, each with a RescaleSlope and RescaleIntercept
# of its own, as scanners write that scale each slice to its range: slopes 1, 0.5 and 0.001 with the
# intercept 0, once in this order and once the other way round; then slope 1 and intercepts 0, 0 and -2000.
# A good engineer would guess: the values are stored value times slope plus intercept, as SimpleITK itself
# gives them for single files and dcm2niix for the series, and do not depend on the order.
# Seen: if the first file has a slope of 1 and no intercept, the series has its unsigned 16 bits: 500.5
# becomes 500, 1.001 becomes 1, and -999 becomes 64537. The other way round the series is of floats and
# right. Nothing is said.
SEEN='1001 500.5 1.001: series 1001 500 1, files 1001 500.5 1.001, dcm2niix 1001 500.5 1.001; reversed: series 1.001 500.5 1001, files 1.001 500.5 1001, dcm2niix 1.001 500.5 1001; 1001 1001 -999: series 1001 1001 64537, files 1001 1001 -999, dcm2niix 1001 1001 -999; messages 0'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v dcm2niix >/dev/null || apt-get install -y -qq dcm2niix >/dev/null
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq SimpleITK==2.5.7 pydicom==3.0.2 nibabel==5.4.2 numpy==2.4.6

"$work/venv/bin/python" - "$work" >"$work/line" 2>"$work/said" <<'PYTHON' || { cat "$work/said"; exit 1; }
import subprocess, sys
from pathlib import Path
import nibabel, numpy as np, SimpleITK
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

def write(folder: Path, scales: list[tuple[float, float]]) -> list[str]:
    """Write one image for each slope and intercept; return the paths."""
    (folder / "out").mkdir(parents=True)
    shared = dict(
        SOPClassUID=MRImageStorage, StudyInstanceUID=generate_uid(), SeriesInstanceUID=generate_uid(),
        FrameOfReferenceUID=generate_uid(), Modality="MR", Manufacturer="Maker", SeriesNumber=1,
        PatientName="Phantom", PatientID="1", ImageType=["ORIGINAL", "PRIMARY", "M"], ScanningSequence="SE",
        SequenceVariant="NONE", MRAcquisitionType="2D", EchoTime=10, RepetitionTime=500, SliceThickness=2,
        PixelSpacing=[1, 1], ImageOrientationPatient=[1, 0, 0, 0, 1, 0], Rows=8, Columns=8,
        SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2", BitsAllocated=16, BitsStored=16, HighBit=15,
        PixelRepresentation=0, RescaleType="US", PixelData=np.full((8, 8), 1001, np.uint16).tobytes())
    paths = []
    for k, (slope, intercept) in enumerate(scales):
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        own = dict(SOPInstanceUID=generate_uid(), InstanceNumber=k + 1, ImagePositionPatient=[0, 0, 2 * k],
                   RescaleSlope=slope, RescaleIntercept=intercept)
        for keyword, value in (shared | own).items():
            setattr(image, keyword, value)
        image.save_as(folder / f"{k}.dcm", enforce_file_format=True)
        paths.append(str(folder / f"{k}.dcm"))
    return paths

def listed(values) -> str:
    return " ".join(f"{value:.6g}" for value in values)

def values(name: str, scales: list[tuple[float, float]]) -> str:
    """Return the value of each slice, as three ways read it."""
    paths = write(Path(sys.argv[1]) / name, scales)
    series = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(paths))[:, 0, 0]
    single = [SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path)).flat[0] for path in paths]
    folder = Path(paths[0]).parent
    subprocess.run(["dcm2niix", "-f", "volume", "-o", folder / "out", folder], check=True, capture_output=True)
    volume = nibabel.load(folder / "out" / "volume.nii").get_fdata()[0, 0]
    return f"series {listed(series)}, files {listed(single)}, dcm2niix {listed(volume)}"

scales = [(1, 0), (0.5, 0), (0.001, 0)]
print("1001 500.5 1.001: " + values("slopes", scales) + "; reversed: " + values("reversed", scales[::-1])
      + "; 1001 1001 -999: " + values("intercepts", [(1, 0), (1, 0), (1, -2000)]), end="")
PYTHON
line="$(cat "$work/line"); messages $(wc -l <"$work/said")"
echo "$line"
[[ $line == "$SEEN" ]]

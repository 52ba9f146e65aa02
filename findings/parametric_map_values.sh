#!/usr/bin/env bash
# A T1 map of 261 ms is 1003 in NIfTI: converters leave out the mapping that DICOM parametric maps have, or mix pixels.
#
# Versions: highdicom 0.28.2, pydicom 3.0.2, dcm2niix v1.0.20220720 (Debian 12) and 1.0.20260724 (pip), dicomtonifti of
# vtk-dicom 0.8.14 and MRtrix3 3.0.3 (Debian 12), nibabel 5.4.2, numpy 2.4.6.
# Input: a Parametric Map object by highdicom, of three slices in 16 bits without sign, whose Real World Value Mapping,
# which the standard asks for, has slope 0.25, intercept 10 and the unit ms; slice k (from 0) is 1003 + k all over, and
# the same with row y (from 0) added. Converted to NIfTI.
# A good engineer would guess: 260.75, 261 and 261.25 ms in each, as highdicom's get_volume has them, or the slope and
# intercept in the NIfTI header: the object has no RescaleSlope that could be meant instead.
# Seen: dcm2niix and dicomtonifti give 1003 to 1005, the stored numbers, and no word of the unit. mrconvert besides
# takes the frames for channels that alternate from pixel to pixel: it has one slice of three volumes, whose rows are
# those of each third row. It ends with 0 and says nothing.
SEEN='highdicom 260.75 261 261.25, dcm2niix 2022 1003 1004 1005, dcm2niix 2026 1003 1004 1005, dicomtonifti 1003 1004 1005, mrconvert 1003 1004 1005 | mrconvert: shape (16, 12, 1, 3), rows of the first 1005 1008 1011 1014'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[[ -x /usr/bin/dcm2niix ]] || apt-get install -y -qq dcm2niix >/dev/null
command -v dicomtonifti >/dev/null || apt-get install -y -qq vtk-dicom-tools >/dev/null
command -v mrconvert >/dev/null || apt-get install -y -qq mrtrix3 >/dev/null
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq highdicom==0.28.2 pydicom==3.0.2 dcm2niix==1.0.20260724 nibabel==5.4.2 numpy==2.4.6

cd "$work"
ln -s "$work"/venv/bin/dcm2niix newer
venv/bin/python -W ignore - >line <<'PYTHON'
import subprocess
from pathlib import Path
import highdicom, nibabel, numpy as np
from highdicom.pm import ParametricMap, RealWorldValueMapping
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

SLICES, ROWS, COLUMNS = 3, 12, 16

def sources() -> list[Dataset]:
    """Return the MR images that a map is derived from."""
    shared = dict(
        SOPClassUID=MRImageStorage, StudyInstanceUID=generate_uid(), SeriesInstanceUID=generate_uid(),
        FrameOfReferenceUID=generate_uid(), Modality="MR", Manufacturer="Maker", ManufacturerModelName="Model",
        SeriesNumber=1, StudyID="1", StudyDate="20200101", StudyTime="120000", PatientName="Phantom", PatientID="1",
        PatientBirthDate="", PatientSex="", AccessionNumber="", ReferringPhysicianName="",
        PositionReferenceIndicator="", SliceThickness=4, SpacingBetweenSlices=4, PixelSpacing=[1, 1],
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0], Rows=ROWS, Columns=COLUMNS, SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2", BitsAllocated=16, BitsStored=16, HighBit=15, PixelRepresentation=0,
        PixelData=bytes(2 * ROWS * COLUMNS))
    images = []
    for k in range(SLICES):
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        own = dict(SOPInstanceUID=generate_uid(), InstanceNumber=k + 1, ImagePositionPatient=[0, 0, 4 * k])
        for keyword, value in (shared | own).items():
            setattr(image, keyword, value)
        images.append(image)
    return images

def write(name: str, stored: np.ndarray) -> None:
    Path(name).mkdir()
    mapping = RealWorldValueMapping("T1", "T1", codes.UCUM.Millisecond, (0, 5000), slope=0.25, intercept=10)
    ParametricMap(
        sources(), stored.astype(np.uint16), highdicom.UID(), 2, highdicom.UID(), 1, "Maker", "Model", "1", "1", False,
        [mapping], voi_lut_transformations=[highdicom.VOILUTTransformation(window_center=500, window_width=1000)],
    ).save_as(f"{name}/map.dcm")

def converted(name: str) -> dict[str, np.ndarray]:
    """Return the NIfTI images (x, y, ...) that four programs make of a map."""
    commands = {
        "dcm2niix 2022": f"/usr/bin/dcm2niix -f {name}_2022 -o . {name}",
        "dcm2niix 2026": f"./newer -f {name}_2026 -o . {name}",
        "dicomtonifti": f"dicomtonifti -o {name}_dicomtonifti.nii {name}/map.dcm",
        "mrconvert": f"mrconvert -quiet {name}/map.dcm {name}_mrconvert.nii",
    }
    images = {}
    for program, command in commands.items():
        subprocess.run(command.split(), check=True, capture_output=True)
        images[program] = nibabel.load(f"{name}_{program.split()[-1]}.nii").get_fdata()
    return images

flat = 1003 + np.arange(SLICES)[:, None, None] + np.zeros((SLICES, ROWS, COLUMNS), int)
write("flat", flat)
write("rows", flat + np.arange(ROWS)[:, None])
right = highdicom.imread("flat/map.dcm").get_volume().array
told = {"highdicom": right, **converted("flat")}
values = ", ".join(f"{name} " + " ".join(f"{value:g}" for value in np.unique(array)) for name, array in told.items())
rows = converted("rows")["mrconvert"]
print(f"{values} | mrconvert: shape {rows.shape}, rows of the first {' '.join(f'{v:g}' for v in rows[0, :4].flat[::3])}")
PYTHON
cat line
[[ $(cat line) == "$SEEN" ]]

#!/usr/bin/env bash
# brkraw scales all frames of a Bruker image by the slope of the first one.
#
# Versions: brkraw 0.5.7, brukerapi 0.4.6, nibabel 5.4.2, numpy 2.4.6.
# Input: a reconstruction as ParaVision 6 stores it (visu_pars, 2dseq, and what names scan and study): four slices
# of 16 x 12 whose stored numbers are all 100, with VisuCoreDataSlope 1 2 0.5 4 and VisuCoreDataOffs 0 0 10 0; read
# by brukerapi and converted to NIfTI by brkraw.
# A good engineer would guess: 100, 200, 60 and 400: ParaVision has a slope and an offset for each frame, and uses
# them where frames are scaled to the range of 16 bits one by one, as in parameter maps.
# Seen: brkraw gives 100 four times: the first slope and offset go into the header of the NIfTI file, and a
# message is at the level "debug" alone.
SEEN='brukerapi 100 200 60 400, brkraw 100 100 100 100, messages 0'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq brkraw==0.5.7 brukerapi==0.4.6 nibabel==5.4.2 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - >line 2>said <<'PYTHON' || { cat said; exit 1; }
from pathlib import Path
import brkraw, nibabel, numpy as np
from brukerapi.dataset import Dataset

SLICES, ROWS, COLUMNS = 4, 12, 16

def array(*values) -> str:
    return f"( {len(values)} )\n" + " ".join(map(str, values))

def write(path: Path, **parameters) -> None:
    """Write a file of parameters, in the form of JCAMP-DX that ParaVision has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["##TITLE=Parameter List, ParaVision 6.0.1", "##JCAMPDX=4.24", "##DATATYPE=Parameter Values"]
    lines += [f"##${name}={value}" for name, value in parameters.items()]
    path.write_text("\n".join([*lines, "##END=", ""]))

scan = Path("study/1")
write(
    scan / "pdata/1/visu_pars", VisuVersion=4, VisuCreator="( 65 )\n<ParaVision>",
    VisuCreatorVersion="( 65 )\n<6.0.1>", VisuCoreFrameCount=SLICES, VisuCoreDim=2,
    VisuCoreSize=array(COLUMNS, ROWS), VisuCoreDimDesc="( 2 )\nspatial spatial", VisuCoreExtent=array(COLUMNS, ROWS),
    VisuCoreFrameThickness=array(1), VisuCoreUnits="( 2, 65 )\n<mm> <mm>",
    VisuCoreOrientation=f"( {SLICES}, 9 )\n" + " ".join(["1 0 0 0 1 0 0 0 1"] * SLICES),
    VisuCorePosition=f"( {SLICES}, 3 )\n" + " ".join(f"-8 -6 {k}" for k in range(SLICES)),
    VisuCoreDataSlope=array(1, 2, 0.5, 4), VisuCoreDataOffs=array(0, 0, 10, 0),
    VisuCoreFrameType="MAGNITUDE_IMAGE", VisuCoreWordType="_16BIT_SGN_INT", VisuCoreByteOrder="littleEndian",
    VisuFGOrderDescDim=1, VisuFGOrderDesc=f"( 1 )\n({SLICES}, <FG_SLICE>, <>, 0, 2)",
    VisuGroupDepVals="( 2 )\n(<VisuCoreOrientation>, 0) (<VisuCorePosition>, 0)",
    VisuCoreDiskSliceOrder="disk_normal_slice_order", VisuSubjectPosition="Head_Prone", VisuAcqScanTime=1000,
    VisuCoreSlicePacksDef="( 1, 2 )\n0 1", VisuCoreSlicePacksSlices=f"( 1, 2 )\n0 {SLICES}",
    VisuCoreSlicePacksSliceDist=array(1))
write(scan / "pdata/1/reco", RECO_size=array(COLUMNS, ROWS), RECO_transposition=array(*[0] * SLICES))
write(scan / "acqp", BYTORDA="little", ACQ_word_size="_32_BIT", ACQ_dim=2, NI=SLICES, NR=1, NSLICES=SLICES,
      ACQ_sw_version="( 65 )\n<PV 6.0.1>", ACQ_scan_name="( 64 )\n<scan>")
write(scan / "method", Method="<Bruker:FLASH>", PVM_SpatDimEnum="<2D>", PVM_NSPacks=1, PVM_SliceThick=1,
      PVM_SPackArrNSlices=array(SLICES), PVM_SPackArrSliceDistance=array(1), PVM_SPackArrSliceGap=array(0),
      PVM_SPackArrSliceOrient="( 1 )\naxial", PVM_SPackArrReadOrient="( 1 )\nL_R", PVM_ObjOrderScheme="Sequential")
write(Path("study/subject"), SUBJECT_id="( 60 )\n<phantom>", SUBJECT_position="SUBJ_POS_Prone")
np.full((SLICES, ROWS, COLUMNS), 100, "<i2").tofile(scan / "pdata/1/2dseq")

found = {"brukerapi": Dataset("study/1/pdata/1/2dseq").data[0, 0]}
brkraw.load("study").convert(1, reco_id=1).to_filename("brkraw.nii")
found["brkraw"] = nibabel.load("brkraw.nii").get_fdata()[0, 0]
print(", ".join(f"{name} " + " ".join(f"{value:g}" for value in values) for name, values in found.items()), end="")
PYTHON
line="$(cat line), messages $(wc -l <said)"
echo "$line"
[[ $line == "$SEEN" ]]

#!/usr/bin/env bash
# brkraw counts the gap between slices twice, and puts slices upside down that run against their normal.
#
# Versions: brkraw 0.5.7, brukerapi 0.4.6, nibabel 5.4.2, numpy 2.4.6.
# Input: reconstructions as ParaVision 6 stores them (visu_pars, 2dseq, and what names scan and study): four slices
# of 1 mm whose stored numbers are 1 to 4, without a gap at 0 to 3 mm along the normal, with a gap of 0.5 mm at 0 to
# 4.5 mm (PVM_SPackArrSliceDistance 1.5), and without a gap from 3 to 0 mm, all by VisuCorePosition; told is where the
# affines of brukerapi and of brkraw's NIfTI have them, relative to the lowest.
# A good engineer would guess: each frame lies where VisuCorePosition says.
# Seen: brkraw takes the distance of slices, which has the gap in it, plus the gap for the step: 6 mm for 4.5. And the
# stack from 3 to 0 mm starts at its lowest position and goes up, so slice 1 of 4 lies where slice 4 was measured: the
# image is mirrored. brukerapi has all at their places. Nothing is said.
SEEN='0 to 3: brukerapi 0 1 2 3, brkraw 0 1 2 3 | 0 to 4.5: brukerapi 0 1.5 3 4.5, brkraw 0 2 4 6 | 3 to 0: brukerapi 3 2 1 0, brkraw 0 1 2 3, messages 0'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq brkraw==0.5.7 brukerapi==0.4.6 nibabel==5.4.2 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - >line 2>said <<'PYTHON' || { cat said; exit 1; }
from pathlib import Path
import brkraw, numpy as np
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

def study(name: str, gap: float, positions: list[float]) -> str:
    """Write a study; return where two programs have its slices along the normal, from the lowest one."""
    scan = Path(name, "1")
    write(
        scan / "pdata/1/visu_pars", VisuVersion=4, VisuCreator="( 65 )\n<ParaVision>",
        VisuCreatorVersion="( 65 )\n<6.0.1>", VisuCoreFrameCount=SLICES, VisuCoreDim=2,
        VisuCoreSize=array(COLUMNS, ROWS), VisuCoreDimDesc="( 2 )\nspatial spatial", VisuCoreExtent=array(COLUMNS, ROWS),
        VisuCoreFrameThickness=array(1), VisuCoreUnits="( 2, 65 )\n<mm> <mm>",
        VisuCoreOrientation=f"( {SLICES}, 9 )\n" + " ".join(["1 0 0 0 1 0 0 0 1"] * SLICES),
        VisuCorePosition=f"( {SLICES}, 3 )\n" + " ".join(f"-8 -6 {place}" for place in positions),
        VisuCoreDataSlope=array(*[1] * SLICES), VisuCoreDataOffs=array(*[0] * SLICES),
        VisuCoreFrameType="MAGNITUDE_IMAGE", VisuCoreWordType="_16BIT_SGN_INT", VisuCoreByteOrder="littleEndian",
        VisuFGOrderDescDim=1, VisuFGOrderDesc=f"( 1 )\n({SLICES}, <FG_SLICE>, <>, 0, 2)",
        VisuGroupDepVals="( 2 )\n(<VisuCoreOrientation>, 0) (<VisuCorePosition>, 0)",
        VisuCoreDiskSliceOrder="disk_normal_slice_order", VisuSubjectPosition="Head_Prone", VisuAcqScanTime=1000,
        VisuCoreSlicePacksDef="( 1, 2 )\n0 1", VisuCoreSlicePacksSlices=f"( 1, 2 )\n0 {SLICES}",
        VisuCoreSlicePacksSliceDist=array(1 + gap))
    write(scan / "pdata/1/reco", RECO_size=array(COLUMNS, ROWS), RECO_transposition=array(*[0] * SLICES))
    write(scan / "acqp", BYTORDA="little", ACQ_word_size="_32_BIT", ACQ_dim=2, NI=SLICES, NR=1, NSLICES=SLICES,
          ACQ_sw_version="( 65 )\n<PV 6.0.1>", ACQ_scan_name="( 64 )\n<scan>")
    write(scan / "method", Method="<Bruker:FLASH>", PVM_SpatDimEnum="<2D>", PVM_NSPacks=1, PVM_SliceThick=1,
          PVM_SPackArrNSlices=array(SLICES), PVM_SPackArrSliceDistance=array(1 + gap), PVM_SPackArrSliceGap=array(gap),
          PVM_SPackArrSliceOrient="( 1 )\naxial", PVM_SPackArrReadOrient="( 1 )\nL_R", PVM_ObjOrderScheme="Sequential")
    write(Path(name, "subject"), SUBJECT_id="( 60 )\n<phantom>", SUBJECT_position="SUBJ_POS_Prone")
    np.repeat(np.arange(1, SLICES + 1, dtype="<i2"), ROWS * COLUMNS).tofile(scan / "pdata/1/2dseq")

    dataset = Dataset(f"{name}/1/pdata/1/2dseq")
    image = brkraw.load(name).convert(1, reco_id=1)
    told = []
    for program, values, affine in (("brukerapi", dataset.data, dataset.affine),
                                    ("brkraw", np.asanyarray(image.dataobj), image.affine)):
        assert list(values[0, 0]) == [1, 2, 3, 4]
        places = affine[2, 2] * np.arange(SLICES) + affine[2, 3]
        told.append(f"{program} " + " ".join(f"{place:g}" for place in places - places.min()))
    return ", ".join(told)

print("0 to 3:", study("plain", 0, [0, 1, 2, 3]), end=" | ")
print("0 to 4.5:", study("gap", 0.5, [0, 1.5, 3, 4.5]), end=" | ")
print("3 to 0:", study("down", 0, [3, 2, 1, 0]), end="")
PYTHON
line="$(cat line), messages $(wc -l <said)"
echo "$line"
[[ $line == "$SEEN" ]]

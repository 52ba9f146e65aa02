#!/usr/bin/env bash
# nibabel ignores the unit of a NIfTI header, SimpleITK converts by it: one file, sizes 1,000 times apart.
#
# Versions: nibabel 5.4.2, SimpleITK 2.5.7, numpy 2.4.6.
# Input: three NIfTI-1 files of one volume with voxels of 1 x 1 x 4 mm, in metres, millimetres and
# micrometres, as xyzt_units allows.
# A good engineer would guess: both readers agree on the voxel size, above all since nibabel states that
# its affines lead to RAS+ millimetres.
# Seen: nibabel passes on the numbers of the file, so its "millimetres" are metres or micrometres;
# SimpleITK gives millimetres each time. Neither says anything.
SEEN='nibabel/SimpleITK slice distance: meter 0.004/4, mm 4/4, micron 4000/4'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq nibabel==5.4.2 SimpleITK==2.5.7 numpy==2.4.6

"$work/venv/bin/python" - "$work" >"$work/line" <<'PYTHON'
import sys
import nibabel, numpy as np, SimpleITK

parts = []
for unit, millimetre in (("meter", 1e-3), ("mm", 1.0), ("micron", 1e3)):
    affine = np.diag([millimetre, millimetre, 4 * millimetre, 1])
    image = nibabel.Nifti1Image(np.zeros((10, 10, 5), np.int16), affine)
    image.header.set_xyzt_units(unit)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    path = f"{sys.argv[1]}/{unit}.nii"
    nibabel.save(image, path)
    size = nibabel.affines.voxel_sizes(nibabel.load(path).affine)[2]
    parts.append(f"{unit} {size:.5g}/{SimpleITK.ReadImage(path).GetSpacing()[2]:.5g}")
print("nibabel/SimpleITK slice distance:", ", ".join(parts))
PYTHON
cat "$work/line"
[[ $(cat "$work/line") == "$SEEN" ]]

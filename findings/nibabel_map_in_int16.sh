#!/usr/bin/env bash
# nibabel quantises a map that is saved with the header of an anatomical image, by its largest value.
#
# Versions: nibabel 5.4.2, numpy 2.4.6.
# Input: an int16 magnitude image; a float64 T1 map of 800 to 1,200 ms on its grid, made an image in
# the usual way, Nifti1Image(map, image.affine, image.header), once as it is and once with a single
# voxel of 1e6 ms, as fits give in the background.
# A good engineer would guess: the floats are saved as floats, or something is said about int16, to which
# the header holds the data.
# Seen: the file is int16 with a scale of its own. The plain map is off by at most 0.003 ms, but with the
# one voxel all others are off by up to 7.6 ms and take 27 values instead of 990. Nothing is printed.
SEEN='int16, largest error 0.003 ms and 990 values; with one voxel of 1e6 ms: int16, 7.6 ms and 27 values; warnings 0'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq nibabel==5.4.2 numpy==2.4.6

"$work/venv/bin/python" - "$work" >"$work/line" <<'PYTHON'
import sys, warnings
import nibabel, numpy as np

def saved(t1: np.ndarray, name: str) -> tuple[str, str]:
    nibabel.save(nibabel.Nifti1Image(t1, source.affine, source.header), f"{sys.argv[1]}/{name}.nii")
    found = nibabel.load(f"{sys.argv[1]}/{name}.nii")
    rest = found.get_fdata()[t1 < 1e6]
    error = np.abs(rest - t1[t1 < 1e6]).max()
    return f"{error:.2g} ms and {np.unique(rest).size} values", str(found.get_data_dtype())

warnings.simplefilter("always")
with warnings.catch_warnings(record=True) as told:
    magnitude = np.arange(1000, dtype=np.int16).reshape(10, 10, 10)
    nibabel.save(nibabel.Nifti1Image(magnitude, np.eye(4)), f"{sys.argv[1]}/magnitude.nii")
    source = nibabel.load(f"{sys.argv[1]}/magnitude.nii")
    t1 = np.random.default_rng(0).uniform(800, 1200, (10, 10, 10))
    (plain, kind), spiked = saved(t1, "plain"), t1.copy()
    spiked[0, 0, 0] = 1e6
    with_one, kind_of_spiked = saved(spiked, "spiked")
print(f"{kind}, largest error {plain}; with one voxel of 1e6 ms: {kind_of_spiked}, {with_one}; warnings {len(told)}")
PYTHON
cat "$work/line"
[[ $(cat "$work/line") == "$SEEN" ]]

#!/usr/bin/env bash
# MRtrix3 drops the imaginary part of complex images without a word, even where it only crops.
#
# Versions: MRtrix3 3.0.3 (Debian 12), nibabel 5.4.2, numpy 2.4.6.
# Input: a complex64 NIfTI image of 16 x 16 x 4 pixels, Gaussian noise, as coil images are stored for denoising;
# mrcalc, mrconvert, mrcat, mrgrid crop, mrtransform by an identity, mrmath mean and norm, mrfilter median,
# mrdegibbs.
# A good engineer would guess: complex data stay complex, as `mrconvert`, `mrcat` and `mrcalc` keep them and
# `dwidenoise` expects them, or an error says that they are not taken.
# Seen: of those, mrgrid, mrtransform, mrmath, mrfilter and mrdegibbs read the real part alone: crops,
# regridded images and means are float32 of the real part, and the norm of 3 + 4i is 3. No command says a word
# of it, and each ends with 0.
SEEN='mrcalc complex, mrconvert complex, mrcat complex, mrgrid crop real, mrtransform real, mrmath real, mrfilter real, mrdegibbs real | crop is the real part: True, norm of 3 + 4i: 3, warnings 0'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v mrconvert >/dev/null || apt-get install -y -qq mrtrix3 >/dev/null
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq nibabel==5.4.2 numpy==2.4.6

cd "$work"
venv/bin/python - >line <<'PYTHON'
import subprocess
import nibabel, numpy as np

said = ""

def run(command: str, image: np.ndarray) -> np.ndarray:
    """Return what a command of MRtrix makes of an image; keep what it says."""
    global said
    nibabel.save(nibabel.Nifti1Image(image.astype(np.complex64), np.eye(4)), "in.nii")
    words = (command + " -force -info").split()
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    said += done.stderr
    return np.asanyarray(nibabel.load("out.nii").dataobj)

random = np.random.default_rng(0)
image = random.standard_normal((16, 16, 4)) + 1j * random.standard_normal((16, 16, 4))
np.savetxt("identity.txt", np.eye(4))
commands = {
    "mrcalc": "mrcalc in.nii 2 -mult out.nii",
    "mrconvert": "mrconvert in.nii out.nii",
    "mrcat": "mrcat in.nii in.nii out.nii -axis 3",
    "mrgrid crop": "mrgrid in.nii crop -axis 0 2,2 out.nii",
    "mrtransform": "mrtransform in.nii -linear identity.txt -template in.nii out.nii",
    "mrmath": "mrmath in.nii mean -axis 2 out.nii",
    "mrfilter": "mrfilter in.nii median out.nii",
    "mrdegibbs": "mrdegibbs in.nii out.nii",
}
kinds = {name: "complex" if np.iscomplexobj(run(command, image)) else "real" for name, command in commands.items()}
crop = run(commands["mrgrid crop"], image)
norm = run("mrmath in.nii norm -axis 0 out.nii", np.full((1, 1, 1), 3 + 4j)).item()
words = sum("[WARNING]" in line and "overwritten" not in line for line in said.splitlines())
print(", ".join(f"{name} {kind}" for name, kind in kinds.items()),
      f"| crop is the real part: {np.allclose(crop, image[2:-2].real)}, norm of 3 + 4i: {norm:.0f}, warnings {words}")
PYTHON
cat line
[[ $(cat line) == "$SEEN" ]]

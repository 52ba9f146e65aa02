#!/usr/bin/env bash
# BART's ecalib says "Done." of a narrow centre and gives maps that are 0 in nearly all of the object.
#
# Versions: BART v0.8.00 (Debian 12), numpy 2.4.6.
# Input: BART's phantom of 128 x 128 with eight coils, without noise (-k -s 8), of which the 24, 12, 8, 7 and 6 central
# columns were measured; maps by `ecalib -m1 -r24`, for 8, 7 and 6 columns with `-k 4` as well, and the share of
# the object's pixels in which they are 0 in all coils.
# A good engineer would guess: 7 columns hold a kernel of 6, so there are maps, worse ones at most: 8 columns are 8 % of 96,
# fastMRI's share; or ecalib says that the region is too small for the kernel.
# Seen: with 12 columns maps cover the object, with 8 a quarter of it is gone, with 7 and 6 nearly all: a kernel
# of 6 at two or three places along an axis spans all patches, and the eigenvalues fall below -c. A kernel of 4
# mends all three. The exit code is 0 each time, and no line says anything but "Done.".
SEEN='object without maps, kernel 6: 0 % of 24, 0 % of 12, 28 % of 8, 96 % of 7, 96 % of 6; kernel 4: 0 % of 8, 0 % of 7, 0 % of 6 columns; said Done.'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v bart >/dev/null || apt-get install -y -qq bart >/dev/null
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq numpy==2.4.6

cd "$work"
bart phantom -x 128 object
bart phantom -x 128 -k -s 8 kspace
for columns in 24 12 8 7 6; do
    bart resize -c 1 $columns kspace part
    bart resize -c 1 128 part measured
    bart ecalib -m1 -r24 measured "maps$columns" >>log 2>&1
    bart ecalib -m1 -r24 -k 4 measured "small$columns" >>log 2>&1
done

venv/bin/python - >line <<'PYTHON'
import numpy as np

def read(name: str) -> np.ndarray:
    sizes = [int(size) for size in open(f"{name}.hdr").read().splitlines()[1].split()]
    return np.fromfile(f"{name}.cfl", np.complex64).reshape(sizes, order="F").squeeze()

inside = np.abs(read("object")) > 0.05

def empty(name: str) -> str:
    return f"{100 * (np.linalg.norm(read(name), axis=2)[inside] == 0).mean():.0f}"

kernels = (("6", "maps", (24, 12, 8, 7, 6)), ("4", "small", (8, 7, 6)))
shares = (
    f"kernel {kernel}: " + ", ".join(f"{empty(f'{name}{n}')} % of {n}" for n in columns)
    for kernel, name, columns in kernels
)
said = {line.strip() for line in open("log")}
print(f"object without maps, {'; '.join(shares)} columns; said {' '.join(sorted(said))}")
PYTHON
echo "BART $(bart version): $(cat line)"
[[ $(cat line) == "$SEEN" ]]

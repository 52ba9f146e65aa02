#!/usr/bin/env bash
# ismrmrd turned Image.matrix_size round between two minor versions: one file, two matrices.
#
# Versions: ismrmrd 1.14.2 and 1.15.0, h5py 3.16.0, numpy 2.4.6.
# Input: one HDF5 file with an image of 5 slices, 3 rows and 4 columns, read by both versions.
# A good engineer would guess: the same file gives the same Image.matrix_size in both; and within a
# version, the image and its head agree.
# Seen: 1.14.2 gives (5, 3, 4) for the image and (4, 3, 5) for its head, 1.15.0 gives (4, 3, 5) for
# both. Neither prints anything, so code that swapped the axes for the old version now swaps right
# ones. (The default axes of Image.from_array turned as well, which 1.14.2 announces by a warning.)
SEEN='1.14.2: image (5, 3, 4), head (4, 3, 5); 1.15.0: image (4, 3, 5), head (4, 3, 5); printed 0 lines'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/image.py" <<'PYTHON'
import sys
from pathlib import Path
import ismrmrd, numpy as np

path = Path(sys.argv[1])
if not path.exists():
    written = ismrmrd.Dataset(path)
    written.append_image("image", ismrmrd.Image.from_array(np.zeros((5, 3, 4), np.float32), transpose=False))
    written.close()
    sys.exit()
image = ismrmrd.Dataset(path, create_if_needed=False).read_image("image", 0)
size, head = (tuple(map(int, of.matrix_size)) for of in (image, image.getHead()))
print(f"image {size}, head {head}")
PYTHON
for release in 1.14.2 1.15.0; do
    python3 -m venv "$work/$release"
    "$work/$release/bin/pip" install -qq "ismrmrd==$release" h5py==3.16.0 numpy==2.4.6
done
"$work/1.15.0/bin/python" "$work/image.py" "$work/image.h5"
old=$("$work/1.14.2/bin/python" "$work/image.py" "$work/image.h5" 2>"$work/old")
new=$("$work/1.15.0/bin/python" "$work/image.py" "$work/image.h5" 2>"$work/new")
line="1.14.2: $old; 1.15.0: $new; printed $(cat "$work/old" "$work/new" | wc -l) lines"
echo "matrix_size by ismrmrd $line"
[[ $line == "$SEEN" ]]

#!/usr/bin/env bash
# ISMRMRD's phantom generator writes a header for twofold oversampling whatever -O says: -O 1 loses its sides.
#
# Versions: ismrmrd-tools 1.8.0 (Debian 12), ismrmrd 1.15.0, numpy 2.4.6.
# Input: `ismrmrd_generate_cartesian_shepp_logan -m 64 -n 0` with a readout oversampling (-O) of 1, 2 and 4; encoded and
# reconstructed size and field of view of its header, and the image of `ismrmrd_recon_cartesian_2d` from the same
# package, against the width of the phantom in the inverse FFT of the data.
# A good engineer would guess: the matrix is 64 and the reconstructed field of view 300 mm of 64 pixels in each case;
# the encoded one is 1, 2 and 4 times as large, as the data are: the same phantom comes out of all three files.
# Seen: the encoded field of view is always twice the reconstructed one. With -O 1 the image has 32 of 64 columns and
# the phantom of 45 columns is cut off at both sides; with -O 4 it has 128 columns, half of them empty, and pixels
# that are half as wide as they are high. With -O 2, which it is by itself, all is right.
SEEN='-O 1: 64 columns of 600 mm to 32 of 300 mm, phantom 45 columns, image 32 of 32; -O 2: 128 columns of 600 mm to 64 of 300 mm, phantom 45 columns, image 45 of 64; -O 4: 256 columns of 600 mm to 128 of 300 mm, phantom 45 columns, image 45 of 128'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v ismrmrd_generate_cartesian_shepp_logan >/dev/null || apt-get install -y -qq ismrmrd-tools >/dev/null
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq ismrmrd==1.15.0 numpy==2.4.6

cd "$work"
venv/bin/python -W ignore - >line <<'PYTHON'
import subprocess
import ismrmrd, numpy as np
from ismrmrd import xsd

def width(image: np.ndarray) -> int:
    """Return in how many columns of an image there is anything."""
    columns = np.flatnonzero(image.max(axis=0) > 0.1 * image.max())
    return columns[-1] - columns[0] + 1

def phantom(oversampling: int) -> str:
    path = f"phantom_{oversampling}.h5"
    words = f"ismrmrd_generate_cartesian_shepp_logan -m 64 -c 4 -n 0 -O {oversampling} -o {path}"
    subprocess.run(words.split(), check=True, capture_output=True)
    subprocess.run(["ismrmrd_recon_cartesian_2d", path, "dataset"], check=True, capture_output=True)
    with ismrmrd.Dataset(path, create_if_needed=False) as file:
        encoding = xsd.CreateFromDocument(file.read_xml_header()).encoding[0]
        lines = [file.read_acquisition(row).data for row in range(file.number_of_acquisitions())]
        image = np.abs(file.read_image("cpp", 0).data).squeeze()
    kspace = np.fft.ifftshift(np.stack(lines, axis=1), axes=(1, 2))
    coils = np.fft.fftshift(np.fft.ifft2(kspace), axes=(1, 2))
    encoded, recon = encoding.encodedSpace, encoding.reconSpace
    return (f"-O {oversampling}: {encoded.matrixSize.x} columns of {encoded.fieldOfView_mm.x:g} mm"
            f" to {recon.matrixSize.x} of {recon.fieldOfView_mm.x:g} mm,"
            f" phantom {width(np.linalg.norm(coils, axis=0))} columns, image {width(image)} of {image.shape[1]}")

print("; ".join(phantom(oversampling) for oversampling in (1, 2, 4)))
PYTHON
cat line
[[ $(cat line) == "$SEEN" ]]

#!/usr/bin/env bash
# ismrmrd's integer images are of 64 bits, ISMRMRD's of 32: label maps of other programs come out as pairs.
#
# Versions: ismrmrd 1.15.0, numpy 2.4.6, h5py 3.16.0.
# Input: images of 2 x 3 pixels, 1 to 6, made by Image.from_array of int32, uint32 and int64; and a stream of
# two images of type 4 with 4 bytes a pixel (as ISMRMRD defines it: the package's own constants say
# "corresponds to int32_t"), made of the uint32 one, which has the same bits, by setting the type.
# A good engineer would guess: int32 makes an image of type 4, int64 is refused since the format has no such
# type, and the stream holds 1 to 6 twice; so it is for uint32.
# Seen: int32 is refused, int64 makes an image of "type 4" with 8 bytes a pixel, which is written so in
# streams and by ismrmrd.File, and Dataset.append_image raises a TypeError about shapes. Of the stream, pixels
# are read in pairs, 1 + 2 * 2^32 for the first one, then the head of the next image as pixels; nothing is
# said until the stream's end is met in the wrong place. Read with Dataset from HDF5, int32 is right.
SEEN='int32 refused, uint32 type 3 with 4 bytes a pixel, int64 type 4 with 8; File writes int64, Dataset refused; stream of uint32 1 2 3 4 5 6, of int32 8589934593 17179869187 25769803781 and then the next head True'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq ismrmrd==1.15.0 h5py==3.16.0 numpy==2.4.6

"$work/venv/bin/python" - "$work" >"$work/line" <<'PYTHON'
import io, sys
import h5py, ismrmrd, numpy as np

pixels = np.arange(1, 7).reshape(2, 3)

def image(kind: type) -> ismrmrd.Image:
    return ismrmrd.Image.from_array(pixels.astype(kind), transpose=False)

def stream(of: ismrmrd.Image) -> bytes:
    written = io.BytesIO()
    of.serialize_into(written.write)
    return written.getvalue()

def described(kind: type) -> str:
    try:
        made = image(kind)
    except TypeError:
        return f"{kind.__name__} refused"
    around = len(stream(image(np.uint16))) - 2 * pixels.size
    return f"{kind.__name__} type {made.data_type} with {(len(stream(made)) - around) // pixels.size} bytes a pixel"

def first(message: bytes) -> np.ndarray:
    return ismrmrd.Image.deserialize_from(io.BytesIO(message * 2).read).data.ravel()

with ismrmrd.File(f"{sys.argv[1]}/file.h5") as file:
    file["dataset/labels"].images = [image(np.int64)]
with h5py.File(f"{sys.argv[1]}/file.h5") as file:
    on_disk = file["dataset/labels/data"].dtype
try:
    ismrmrd.Dataset(f"{sys.argv[1]}/dataset.h5").append_image("labels", image(np.int64))
    by_dataset = "accepted"
except TypeError:
    by_dataset = "refused"

unsigned = stream(image(np.uint32))
signed = bytearray(unsigned)
ismrmrd.ImageHeader.from_buffer(signed).data_type = ismrmrd.DATATYPE_INT
found = first(bytes(signed))
beyond = found[3:].tobytes() == bytes(signed[:24])
print(f"{described(np.int32)}, {described(np.uint32)}, {described(np.int64).removesuffix(' bytes a pixel')};",
      f"File writes {on_disk}, Dataset {by_dataset}; stream of uint32 {' '.join(map(str, first(unsigned)))},",
      f"of int32 {' '.join(map(str, found[:3]))} and then the next head {beyond}")
PYTHON
cat "$work/line"
[[ $(cat "$work/line") == "$SEEN" ]]

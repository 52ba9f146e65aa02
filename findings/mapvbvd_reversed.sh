#!/usr/bin/env bash
# pymapvbvd takes a reversed slice of raw data and averages lines with each other, zeros for the rest.
#
# Versions: pymapvbvd 0.7.0, numpy 2.4.6.
# Input: a Siemens raw file (layout of VB) of two slices with six lines each, two coils; all samples of line k
# (from 0) are k + 1 in the first slice and k + 11 in the second, twice that in the second coil. Read as
# twix.image[:, :, ::-1, ...] and as twix.image[...] with the result reversed by numpy.
# A good engineer would guess: the two are the same, as the package takes slices with steps ([0::2, 0, :] is
# in its README), and coils come out right that way.
# Seen: of six lines three are 0 and three have the mean of two lines each (here all 3.5, as the mean of 1 and
# 6, of 2 and 5, and of 3 and 4); of two slices one is 0 and the other the mean of both. Every second line and
# reversed coils are right. Nothing is said. Places are renumbered one after the other in one array, so a line
# that has its new place is taken for the one of that old place.
SEEN='lines 1 2 3 4 5 6, by [::2] 1 3 5, by [::-1] 0 0 0 3.5 3.5 3.5; slices 1 11, by [::-1] 0 6; reversed coils right True'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq pymapvbvd==0.7.0 numpy==2.4.6

"$work/venv/bin/python" - "$work/scan.dat" >"$work/line" 2>"$work/said" <<'PYTHON' || { cat "$work/said"; exit 1; }
import struct, sys
import mapvbvd, numpy as np

SAMPLES, CHANNELS = 16, 2

def head(counters: list[int], number: int, channel: int, flags: int) -> bytes:
    """Return the 128 bytes before the samples of a channel."""
    made = bytearray(128)
    struct.pack_into("<3I", made, 0, 128 + 8 * SAMPLES, 1, number)
    struct.pack_into("<I2H", made, 20, flags, 0, 0)
    struct.pack_into("<2H14H", made, 28, SAMPLES, CHANNELS, *counters, *[0] * (14 - len(counters)))
    struct.pack_into("<H", made, 64, SAMPLES // 2)
    struct.pack_into("<H", made, 124, channel)
    return bytes(made)

def write(readouts: dict[tuple[int, ...], float]) -> None:
    """Write a measurement, by counters (line, average, slice); all samples have one value, of coil 2 twice it."""
    text = b"<XProtocol>\n{\n}\n".ljust(12000, b"\n")
    protocol = struct.pack("<I", 1) + b"Meas\0" + struct.pack("<I", len(text)) + text
    protocol += bytes(-(len(protocol) + 4) % 32)
    with open(sys.argv[1], "wb") as file:
        file.write(struct.pack("<I", len(protocol) + 4) + protocol)
        for number, (counters, value) in enumerate(readouts.items(), 1):
            for channel in range(CHANNELS):
                file.write(head(list(counters), number, channel, 1 << 29))
                file.write(np.full(SAMPLES, value * (1 + channel), np.complex64).tobytes())
        file.write(head([], len(readouts) + 1, 0, 1) + bytes(128))

write({(line, 0, part): line + 1 + 10 * part for part in range(2) for line in range(6)})
image = mapvbvd.mapVBVD(sys.argv[1], quiet=True).image
image.flagRemoveOS = False

def listed(values: np.ndarray) -> str:
    return " ".join(f"{value:.4g}" for value in values.real)

print("lines", listed(image[""][0, 0, :, 0, 0].ravel()) + ", by [::2]", listed(image[:, :, ::2, 0, 0][0, 0].ravel())
      + ", by [::-1]", listed(image[:, :, ::-1, 0, 0][0, 0].ravel())
      + "; slices", listed(image[""][0, 0, 0, 0].ravel()) + ", by [::-1]", listed(image[:, :, 0, 0, ::-1][0, 0].ravel())
      + "; reversed coils right", np.array_equal(image[:, ::-1, :, 0, 0], image[:, :, :, 0, 0][:, ::-1]))
PYTHON
cat "$work/line"
[[ $(cat "$work/line") == "$SEEN" ]]

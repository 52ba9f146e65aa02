#!/usr/bin/env bash
# pymapvbvd's subscripts look like numpy's: [:, :, :] folds lines and slices together, [:, :, 0] drops slices.
#
# Versions: pymapvbvd 0.7.0, numpy 2.4.6.
# Input: a Siemens raw file (layout of VB) of three slices with six lines each, two coils; all samples of line
# k of slice s (from 0) are 10 s + k + 1, twice that in the second coil. Read are twix.image[''], [:, :, :]
# (both in the README, one below the other as ways to read data) and [:, :, 0].
# A good engineer would guess: as in numpy, dimensions that are not named are taken whole and stay dimensions,
# so [:, :, :] is all data as [''] is, and [:, :, 0] is the first line of each slice; or else, as in MATLAB
# whose syntax the package follows, dimensions that are folded have the first one fastest.
# Seen: [:, :, :] has one axis of 18 with all slices of the first line first, neither numpy's shape nor
# MATLAB's order: reshaped in MATLAB's order, lines and slices are mixed. [:, :, 0] has the first line of the
# first slice alone. Neither is said, and both results have 16 dimensions as [''] has.
SEEN='all data: lines, partitions, slices 6 1 3: 1 2 3 4 5 6 11; [:, :, :] 18 1 1: 1 11 21 2 12 22 3; [:, :, 0] 1 1 1: 1'
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

write({(line, 0, part): line + 1 + 10 * part for part in range(3) for line in range(6)})
image = mapvbvd.mapVBVD(sys.argv[1], quiet=True).image
image.flagRemoveOS = False

def described(data: np.ndarray) -> str:
    """Name the sizes of lines, partitions and slices, then the first seven values, lines fastest."""
    values = data[0, 0].ravel(order="F").real[:7]
    return " ".join(map(str, data.shape[2:5])) + ": " + " ".join(f"{value:.4g}" for value in values)

print("all data: lines, partitions, slices", described(image[""]) + "; [:, :, :]", described(image[:, :, :])
      + "; [:, :, 0]", described(image[:, :, 0]))
PYTHON
cat "$work/line"
[[ $(cat "$work/line") == "$SEEN" ]]

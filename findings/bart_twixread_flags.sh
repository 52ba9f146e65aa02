#!/usr/bin/env bash
# BART's twixread puts the reference scan of parallel imaging over image lines and leaves reversed lines reversed.
#
# Versions: BART v0.8.00 (Debian 12), pymapvbvd 0.7.0, numpy 2.4.6.
# Input: Siemens raw files (layout of VB), two coils; all samples of line k are k + 1. One holds a noise scan and a
# phase correction line of 50 besides the lines 0 to 3. One holds lines 0, 2, 4 and 6 and then the lines 2 to 4 of
# a separate reference scan (PATREFSCAN), all 11. One holds four lines of 1 to 16, every other one acquired from the
# end (REFLECT), as of EPI. `twixread -A` and mapVBVD.
# A good engineer would guess: twixread looks at the flags of lines, since it leaves out noise and phase
# correction: the image lines are 1, 3, 5, 7 and the reference is apart; reversed lines are turned.
# Seen: noise and phase correction are left out, but the lines of the reference scan, which has a contrast of its own,
# replace those of the image, and stand between them as if measured; reversed lines stay mirrored. There is no option,
# and no message. pymapvbvd reads all three right.
SEEN='noise and phase correction: twixread 1 2 3 4; pymapvbvd 1 2 3 4 | reference: twixread 1 0 11 11 11 0 7; pymapvbvd 1 0 3 0 5 0 7 | reversed: twixread 1 16 1 16; pymapvbvd 1 1 1 1 | messages 0'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v bart >/dev/null || apt-get install -y -qq bart >/dev/null
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq pymapvbvd==0.7.0 numpy==2.4.6

cd "$work"
venv/bin/python - >line 2>said <<'PYTHON' || { cat said; exit 1; }
import struct, subprocess
import mapvbvd, numpy as np

SAMPLES, CHANNELS = 16, 2
PHASE_CORRECTION, REFERENCE, REVERSED, NOISE = (1 << bit for bit in (21, 22, 24, 25))
messages = 0

def head(line: int, number: int, channel: int, flags: int) -> bytes:
    """Return the 128 bytes before the samples of a channel."""
    made = bytearray(128)
    struct.pack_into("<3I", made, 0, 128 + 8 * SAMPLES, 1, number)
    struct.pack_into("<I", made, 20, flags)
    struct.pack_into("<3H", made, 28, SAMPLES, CHANNELS, line)
    struct.pack_into("<H", made, 64, SAMPLES // 2)
    struct.pack_into("<H", made, 124, channel)
    return bytes(made)

def write(readouts: list[tuple[int, int, object]]) -> None:
    """Write a measurement of lines: number of the line, flags, samples of the first coil; the second has twice it."""
    text = b"<XProtocol>\n{\n}\n".ljust(12000, b"\n")
    protocol = struct.pack("<I", 1) + b"Meas\0" + struct.pack("<I", len(text)) + text
    protocol += bytes(-(len(protocol) + 4) % 32)
    with open("scan.dat", "wb") as file:
        file.write(struct.pack("<I", len(protocol) + 4) + protocol)
        for number, (line, flags, samples) in enumerate(readouts, 1):
            for channel in range(CHANNELS):
                file.write(head(line, number, channel, flags))
                file.write(np.full(SAMPLES, np.multiply(samples, 1 + channel), np.complex64).tobytes())
        file.write(head(0, len(readouts) + 1, 0, 1) + bytes(128))

def first_samples(readouts: list[tuple[int, int, object]]) -> str:
    """Return the first sample of each line in the first coil, by BART and by pymapvbvd."""
    global messages
    write(readouts)
    done = subprocess.run("bart twixread -A scan.dat scan".split(), check=True, capture_output=True, text=True)
    messages += sum(word in done.stdout + done.stderr for word in ("WARN", "ERROR"))
    lines = int(open("scan.hdr").read().split()[3])
    bart = np.fromfile("scan.cfl", np.complex64).reshape(CHANNELS, lines, SAMPLES)[0, :, 0]
    image = mapvbvd.mapVBVD("scan.dat", quiet=True).image
    image.flagRemoveOS = False
    theirs = image[""].squeeze()[0, 0]
    return "; ".join(f"{name} {' '.join(f'{value:g}' for value in found.real)}" for name, found in
                     (("twixread", bart), ("pymapvbvd", theirs)))

lines = [(line, 0, line + 1) for line in range(4)]
print("noise and phase correction:", first_samples([(0, NOISE, 50), (0, PHASE_CORRECTION, 50), *lines]), end=" | ")
print("reference:", first_samples([(line, 0, line + 1) for line in (0, 2, 4, 6)]
                                 + [(line, REFERENCE, 11) for line in (2, 3, 4)]), end=" | ")
ramp = np.arange(1, SAMPLES + 1)
print("reversed:", first_samples([(line, line % 2 * REVERSED, ramp[::-1] if line % 2 else ramp) for line in range(4)]),
      f"| messages {messages}")
PYTHON
cat line
[[ $(cat line) == "$SEEN" ]]

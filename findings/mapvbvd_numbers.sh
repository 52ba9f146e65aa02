#!/usr/bin/env bash
# pymapvbvd makes numbers of texts and leaves numbers as texts: "0042" is 42.0 and 0x4 is not 4.
#
# Versions: pymapvbvd 0.7.0, nibabel 5.4.2 (a second reader of protocols), numpy 2.4.6.
# Input: the header of a Siemens raw file (layout of VB) with four parameters that it declares itself as
# ParamString, "0042", "42", "12E4" and "Nan", and with two numbers in its ASCCONV protocol, 4 and 0x4.
# A good engineer would guess: a string is a string and a number a number, so four texts and twice 4, as
# nibabel reads the latter.
# Seen: all four strings are floats: "0042" and "42" are the same subject, "12E4" is 120000.0, and "Nan" is
# not equal to itself. The number 0x4 is the text '0x4', so a test of a flag by == 4 is false.
SEEN='strings "0042" 42.0, "42" 42.0, "12E4" 120000.0, "Nan" nan; numbers 4 4.0, 0x4 '"'0x4'"', nibabel 4 and 4'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq pymapvbvd==0.7.0 nibabel==5.4.2 numpy==2.4.6

"$work/venv/bin/python" - "$work/scan.dat" >"$work/line" 2>"$work/said" <<'PYTHON' || { cat "$work/said"; exit 1; }
import struct, sys
import mapvbvd
from nibabel.nicom.ascconv import parse_ascconv

BEGIN, END = "### ASCCONV BEGIN ###\n", "### ASCCONV END ###\n"

def header(parameters: str, protocol: str):
    """Write a Siemens raw file with these in its header; return what pymapvbvd reads."""
    text = f"<XProtocol>\n{{\n<ParamMap.\"\">\n{{\n{parameters}}}\n}}\n{BEGIN}{protocol}{END}".encode()
    buffers = struct.pack("<I", 1) + b"MeasYaps\0" + struct.pack("<I", 12000) + text.ljust(12000, b"\n")
    with open(sys.argv[1], "wb") as file:
        file.write(struct.pack("<I", len(buffers) + 4) + buffers)
    return mapvbvd.mapVBVD(sys.argv[1], quiet=True, bReadMDH=False)

STRINGS = ("0042", "42", "12E4", "Nan")
PROTOCOL = "sKSpace.ucDimension = 4\nsKSpace.ucMultiSliceMode = 0x4\n"
read = header("".join(f'<ParamString."t{text}"> {{ "{text}" }}\n' for text in STRINGS), PROTOCOL).hdr.MeasYaps
other = parse_ascconv(BEGIN + PROTOCOL + END, '"')[0]["sKSpace"]
print("strings", ", ".join(f'"{text}" {read[f"t{text}"]}' for text in STRINGS)
      + f"; numbers 4 {read['sKSpace', 'ucDimension']}, 0x4 {read['sKSpace', 'ucMultiSliceMode']!r},"
      f" nibabel {other['ucDimension']} and {other['ucMultiSliceMode']}")
PYTHON
cat "$work/line"
[[ $(cat "$work/line") == "$SEEN" ]]

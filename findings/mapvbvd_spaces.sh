#!/usr/bin/env bash
# pymapvbvd drops each entry of the protocol whose value has a space: "t1 mprage" has no name.
#
# Versions: pymapvbvd 0.7.0, nibabel 5.4.2 (a second reader of such protocols), numpy 2.4.6.
# Input: the header of a Siemens raw file (layout of VB) with an ASCCONV protocol of four entries: a sequence,
# a protocol name, a number and a baseline; the name is once t1_mprage and once "t1 mprage".
# A good engineer would guess: four entries both times, as nibabel reads them; the names are in quotes, so
# spaces belong to them.
# Seen: of the second one three entries, without a word; the name is not there and the package's
# search_header_for_val finds an empty list. The other texts keep their quotes as part of the value.
SEEN='t1_mprage: entries 4, name ["t1_mprage"], nibabel 4 and t1_mprage; t1 mprage: entries 3, name [], nibabel 4 and t1 mprage'
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

def described(name: str) -> str:
    protocol = (f'tSequenceFileName = "%SiemensSeq%/tfl"\ntProtocolName = "{name}"\nlContrasts = 2\n'
                'sProtConsistencyInfo.tBaselineString = "N4_VB17A_LATEST_20090307"\n')
    read, other = header("", protocol), parse_ascconv(BEGIN + protocol + END, '"')[0]
    found = read.search_header_for_val("MeasYaps", ("tProtocolName",))
    return (f"{name}: entries {len(read.hdr.MeasYaps)}, name [{', '.join(found)}],"
            f" nibabel {len(other)} and {other['tProtocolName']}")

print(described("t1_mprage") + "; " + described("t1 mprage"))
PYTHON
cat "$work/line"
[[ $(cat "$work/line") == "$SEEN" ]]

#!/usr/bin/env bash
# ismrmrd's deserializer cuts a config's name at its NUL, and fails on a header that ends with one.
#
# Versions: ismrmrd 1.15.0, xsdata 26.10, numpy 2.4.6.
# Input: a stream of the protocol as Siemens FIRE and the client of python-ismrmrd-server send it: the
# texts of config and header end with a NUL, which their lengths count. The same stream without the
# NUL behind the header, and one with a text message, are read, too.
# A good engineer would guess: the package reads what the scanners' own clients send.
# Seen: the config is "demo" without its NUL, the text has it still, the header raises xsdata's
# ParserError, "not well-formed (invalid token)"; without the NUL it is read.
SEEN="config 'demo', text 'note\\x00', header ismrmrdHeader, header with NUL ParserError"
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq ismrmrd==1.15.0 xsdata==26.10 numpy==2.4.6

"$work/venv/bin/python" - >"$work/line" <<'PYTHON'
import io
import struct

from ismrmrd import xsd
from ismrmrd.serialization import ISMRMRDMessageID as Kind
from ismrmrd.serialization import ProtocolDeserializer

field = xsd.experimentalConditionsType(H1resonanceFrequency_Hz=63_500_000)
header = xsd.ismrmrdHeader(experimentalConditions=field).toXML().encode()


def message(kind: Kind, body: bytes) -> bytes:
    length = b"" if kind is Kind.CONFIG_FILE else struct.pack("<I", len(body))
    return struct.pack("<H", kind.value) + length + body


def read(*messages: bytes) -> list[object]:
    stream = io.BytesIO(b"".join(messages) + struct.pack("<H", Kind.CLOSE.value))
    return list(ProtocolDeserializer(stream).deserialize())


config, text, plain = read(
    message(Kind.CONFIG_FILE, b"demo".ljust(1024, b"\0")),
    message(Kind.TEXT, b"note\0"),
    message(Kind.HEADER, header),
)
try:
    (ended,) = read(message(Kind.HEADER, header + b"\0"))
except Exception as error:
    ended = error
print(f"config {str(config)!r}, text {text!r},",
      f"header {type(plain).__name__}, header with NUL {type(ended).__name__}")
PYTHON
cat "$work/line"
[[ $(cat "$work/line") == "$SEEN" ]]

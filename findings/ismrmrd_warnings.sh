#!/usr/bin/env bash
# Importing ismrmrd undoes the warning filters of the whole process.
#
# Versions: ismrmrd 1.15.0, numpy 2.4.6.
# Input: two programs that turn warnings into errors, by `python -W error` or by
# `warnings.simplefilter("error")`, and then import ismrmrd; a UserWarning follows.
# A good engineer would guess: a library for reading files leaves it to the program what becomes of
# warnings, or says so; a test suite with warnings as errors keeps them.
# Seen: both programs go on as if nothing had been asked for, the first filter is "default" for all
# warnings. The module ismrmrd.image calls `warnings.simplefilter('default')` when it is imported.
# Without the import both end with the warning as an error.
SEEN="-W error: alone UserWarning, with ismrmrd goes on; simplefilter: alone UserWarning, with ismrmrd goes on; first filter default Warning"
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq ismrmrd==1.15.0 numpy==2.4.6

cat >"$work/program.py" <<'PYTHON'
import sys
import warnings

_, sets, imports = sys.argv
if sets == "yes":
    warnings.simplefilter("error")
if imports == "yes":
    import ismrmrd
    action, _, category, *_ = warnings.filters[0]
    print(f"first filter {action} {category.__name__}", file=sys.stderr)
try:
    warnings.warn("something is odd", UserWarning)
    print("goes on")
except UserWarning as error:
    print(type(error).__name__)
PYTHON
run() { "$work/venv/bin/python" "$@" 2>"$work/told"; }
asked="-W error: alone $(run -W error "$work/program.py" no no), with ismrmrd $(run -W error "$work/program.py" no yes)"
set="simplefilter: alone $(run "$work/program.py" yes no), with ismrmrd $(run "$work/program.py" yes yes)"
run "$work/program.py" yes yes >/dev/null
line="$asked; $set; $(grep 'first filter' "$work/told")"
echo "$line"
[[ $line == "$SEEN" ]]

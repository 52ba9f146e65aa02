#!/usr/bin/env bash
# ismrmrd's flag constants are neither masks nor bit indices: they count bits from 1.
#
# Versions: ismrmrd 1.15.0, numpy 2.4.6, h5py 3.16.0.
# Input: one acquisition for each ACQ_ constant of the package, with that flag alone set by set_flag;
# for each, all constants are asked for in three ways.
# A good engineer would guess: a constant with the name of a flag works in `head.flags & FLAG`, as it
# does for heads read in bulk with h5py, where is_flag_set does not exist; else in `flags >> FLAG & 1`.
# Seen: both answer wrongly, with flags that are set where they are not and the other way round; a noise
# scan (constant 19, bit 18) is no noise scan by either. Right is `flags >> (FLAG - 1) & 1`.
SEEN='flags 43, noise constant 19 value 2^18, found where set: & 2, >> 0, >> minus one 43, found where not set: & 128, >> 41, >> minus one 0'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq ismrmrd==1.15.0 h5py==3.16.0 numpy==2.4.6

"$work/venv/bin/python" - >"$work/line" <<'PYTHON'
import ismrmrd, numpy as np

flags = sorted({value for name, value in vars(ismrmrd).items()
                if name.startswith("ACQ_") and isinstance(value, int)})
ways = {"&": lambda set_, flag: bool(set_ & flag), ">>": lambda set_, flag: bool(set_ >> flag & 1),
        ">> minus one": lambda set_, flag: bool(set_ >> (flag - 1) & 1)}
right, wrong = dict.fromkeys(ways, 0), dict.fromkeys(ways, 0)
for flag in flags:
    acquisition = ismrmrd.Acquisition.from_array(np.zeros((1, 4), np.complex64))
    acquisition.set_flag(flag)
    for way, asks in ways.items():
        right[way] += asks(acquisition.flags, flag)
        wrong[way] += sum(asks(acquisition.flags, other) for other in flags if other != flag)
    if flag == ismrmrd.ACQ_IS_NOISE_MEASUREMENT:
        noise = f"noise constant {flag} value 2^{acquisition.flags.bit_length() - 1}"

def listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{way} {count}" for way, count in counts.items())

print(f"flags {len(flags)}, {noise}, found where set: {listed(right)}, found where not set: {listed(wrong)}")
PYTHON
cat "$work/line"
[[ $(cat "$work/line") == "$SEEN" ]]

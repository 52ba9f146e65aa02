#!/usr/bin/env bash
# ISMRMRD files hold each acquisition in a chunk of its own: the heads alone cost as much as all data.
#
# Versions: ismrmrd 1.15.0, h5py 3.16.0, numpy 2.4.6.
# Input: a file of 2,000 acquisitions of 8 coils and 256 samples, written by ismrmrd.Dataset. Its heads
# are read with h5py as a field of the dataset, all data likewise, and the same heads from a plain
# dataset in chunks of 1,000.
# A good engineer would guess: reading 0.7 MB of heads out of 33 MB, to plan a reconstruction, takes a
# small part of the time of reading all.
# Seen: the dataset has chunks of (1,), 2,000 of them; the heads take nearly as long as all of the file
# and some 60 times as long as from the plain dataset:
#   heads 66 ms, everything 75 ms, the same heads in chunks of 1,000: 1.1 ms
#   heads 75 ms, everything 87 ms, the same heads in chunks of 1,000: 1.0 ms
# Fails if the chunks differ, or the heads take less than a third of all or ten times the plain ones.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq ismrmrd==1.15.0 h5py==3.16.0 numpy==2.4.6

"$work/venv/bin/python" - "$work" <<'PYTHON'
import sys, time
import h5py, ismrmrd, numpy as np

COUNT, path, plain_path = 2000, f"{sys.argv[1]}/scan.h5", f"{sys.argv[1]}/plain.h5"
scan = ismrmrd.Dataset(path)
acquisition = ismrmrd.Acquisition.from_array(np.ones((8, 256), np.complex64))
for _ in range(COUNT):
    scan.append_acquisition(acquisition)
scan.close()

def seconds(read) -> float:
    """Return the shortest time of five."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        read()
        times.append(time.perf_counter() - start)
    return min(times)

with h5py.File(path) as file, h5py.File(plain_path, "w") as plain:
    data = file["dataset/data"]
    plain.create_dataset("head", data=data.fields("head")[:], chunks=(1000,))
    chunks, number = data.chunks, data.id.get_num_chunks()
    heads, everything = seconds(lambda: data.fields("head")[:]), seconds(lambda: data[:])
    few = seconds(lambda: plain["head"][:])
print(f"chunks {chunks} ({number} of them), heads {1e3 * heads:.0f} ms, everything {1e3 * everything:.0f} ms,",
      f"the same heads in chunks of 1,000: {1e3 * few:.1f} ms")
sys.exit(not (chunks == (1,) and number == COUNT and heads > everything / 3 and heads > 10 * few))
PYTHON

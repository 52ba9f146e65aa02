"""One arm of one work in a process of its own: its memory and its allocator are nobody else's.

The first line of standard input is a job as JSON. Each further line asks for one repetition, which is
answered with its figures as a line of JSON; at the end of the input the process ends.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from kdmri.benchmark.works import Setting, build, synchronise
from kdmri.execution import keep_freed_memory

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


def main() -> None:
    """Build the work, then repeat it as often as it is asked for."""
    job = json.loads(sys.stdin.readline())
    if job["arm"] != "reference":
        keep_freed_memory()
    if job["threads"] is not None:
        torch.set_num_threads(job["threads"])
    setting = Setting(**job["setting"] | {"size": tuple(job["setting"]["size"])})
    torch.manual_seed(setting.seed)
    work, clock = build(setting, job["arm"], job["work"]), CLOCKS[job["clock"]]
    for _ in sys.stdin:
        work.prepare()
        synchronise(setting.device)
        began = clock()
        work.run()
        synchronise(setting.device)
        figures: dict[str, Any] = {
            "seconds": clock() - began,
            "items": work.items,
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "threads": torch.get_num_threads(),
        }
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()

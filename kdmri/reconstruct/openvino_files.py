"""Running OpenVINO files (IR) that `kdmri export` wrote."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kdmri.errors import DataError

PROPERTIES = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
"""How a file is compiled. By default OpenVINO would compute all of it, data consistency too, in
bfloat16 where the CPU can; what is to be in fewer bits, the file itself says."""


@cache
def openvino_core() -> Any:
    """Return the one `openvino.Core` of this process, which lives as long as the process.

    OpenVINO 2026.4.1's CPU plugin gives the thread an alternate signal stack, and takes it away
    with the last network of its Core. Of two whose lives overlap, the second puts back the freed
    stack of the first, and the next signal with a handler ends the process.
    """
    import openvino

    return openvino.Core()


def open_openvino(path: Path) -> Any:
    """Compile an OpenVINO file for this CPU, with as many threads as PyTorch has.

    Returns:
        `openvino.InferRequest`.

    Raises:
        DataError: the file is missing or damaged.
    """
    core = openvino_core()
    threads = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "NUM_STREAMS": 1}
    for part in (path, path.with_suffix(".bin")):
        if not part.is_file():
            raise DataError(f"{part}: there is no such file")
    try:
        model = core.read_model(path)
        return core.compile_model(model, "CPU", PROPERTIES | threads).create_infer_request()
    except Exception as error:  # of OpenVINO's own kinds
        reason = " ".join(str(error).split())[:300]
        raise DataError(f"{path}: not an OpenVINO file that can be run ({reason})") from error


def run_openvino(request: Any, path: Path, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """Run a file on inputs by name; gives its one output.

    Raises:
        DataError: it takes other inputs, or fails on these.
    """
    try:
        return np.array(request.infer(inputs)[0])  # a copy: the next run writes into this one
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise DataError(f"{path}: fails on slices of the checkpoint's kind ({reason})") from error

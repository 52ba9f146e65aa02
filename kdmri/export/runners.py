"""The network and the files that are made of it, each as a function from a batch to its images."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from kdmri.data.batch import Batch
from kdmri.export.checking import Runner
from kdmri.export.consistency import Exportable
from kdmri.export.slices import as_inputs
from kdmri.models.trained import Trained
from kdmri.reconstruct.onnx_files import open_onnx, run_onnx
from kdmri.reconstruct.openvino_files import open_openvino, run_openvino


def network_runner(trained: Trained) -> Runner:
    """Return the network of a checkpoint as what is compared."""

    @torch.inference_mode()
    def run(batch: Batch) -> np.ndarray:
        return trained.network(*batch.inputs).numpy()

    return run


def onnx_runner(path: Path, network: Exportable) -> Runner:
    """Return an ONNX file as what is compared; `network` says which inputs it has."""
    session = open_onnx(path)
    return lambda batch: run_onnx(session, path, arrays(as_inputs(network, batch)))


def openvino_runner(path: Path, network: Exportable) -> Runner:
    """Return an OpenVINO file as what is compared."""
    request = open_openvino(path)
    return lambda batch: run_openvino(request, path, arrays(as_inputs(network, batch)))


def torch_runner(module: Any, network: Exportable) -> Runner:
    """Return a program of torch.export as what is compared."""

    @torch.inference_mode()
    def run(batch: Batch) -> np.ndarray:
        return module(*as_inputs(network, batch).values()).numpy()

    return run


def arrays(inputs: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Return inputs by name as arrays, which other runtimes take."""
    return {name: value.numpy() for name, value in inputs.items()}

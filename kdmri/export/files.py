"""Writing exported networks: ONNX in three precisions, and PyTorch's own export."""

import io
import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdmri.config.words import needs
from kdmri.errors import ConfigurationError
from kdmri.export.consistency import Exportable

OPSET = 18
"""Of ONNX: the one that PyTorch's exporter writes by itself."""

SMALLEST = 8
"""Pixels that a slice must have along each axis."""

IMAGE_CHANNELS = 2
"""Convolutions from or to no more channels stay float32."""

PACKAGES = ("onnx", "onnxruntime", "onnxscript")


def need_packages() -> None:
    """Check that what ONNX needs is installed.

    Raises:
        ConfigurationError: it is not; says what to install.
    """
    for package in PACKAGES:
        try:
            __import__(package)
        except ImportError as error:
            raise ConfigurationError(needs("format=onnx", "export", package)) from error


def write_onnx(path: Path, network: Exportable, inputs: dict[str, Tensor]) -> None:
    """Write an ONNX file of one graph, dynamic in batch, height and width.

    Args:
        path: the file.
        network: to write.
        inputs: an example, by name; a batch of two or more, so that it stays dynamic.
    """
    with quiet():
        program = torch.onnx.export(
            network,
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=["reconstruction"],
            dynamic_shapes=_dynamic(network, inputs),
            dynamo=True,
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
        assert program is not None
        model = program.model_proto
    _forget_traces(model)
    path.write_bytes(model.SerializeToString())


def write_quantised(path: Path, source: Path, calibration: Iterable[dict[str, np.ndarray]]) -> None:
    """Quantise the convolutions of an ONNX file to 8 bits, statically; all else stays float32.

    Weights are int8 by output channel, activations uint8 by their range over the calibration
    slices (onnxruntime's post-training quantisation, QDQ format). Convolutions from or to an image
    (1 or 2 channels) and data consistency stay float32: 256 grey levels would cost more quality
    than these few operations cost time.

    Args:
        path: the file.
        source: float32 network.
        calibration: inputs by name.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._remaining = iter(calibration)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._remaining, None)

    with quiet():
        quantize_static(
            str(source),
            str(path),
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=_thin_convolutions(source),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


def _forget_traces(model: Any) -> None:
    """Remove what the exporter notes of this machine: file names and lines of the code."""
    del model.metadata_props[:], model.graph.metadata_props[:]
    for item in (*model.graph.node, *model.graph.value_info, *model.graph.initializer):
        del item.metadata_props[:]
        item.doc_string = ""


def _thin_convolutions(path: Path) -> list[str]:
    """Name the convolutions of an ONNX file that take or give an image."""
    import onnx

    graph = onnx.load_model(path).graph
    shapes = {tensor.name: tensor.dims for tensor in graph.initializer}
    return [
        node.name
        for node in graph.node
        if node.op_type == "Conv" and min(shapes[node.input[1]][:2]) <= IMAGE_CHANNELS
    ]


def write_torch(path: Path, network: Exportable, inputs: dict[str, Tensor]) -> None:
    """Write a `.pt2` file of `torch.export`, dynamic in batch, height and width."""
    with quiet():
        program = torch.export.export(
            network, tuple(inputs.values()), dynamic_shapes=_dynamic(network, inputs)
        )
        whole = io.BytesIO()  # PyTorch's own writer answers a full disk with a RuntimeError
        torch.export.save(program, whole)
    path.write_bytes(whole.getbuffer())


def read_torch(path: Path) -> torch.nn.Module:
    """Load a `.pt2` file that this process wrote; loading one unpickles, so never another's."""
    with quiet():
        return torch.export.load(path).module()


def _dynamic(network: Exportable, inputs: dict[str, Tensor]) -> dict[str, dict[int, Any]]:
    """Name the axes that may change, by the network's arguments and their axes."""
    batch = torch.export.Dim("batch")
    height, width = (torch.export.Dim(name, min=SMALLEST) for name in ("height", "width"))
    shapes: dict[str, dict[int, Any]] = {"image": {0: batch, 2: height, 3: width}}
    if "kspace" in inputs:
        shapes["kspace"] = {0: batch, 2: height, 3: width}
    if "sensitivities" in inputs:
        coils = torch.export.Dim("coils", min=1)
        shapes["kspace"] = {0: batch, 2: coils, 3: height, 4: width}
    if "mask" in inputs:
        shapes["mask"] = {2: height, 3: width}
    if "lines" in inputs:
        shapes["mask"] = {0: height if network.axis == 0 else width}
    if "sensitivities" in inputs:
        shapes["sensitivities"] = dict(shapes["kspace"])
    if "noise" in inputs:
        shapes["noise"] = {0: batch}
    return shapes


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporters' hints about their own insides away from the user."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)

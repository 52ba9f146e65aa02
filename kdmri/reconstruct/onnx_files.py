"""Running ONNX files, also those of others: standard operators, nothing from outside."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kdmri.errors import DataError

DOMAINS = ("", "ai.onnx")
"""Operators of these domains come with onnxruntime; others would need a library."""

UNBOUNDED = ("If", "Loop", "Scan")
"""Control flow, which no network of kdmri has, and which could run without end."""


def open_onnx(path: Path) -> Any:
    """Check an ONNX file and open it in onnxruntime, on the CPU.

    Returns:
        `onnxruntime.InferenceSession`.

    Raises:
        DataError: the file is missing, damaged, keeps weights in other files, or has operators
            that are not ONNX's own.
    """
    import onnx
    import onnxruntime

    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    try:
        model = onnx.load_model(path, load_external_data=False)
        _refuse_foreign(path, model)
        onnx.checker.check_model(model)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what is wrong is raised
        # Threads that wait in a loop would slow down PyTorch, which runs in turns with them.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except DataError:
        raise
    except Exception as error:  # protobuf, onnx and onnxruntime raise many kinds
        reason = " ".join(str(error).split())[:300]
        raise DataError(f"{path}: not an ONNX file that can be run ({reason})") from error


def run_onnx(session: Any, path: Path, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """Run a file on inputs by name; gives its one output.

    Raises:
        DataError: it takes other inputs, or fails on these.
    """
    wanted = [item.name for item in session.get_inputs()]
    if sorted(wanted) != sorted(inputs) or len(session.get_outputs()) != 1:
        raise DataError(
            f"{path}: takes {', '.join(wanted)} and gives {len(session.get_outputs())} output(s); "
            f"this checkpoint's network takes {', '.join(inputs)} and gives one"
        )
    try:
        return np.asarray(session.run(None, inputs)[0])
    except Exception as error:  # of onnxruntime's own kinds
        reason = " ".join(str(error).split())[:300]
        raise DataError(f"{path}: fails on slices of the checkpoint's kind ({reason})") from error


def _refuse_foreign(path: Path, model: Any) -> None:
    if model.functions:
        raise DataError(f"{path}: defines operators of its own, which are not run")
    for node in _nodes(model.graph):
        if node.domain not in DOMAINS:
            raise DataError(
                f"{path}: its operator {node.op_type} is of the domain {node.domain}; only ONNX's "
                "own operators are run"
            )
        if node.op_type in UNBOUNDED:
            raise DataError(f"{path}: has control flow ({node.op_type}), which is not run")
    for tensor in _tensors(model.graph):
        if tensor.data_location == tensor.EXTERNAL or tensor.external_data:
            raise DataError(f"{path}: keeps weights in other files, which are not read")


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in _nodes(graph):
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            for inner in (attribute.g, *attribute.graphs):
                yield from inner.initializer

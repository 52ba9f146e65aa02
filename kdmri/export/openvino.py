"""Writing OpenVINO files (IR): float32, or convolutions in 8 bits and all else float32.

Of bfloat16 OpenVINO's CPU plugin has nothing between all and none: its hint rounds data consistency
too, which costs up to 0.3 dB, also where operators are marked as precise; and with AVX512-BF16 it
is slower than 8 bits are (see docs/pages/performance.md).
"""

import contextlib
import io
import logging
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from kdmri.config.words import needs
from kdmri.errors import ConfigurationError
from kdmri.export.files import quiet
from kdmri.reconstruct.openvino_files import openvino_core

PACKAGES = ("openvino", "nncf")
FLOAT32_TYPES = ("MatMul", "Multiply", "Add", "Subtract", "ReduceSum", "Concat")
"""Operators of transforms, of data consistency and of residual sums, which stay float32."""


def need_openvino() -> None:
    """Check that OpenVINO and NNCF are installed, and keep NNCF from reporting its use.

    Raises:
        ConfigurationError: they are not; says what to install.
    """
    os.environ.setdefault("NNCF_CI", "1")  # else it sends statistics of its use to its makers
    with quiet():
        for package in PACKAGES:
            try:
                __import__(package)
            except ImportError as error:
                raise ConfigurationError(needs("format=openvino", "openvino", package)) from error


def write_openvino(path: Path, source: Path, calibration: Iterable[dict[str, np.ndarray]]) -> None:
    """Write a float32 ONNX file as OpenVINO IR, float32.

    Args:
        path: the .xml file; weights go to a .bin file beside it.
        source: ONNX file.
        calibration: not used.
    """
    import openvino

    openvino.save_model(openvino_core().read_model(source), path, compress_to_fp16=False)


def write_openvino_int8(
    path: Path, source: Path, calibration: Iterable[dict[str, np.ndarray]]
) -> None:
    """Quantise the convolutions of an ONNX file to 8 bits (NNCF), and write it as OpenVINO IR.

    Weights are int8 by output channel, activations 8 bits over their whole range in the calibration
    slices; NNCF's default, the mean range of slices, would cut off what is bright.

    Args:
        path: the .xml file; weights go to a .bin file beside it.
        source: float32 ONNX file.
        calibration: inputs by name.
    """
    import nncf
    import openvino
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    slices = list(calibration)
    nncf.set_log_level(logging.ERROR)
    with quiet(), contextlib.redirect_stdout(io.StringIO()):
        quantised = nncf.quantize(
            openvino_core().read_model(source),
            nncf.Dataset(slices),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(slices),
            ignored_scope=nncf.IgnoredScope(types=list(FLOAT32_TYPES), validate=False),
            advanced_parameters=AdvancedQuantizationParameters(
                activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX
            ),
        )
    openvino.save_model(quantised, path, compress_to_fp16=False)


WRITERS = {"float32": write_openvino, "int8": write_openvino_int8}

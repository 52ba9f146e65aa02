"""The README beside an exported network."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import torch

from kdmri.analysis.tables import Table
from kdmri.data.batch import Batch
from kdmri.export.checking import Agreement
from kdmri.export.consistency import Exportable
from kdmri.export.files import OPSET, SMALLEST
from kdmri.models.stored import SCALING, SCALING_OF_COILS
from kdmri.models.trained import Trained
from kdmri.physics import CentralKspace
from kdmri.reconstruct.openvino_files import PROPERTIES


@dataclass(frozen=True)
class Program:
    """How a kind of file is run.

    Attributes:
        package: that runs it.
        kind: says what the file is.
        opened: lines of code that open a file, by its name, as `network`.
        run: code that makes the reconstruction of `inputs`.
    """

    package: str
    kind: Callable[[], str]
    opened: Callable[[str], tuple[str, ...]]
    run: str


PROGRAMS = {
    "onnx": Program(
        "onnxruntime",
        lambda: f"ONNX, opset {OPSET}",
        lambda name: (f'network = onnxruntime.InferenceSession("{name}")',),
        "network.run(None, inputs)[0]",
    ),
    "pt2": Program(
        "torch",
        lambda: f"torch.export, {torch.__version__}",
        lambda name: (f'network = torch.export.load("{name}").module()',),
        "network(*map(torch.from_numpy, inputs.values())).numpy(force=True)",
    ),
    "xml": Program(
        "openvino",
        lambda: f"OpenVINO {version('openvino')}, of its convolutions; all else is float32",
        lambda name: (
            f"properties = {PROPERTIES}  # else it would round data consistency",
            f'network = openvino.Core().compile_model("{name}", "CPU", properties)',
        ),
        "network(inputs)[0]",
    ),
}
"""By the ending of the file."""


def card(
    trained: Trained,
    network: Exportable,
    name: str,
    precision: str,
    batch: Batch,
    compared: Agreement,
    slices: int,
    table: Table,
) -> str:
    """Write what somebody who has the file alone needs to know, as Markdown."""
    channels = trained.channels
    size = (batch.target.shape[-2], batch.target.shape[-1])
    data = trained.facts.get("data", {})
    about = "magnitude" if channels == 1 else "real and imaginary part"
    axis, line = ("H", "row") if network.axis == 0 else ("W", "column")
    several = trained.estimate is not None
    coils = "coils, " if several else ""
    what = "of the coils' combined image" if several else "what the task makes of k-space"
    lines = {
        "image": f"float32 (B, {channels}, H, W), {about}: {what}",
        "kspace": f"float32 (B, 2, {coils}H, W), real and imaginary part, zero where not measured",
        "lines": f"float32 ({axis},), 1 where a {line} of k-space is measured, else 0",
        "mask": "float32 (1, 1, H, W), 1 where k-space is measured, else 0",
        "sensitivities": "float32 (B, 2, coils, H, W), real and imaginary part, of unit norm over "
        f"the coils where there is signal, else 0; in training {trained.estimate}",
        "noise": "float32 (B,), variance of the real part of a sample's noise, k-space scaled as "
        "below; `kdmri.physics.sense.noise_variance` estimates it",
    }
    inputs = "\n".join(f"- `{key}`: {lines[key]}" for key in network.inputs)
    program = PROGRAMS[name.rpartition(".")[2]]
    metrics = trained.facts.get("metrics", {})
    validated = sorted(_validation(metrics).items())
    validation = ", ".join(f"{key} {value:.4g}" for key, value in validated)
    licence = data.get("licence") or (
        f"the terms of the training data, {data['title']}" if data else "those of its training data"
    )
    return f"""# {name}

{trained.label()}: {trained.parameters:,} parameters, {precision}, {program.kind()}; made by kdmri \
{version("kdmri")}.

## Inputs
{inputs}

B, {coils}H and W may change, from {SMALLEST} pixels on. K-space is the orthonormal 2D transform, \
the zero
frequency at index (0, 0), and the image begins at its first pixel. Raw data have both in the \
middle; of even H and W they become it by
`np.fft.ifftshift(raw, axes=(-2, -1)) * (-1.0) ** np.add.outer(np.arange(H), np.arange(W))`.

## Output
- `reconstruction`: float32 (B, {channels}, H, W), {about}.

## Scaling
{_scaling(several)}

## Use
```python
{_usage(network, name, trained, size)}
```

## Sampling
{trained.task.describe(size)}

## How good it is
Validation of the network: {validation or "not recorded in the checkpoint"}.
On {slices} slices of {size[0]}x{size[1]}, against the network in PyTorch: {compared.describe()}.

{table.to_markdown()}
## Licence
Code of kdmri: MIT. Weights: {licence}.
Trained on: {data.get("title", "not recorded in the checkpoint")}. Not a medical device.
"""


def _scaling(several_coils: bool) -> str:
    if several_coils:
        return f"In training {SCALING_OF_COILS}. Divide input by that, multiply the output by it."
    return (
        f"In training {SCALING}. Divide input by that of the volume (or of its zero-filled "
        "images),\nmultiply the output by it."
    )


def _usage(network: Exportable, name: str, trained: Trained, size: tuple[int, int]) -> str:
    """Write a program that reconstructs one slice with the file."""
    channels = trained.channels
    estimate = trained.estimate
    window = trained.task.window if isinstance(trained.task, CentralKspace) else None
    shown = "kspace" if window is None else "apodised(kspace)"
    magnitude = "np.abs(seen / scale)[None, None].astype(np.float32)"
    values = {
        "image": magnitude if channels == 1 else "parts(seen / scale)",
        "kspace": "parts(kspace / scale)",
        "lines": f"np.any(kspace, axis={1 - (network.axis or 0)}).astype(np.float32)",
        "mask": "(kspace != 0)[None, None].astype(np.float32)",
    }
    shown_by: tuple[str, ...] = (
        'kspace = np.load("kspace.npy")  # complex (H, W), one slice, zero where not measured',
        f'seen = np.fft.ifft2({shown}, norm="ortho")',
        "scale = np.abs(seen).max()  # better that of the whole volume",
    )
    if estimate is not None:
        shown_by = _of_coils(estimate.used(trained.task.centre_of(size)), network.inputs)
        other = (0, 2) if network.axis == 0 else (0, 1)
        values |= {
            "lines": f"np.any(kspace, axis={other}).astype(np.float32)",
            "mask": "np.any(kspace, axis=0)[None, None].astype(np.float32)",
            "sensitivities": "parts(sensitivities)",
            "noise": "np.array([noise / scale**2], np.float32)",
        }
    program = PROGRAMS[name.rpartition(".")[2]]
    return "\n".join(
        (
            "import numpy as np",
            f"import {program.package}",
            *(() if window is None else ("from scipy.signal import get_window",)),
            "",
            "",
            "def parts(array):",
            "    return np.stack((array.real, array.imag))[None].astype(np.float32)",
            "",
            "",
            *(() if window is None else _apodised(window)),
            *shown_by,
            "inputs = {",
            *(f'    "{key}": {values[key]},' for key in network.inputs),
            "}",
            *program.opened(name),
            f"reconstruction = scale * {program.run}  # (1, {channels}, H, W)",
        )
    )


def _of_coils(centre: tuple[int, int], inputs: Sequence[str]) -> tuple[str, ...]:
    """Write how coils are combined, and how the scale is found from the centre (h, w)."""
    noise = 'noise = float(np.load("noise.npy"))  # variance of the real part of a sample\'s noise'
    ends = [(-(kept // 2), kept - kept // 2) for kept in centre]
    return (
        'kspace = np.load("kspace.npy")  # complex (coils, H, W), zero where not measured',
        'sensitivities = np.load("sensitivities.npy")  # complex (coils, H, W)',
        *([noise] if "noise" in inputs else []),
        'seen = (sensitivities.conj() * np.fft.ifft2(kspace, norm="ortho")).sum(axis=0)',
        "frequencies = [np.rint(n * np.fft.fftfreq(n)) for n in seen.shape]",
        f"ends = {ends}  # of the fully sampled centre",
        "rows, columns = (",
        "    (first <= f) & (f < end) for f, (first, end) in zip(frequencies, ends)",
        ")",
        'low = np.fft.ifft2(kspace * np.outer(rows, columns), norm="ortho")',
        "scale = np.sqrt((np.abs(low) ** 2).sum(axis=0)).max()  # better that of the whole volume",
    )


def _apodised(window: str | tuple[str | float, ...]) -> tuple[str, ...]:
    """Write a function that weights the measured centre of k-space as the task does."""
    return (
        "def apodised(kspace):",
        "    centre = np.fft.fftshift(kspace)",
        "    places = [np.flatnonzero(centre.any(axis=axis)) for axis in (1, 0)]",
        f"    rows, columns = (get_window({window!r}, len(n), len(n) % 2 == 0) for n in places)",
        "    centre[np.ix_(*places)] *= np.outer(rows, columns)",
        "    return np.fft.ifftshift(centre)",
        "",
        "",
    )


def _validation(metrics: Mapping[str, float]) -> dict[str, float]:
    return {key: value for key, value in metrics.items() if key.startswith("val/")}

"""Exported networks in place of the one of a checkpoint: `kdmri reconstruct runtime=...`.

`kdmri export` notes beside a file which checkpoint it was made of and what it takes.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kdmri.config.words import needs
from kdmri.errors import ConfigurationError, DataError
from kdmri.files import sha256
from kdmri.models import CascadedNetwork
from kdmri.models.trained import Trained
from kdmri.physics.sense import noise_variance
from kdmri.reconstruct.onnx_files import open_onnx, run_onnx
from kdmri.reconstruct.openvino_files import open_openvino, run_openvino

NOTE = "export.json"
Run = Callable[[dict[str, np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class Note:
    """What an exported file is.

    Attributes:
        file: its name, in the same folder.
        format: "onnx", "openvino" or "torch_export".
        precision: of its convolutions.
        checkpoint_sha256: of the checkpoint that it was made of.
        inputs: names, in their order.
        axis: undersampled axis of a mask of whole lines, 0 or 1; None where it takes any mask.
    """

    file: str
    format: str
    precision: str
    checkpoint_sha256: str
    inputs: list[str]
    axis: int | None

    def write(self, folder: Path) -> None:
        """Write it beside the file."""
        (folder / NOTE).write_text(json.dumps(asdict(self), indent=2) + "\n")


def line_axis(mask: Tensor) -> int | None:
    """Tell along which axis whole lines of a mask (..., H, W) are measured or not, if any."""
    if torch.equal(mask, mask[..., :1].expand_as(mask)):
        return 0
    return 1 if torch.equal(mask, mask[..., :1, :].expand_as(mask)) else None


def named(inputs: Sequence[Tensor | None], names: Sequence[str]) -> dict[str, Tensor]:
    """Return what an exported network takes, by name.

    Args:
        inputs: image, k-space, mask (1, 1, H, W) and sensitivities, as any network takes them.
        names: of what the exported one takes.
    """
    image, kspace, mask, sensitivities = inputs
    assert image is not None
    assert kspace is not None
    assert mask is not None
    several = "sensitivities" in names
    lines = mask[0, 0, :, 0] if line_axis(mask) == 0 else mask[0, 0, 0]
    found = {"image": image, "mask": mask, "lines": lines, "kspace": _parts(kspace, several)}
    if several:
        assert sensitivities is not None
        found["sensitivities"] = _parts(sensitivities, several)
    if "noise" in names:
        found["noise"] = noise_variance(kspace, mask).flatten()
    return {name: found[name].clone() for name in names}


def _parts(values: Tensor, several_coils: bool) -> Tensor:
    """Return real and imaginary part, (B, 2, H, W) or of several coils (B, 2, coils, H, W)."""
    if several_coils:
        return torch.stack((values.real, values.imag), dim=1)
    return torch.cat((values.real, values.imag), dim=1)


class Deployed(CascadedNetwork):
    """A network whose output an exported file computes."""

    def __init__(self, network: CascadedNetwork, note: Note, run: Run, path: Path) -> None:
        """Take the network that was exported, what was noted of the file, and what runs it."""
        super().__init__(list(network.cascades), network.channels)
        self._note, self._run, self._path = note, run, path

    def forward(
        self, image: Tensor, kspace: Tensor, mask: Tensor, sensitivities: Tensor | None = None
    ) -> Tensor:
        """Reconstruct; slices whose masks differ go one by one.

        Raises:
            DataError: the mask is not of lines along the exported axis, or coils are missing.
        """
        if len(mask) > 1 and not torch.equal(mask, mask[:1].expand_as(mask)):
            parts = [
                self(*(None if part is None else part[n : n + 1] for part in given))
                for given in [(image, kspace, mask, sensitivities)]
                for n in range(len(image))
            ]
            return torch.cat(parts)
        mask = mask[:1]
        if "lines" in self._note.inputs and line_axis(mask) != self._note.axis:
            kind = ("rows", "columns")[self._note.axis or 0]
            raise DataError(
                f"{self._path}: was exported for masks of whole {kind}, which this one is not; use "
                "runtime=torch, or export with the mask=FILE.npy in use"
            )
        if sensitivities is None and "sensitivities" in self._note.inputs:
            # As `Measurement` has it for one coil.
            sensitivities = torch.ones_like(kspace)
        given = named((image, kspace, mask, sensitivities), self._note.inputs)
        return torch.from_numpy(self._run({key: value.numpy() for key, value in given.items()}))


def _open(path: Path, note: Note) -> Run:
    try:
        opened = _OPENED[note.format](path)
    except ImportError as error:
        raise ConfigurationError(
            needs(f"runtime={note.format}", _EXTRAS[note.format], str(error.name))
        ) from error
    run = _RUN[note.format]
    return lambda inputs: run(opened, path, inputs)


_OPENED = {"onnx": open_onnx, "openvino": open_openvino}
_RUN = {"onnx": run_onnx, "openvino": run_openvino}
_EXTRAS = {"onnx": "export", "openvino": "openvino"}


def deployed(trained: Trained, runtime: str, exported: str | None, device: str) -> Trained:
    """Let an exported file compute what a checkpoint's network would.

    Args:
        trained: the checkpoint.
        runtime: "torch", the network itself; "onnx" or "openvino".
        exported: folder that `kdmri export` wrote; None: the one beside the checkpoint.
        device: that the user asked for.

    Raises:
        ConfigurationError: there is no such export, or it is of another checkpoint.
    """
    if runtime == "torch":
        if exported is not None:
            raise ConfigurationError(f"exported={exported}: give runtime=onnx or openvino, too")
        return trained
    if device == "cuda":
        raise ConfigurationError(f"runtime={runtime}: runs on the CPU; give device=cpu")
    folder = Path(exported) if exported is not None else _beside(trained.path, runtime)
    note = _read(folder)
    if note.format != runtime:
        raise ConfigurationError(
            f"exported={folder}: holds {note.format}, not {runtime}; name another folder"
        )
    if note.checkpoint_sha256 != sha256(trained.path):
        raise ConfigurationError(
            f"exported={folder}: was made of another checkpoint than {trained.path}; export again "
            f"with kdmri export checkpoint={trained.path} format={runtime} overwrite=true"
        )
    path = folder / note.file
    network = Deployed(trained.network, note, _open(path, note), path)
    return replace(trained, network=network.eval())


def _beside(checkpoint: Path, runtime: str) -> Path:
    """Find the one folder of a format that an export of a checkpoint wrote beside it."""
    found = sorted(
        path.parent
        for path in checkpoint.parent.glob(f"{checkpoint.stem}_{runtime}_*/{NOTE}")
        if path.is_file()
    )
    if len(found) == 1:
        return found[0]
    there = ", ".join(map(str, found)) or "none is there"
    raise ConfigurationError(
        f"runtime={runtime}: looks for one export beside {checkpoint}: {there}; "
        f"write it with kdmri export checkpoint={checkpoint} format={runtime}, or name its folder, "
        "exported=FOLDER"
    )


def _read(folder: Path) -> Note:
    path = folder / NOTE
    try:
        note = Note(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"exported={folder}: no folder that this version of kdmri export wrote ({error}); "
            "export again"
        ) from error
    known = {"image", "kspace", "lines", "mask", "sensitivities", "noise"}
    if Path(str(note.file)).name != note.file or not known.issuperset(note.inputs):
        raise ConfigurationError(f"{path}: is damaged; export again")
    return note

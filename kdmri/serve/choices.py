"""The checkpoints that clients may choose among, by name; nothing else is ever opened for them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import torch

from kdmri.config.identity import BEST
from kdmri.errors import CheckpointError, ConfigurationError
from kdmri.files import sha256
from kdmri.models.trained import Trained, open_checkpoint
from kdmri.serve.protocol import RefusedError, printable

STATE = "model.pt"
"""What training goes on from, beside the network in the directory of a stage."""

LISTED = 20
"""Names that a refusal lists."""


@dataclass(frozen=True)
class Choice:
    """A network that is ready.

    Attributes:
        name: that clients know it by.
        trained: the network and its task; its path is the name, since clients are told of it.
        digest: SHA-256 of the checkpoint, hexadecimal.
    """

    name: str
    trained: Trained
    digest: str


@dataclass(frozen=True)
class Choices:
    """Networks by name, all opened before the first client comes.

    Attributes:
        by_name: of a directory; one of a single file.
        single: whether a file was named, which is used whatever clients ask for.
        left_out: files that are no checkpoints, and why.
    """

    by_name: Mapping[str, Choice]
    single: bool
    left_out: tuple[str, ...] = ()

    def choose(self, config: str | None) -> Choice:
        """Return what a client chose.

        Args:
            config: what it sent, a name or JSON with `parameters.config`; None for nothing. It is
                compared with the names that are there, and used in no other way.

        Raises:
            RefusedError: there is no such name.
        """
        if self.single:
            return next(iter(self.by_name.values()))
        wanted = "" if config is None else named(config) or config.strip()
        found = self.by_name.get(wanted.removesuffix(".pt"))
        if found is None:
            names = ", ".join(list(self.by_name)[:LISTED])
            raise RefusedError(
                f"config {printable(wanted, 100)!r}: there is no such network here, but {names}"
            )
        return found


def named(text: str) -> str | None:
    """Return the name in JSON as FIRE's clients send it, `{"parameters": {"config": NAME}}`.

    Returns:
        None where a text is no such JSON.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    parameters = value.get("parameters") if isinstance(value, dict) else None
    name = parameters.get("config") if isinstance(parameters, dict) else None
    return name if isinstance(name, str) and name else None


def open_choices(
    source: str | None, device: torch.device, mask: str | None = None, scale: float | None = None
) -> Choices:
    """Open a checkpoint, or all of a directory.

    In a directory a file `a/b.pt` is named `a/b`, and `a/best_model.pt` `a`. A file alone is named
    by itself, or by its folder.

    Args:
        source: file or directory.
        device: where the networks are.
        mask: as for `open_checkpoint`.
        scale: as for `open_checkpoint`.

    Raises:
        ConfigurationError: nothing was named, or there is no checkpoint in the directory.
        CheckpointError: the file is no checkpoint.
    """
    if source is None:
        raise ConfigurationError("checkpoint: is missing, checkpoint=FILE or checkpoint=DIR")
    root = Path(source)
    if not root.is_dir():
        name = root.resolve().parent.name if root.name == BEST else root.stem
        one = _open(root, name, device, mask, scale)
        return Choices(MappingProxyType({one.name: one}), single=True)
    found, left_out = {}, []
    paths = sorted(root.rglob("*.pt"))
    for path in paths:
        if path.name == STATE and path.with_name(BEST) in paths:
            continue
        place = path.relative_to(root)
        name = (place.parent if path.name == BEST else place.with_suffix("")).as_posix()
        name = root.resolve().name if name == "." else name
        try:
            found[name] = _open(path, name, device, mask, scale)
        except CheckpointError as error:
            left_out.append(str(error))
    if not found:
        reasons = "; ".join(left_out) or "no file ends in .pt"
        raise ConfigurationError(f"checkpoint={root}: holds no checkpoint ({reasons})")
    return Choices(MappingProxyType(found), single=False, left_out=tuple(left_out))


def _open(
    path: Path, name: str, device: torch.device, mask: str | None, scale: float | None
) -> Choice:
    trained = open_checkpoint(path, mask, scale)
    trained.network.to(device)
    digest = sha256(path)
    return Choice(name, replace(trained, path=Path(name)), digest)

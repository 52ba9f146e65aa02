"""Which values a key may have: the kinds that commands check, and what `configs/` says of the rest.

A command has a table of its keys. What is not in it is checked by its shipped value: a key that has
true or false in any file of `configs/` is a switch, one that has a number takes a number.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kdmri.errors import ConfigurationError
from kdmri.loading import loading

MOUNTS = {
    "architecture": ("teacher", "student"),
    "mask_rule": ("dataset.mask",),
    "sensitivities": ("dataset.sensitivities",),
    "stage/base": ("stage.plan.*",),
}
"""Where the choices of a group are put that is not named as its place is; `*` is any name."""


@dataclass(frozen=True)
class Kind:
    """Values that a key may have.

    Attributes:
        accepts: whether a value is one of them.
        wanted: says which they are, behind "must be"; `{key}` stands for the key.
    """

    accepts: Callable[[Any], bool]
    wanted: str


Kinds = Mapping[str, Kind]
"""Kinds by key; a key that the configuration does not have is not checked."""


def is_whole(value: Any) -> bool:
    """Return whether a value is an integer, and no truth value."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Return whether a value is an integer or a float, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def whole(least: int) -> Kind:
    """Return the kind of whole numbers from `least` on."""
    return Kind(lambda v: is_whole(v) and v >= least, f"a whole number, at least {least}")


def number(
    what: str = "a number",
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
) -> Kind:
    """Return the kind of numbers within bounds.

    Args:
        what: they are, such as "a number of GiB".
        least: the smallest of them.
        above: what they are larger than.
        most: the largest of them.
    """
    bounds = {"at least": least, "above": above, "at most": most}
    description = [f"{bound} {value:g}" for bound, value in bounds.items() if value is not None]

    def accepts(value: Any) -> bool:
        return (
            is_number(value)
            and (least is None or value >= least)
            and (above is None or value > above)
            and (most is None or value <= most)
        )

    return Kind(accepts, ", ".join([what, *description]).replace(", above", " above"))


def one_of(*values: Any) -> Kind:
    """Return the kind of a few values; true is not 1 here."""
    words = ["null" if v is None else str(v).lower() if isinstance(v, bool) else v for v in values]
    description = (
        f"{', '.join(map(str, words[:-1]))} or {words[-1]}" if words[1:] else str(words[0])
    )
    return Kind(lambda v: any(type(v) is type(o) and v == o for o in values), description)


def or_null(kind: Kind) -> Kind:
    """Return a kind that has null as well."""
    return Kind(lambda v: v is None or kind.accepts(v), f"null or {kind.wanted}")


def size(least: int, why: str = "") -> Kind:
    """Return the kind of sizes [H,W] of slices; `why` tells where the least comes from."""

    def accepts(value: Any) -> bool:
        return (
            isinstance(value, Sequence | ListConfig)
            and len(value) == 2
            and all(is_whole(n) and n >= least for n in value)
        )

    return Kind(accepts, f"[H,W]{why}")


COUNT = whole(1)
SWITCH = Kind(lambda v: isinstance(v, bool), "true or false")
BETWEEN_0_AND_1 = Kind(lambda v: is_number(v) and 0 < v < 1, "a number between 0 and 1")
TEXT = Kind(
    lambda v: isinstance(v, str) and v != "",
    "text; a number needs quotes of its own, such as '{key}=\"2024\"'",
)

TABLE: Kinds = {
    "format.axis": one_of(0, 1, 2),
    "format.centred": one_of(True, "kspace", False),
    "format.nan": one_of("refuse", "zero"),
    "dataset.selection": Kind(lambda v: not isinstance(v, bool), "a share, names or shared"),
    "trainer.devices": Kind(
        lambda v: v == "auto" or str(v).removeprefix("-").isdigit() or OmegaConf.is_list(v),
        "a number, auto, or a list such as [0,1]",
    ),
    "trainer.deterministic": or_null(one_of(True, False, "warn")),
    **{
        f"trainer.{name}": Kind(lambda v: False, f"left out; {instead}")
        for name, instead in {
            "logger": "choose one with logger=csv",
            "callbacks": "put them below callbacks",
            "enable_progress_bar": "callbacks.progress=null leaves the bar out",
            "default_root_dir": "paths.experiments names the directory",
        }.items()
    },
}
"""Keys of several commands whose shipped value does not say all that they may have."""


NO_SWITCHES = {"trainer.accelerator", "trainer.strategy", "trainer.gradient_clip_val"}
"""Keys of the trainer's shipped files whose values there do not say what they may have."""


def check(config: DictConfig, table: Kinds) -> None:
    """Check the values of a command before it does anything.

    Args:
        config: as Hydra composed it for the command.
        table: of the command; it goes before what the files say.

    Raises:
        ConfigurationError: names the key, what was given and what is allowed.
    """
    known = {**_of_files(), **TABLE, **table}
    trainer = config.get("trainer")
    given = {f"trainer.{key}" for key in trainer} if OmegaConf.is_dict(trainer) else set()
    added = given - known.keys() - NO_SWITCHES
    check_values(config, {**(_of_trainer() if added else {}), **known})


def check_values(config: DictConfig, table: Kinds) -> None:
    """Compare values with what is allowed, by key.

    Raises:
        ConfigurationError: names the key, what was given and what is allowed.
    """
    for pattern, kind in table.items():
        for key in _places(config, pattern):
            if not _is_good(config, key, kind):
                raise ConfigurationError(
                    f"{key}={_shown(OmegaConf.select(config, key))}: must be "
                    f"{kind.wanted.replace('{key}', key)}"
                )


def _places(config: DictConfig, pattern: str) -> list[str]:
    """Return the keys that a pattern such as `stage.plan.*.reported` stands for."""
    before, star, after = pattern.partition(".*.")
    if not star:
        return [pattern]
    node = OmegaConf.select(config, before)
    return [f"{before}.{name}.{after}" for name in node] if OmegaConf.is_dict(node) else []


def _is_good(config: DictConfig, key: str, kind: Kind) -> bool:
    """Check a value; one that is not there, or cannot be computed from others, passes."""
    try:
        value = OmegaConf.select(config, key)
        absent = value is None and OmegaConf.select(config, key, default=0) == 0
        return absent or kind.accepts(value)
    except OmegaConfBaseException:
        return True
    except TypeError:
        return False


def _shown(value: Any) -> str:
    """Write a value as a user would; text in quotes that YAML would read as something else."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = str(value)
    return f'"{text}"' if isinstance(value, str) and text in ("true", "false", "null") else text


def _of_files() -> dict[str, Kind]:
    """Return the kinds of this command's keys by what the files of its configuration have.

    A number may be another thing where a file has another thing; a switch is true or false, or
    null where a file has null.
    """
    job, runtime = HydraConfig.get().job, HydraConfig.get().runtime
    assert job.config_name is not None
    roots = [Path(source.path) for source in runtime.config_sources if source.schema == "file"]
    primary = _with_bases(job.config_name.removesuffix(".yaml"), roots)
    groups = {group.partition("@")[0].partition("/")[0] for group in runtime.choices}
    found: dict[str, list[Any]] = defaultdict(list)
    for root in roots:
        # A user's directory may hold anything besides; only what Hydra would look at is read.
        paths = [root / f"{name}.yaml" for name in primary]
        paths += [path for group in groups for path in (root / group).rglob("*.yaml")]
        for key, value, _ in shipped_values(root, filter(Path.is_file, paths)):
            found[key].append(value)
    kinds = {key: _kind(values) for key, values in found.items()}
    return {key: kind for key, kind in kinds.items() if kind is not None}


def _with_bases(name: str, roots: list[Path]) -> set[str]:
    """Return the name of a command's file and those of the files that it builds on."""
    files = [path for root in roots if (path := root / f"{name}.yaml").is_file()]
    bases = [base for path in files[:1] for base in _load(path).get("defaults") or ()]
    names = [base for base in bases if isinstance(base, str) and base != "_self_"]
    return {name}.union(*(_with_bases(base, roots) for base in names))


def _kind(values: list[Any]) -> Kind | None:
    given = [value for value in values if not _is_reference(value)]
    if any(isinstance(value, bool) for value in given):
        return or_null(SWITCH) if None in given else SWITCH
    if any(is_number(v) for v in given) and all(v is None or is_number(v) for v in given):
        return Kind(lambda v: v is None or is_number(v), "a number")
    return None


def _is_reference(value: Any) -> bool:
    """Return whether a value is computed from others, or has to be given."""
    return isinstance(value, str) and (value.startswith("${") or value == "???")


def shipped_values(
    root: Path, paths: Iterable[Path] | None = None
) -> Iterator[tuple[str, Any, Path]]:
    """Walk over a directory of configurations.

    Args:
        root: the directory.
        paths: its files to read; all YAML files by default.

    Yields:
        Dotted key, value and file; the value of a key with keys below it is a dictionary.

    Raises:
        ConfigurationError: a file is no YAML of plain values.
    """
    for path in sorted(root.rglob("*.yaml") if paths is None else paths):
        parts = path.parent.relative_to(root).parts
        if "hydra" in parts:
            continue
        values = _load(path)
        is_global = not parts or path.read_text().startswith("# @package _global_")
        group = "/".join(parts)
        for mount in ("",) if is_global else MOUNTS.get(group, (".".join(parts),)):
            for key, value in _flat(values, mount):
                yield key, value, path


def _flat(node: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        if key not in ("defaults", "hydra"):
            yield name, value
            if isinstance(value, dict):
                yield from _flat(value, name)


def _load(path: Path) -> dict[str, Any]:
    """Read a file; what is no mapping, such as a list of another program, has no keys."""
    try:
        text = path.read_text(encoding="utf-8")
        values = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ConfigurationError(f"{path}: cannot be read as YAML ({reason})") from error
    return values if isinstance(values, dict) else {}


def _of_trainer() -> dict[str, Kind]:
    """Return the kinds of Lightning's own switches, which a user may add with +trainer.NAME."""
    with loading():  # it takes seconds, for which commands without such words need not wait
        from pytorch_lightning import Trainer

    kinds = {frozenset({bool}): SWITCH, frozenset({bool, type(None)}): or_null(SWITCH)}
    hints = {
        f"trainer.{name}": frozenset(get_args(hint) or (hint,))
        for name, hint in get_type_hints(Trainer.__init__).items()
    }
    return {key: kinds[hint] for key, hint in hints.items() if hint in kinds}

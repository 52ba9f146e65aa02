"""What is wrong with the words of a command, told in one line."""

import difflib
import importlib.util
import inspect
import pkgutil
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import yaml
from pytorch_lightning import Trainer

from kdmri.configuration import CONFIGS
from kdmri.errors import ConfigurationError

MOUNTS = {"architecture": ("teacher", "student"), "mask_rule": ("dataset.mask",)}
"""Where the choices of a group are put that is not named as its place is."""

OTHERS = {"acceleration": "; any other is acceleration.factor=6"}
"""What to write in the place of a choice that is not there, by group."""

PLUGINS = {
    "joblib": "hydra_joblib_launcher",
    "submitit": "hydra_submitit_launcher",
    "optuna": "hydra_optuna_sweeper",
}
"""Hydra plugins by the extra of this project that installs them."""


def check_words(words: Iterable[str]) -> None:
    """Look at what Hydra would end with a traceback, or pass over without a word.

    These are choices that are no names, plugins that are missing, and what only a sweep has: a
    launcher, a search.

    Args:
        words: of the command line.

    Raises:
        ConfigurationError: a group is given a number or null, a plugin is not installed, or a
            launcher or search is chosen without -m.
    """
    words = list(words)
    is_sweep = not {"-m", "--multirun", "--cfg", "-c", "--info", "-i"}.isdisjoint(
        word.partition("=")[0] for word in words
    )
    for word in words:
        group, given, value = word.lstrip("+").partition("=")
        folder = CONFIGS / group.partition("@")[0]
        if given and folder.parent == CONFIGS and folder.is_dir() and _is_no_name(value):
            choices = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
            raise ConfigurationError(f"{word}: choose one of {choices}{OTHERS.get(group, '')}")
        key, _, choice = word.removeprefix("hydra/").partition("=")
        extra = "optuna" if key == "search" and choice != "null" else choice.partition("_")[0]
        plugin = PLUGINS.get(extra) if key in ("launcher", "sweeper", "search") else None
        if plugin and plugin not in {module.name for module in pkgutil.iter_modules(_plugins())}:
            raise ConfigurationError(
                f"{word}: needs packages that are not installed; run: pip install -e '.[{extra}]'"
            )
        if plugin and not is_sweep:
            raise ConfigurationError(f"{word}: belongs to a sweep; add -m")


def _is_no_name(value: str) -> bool:
    """Whether YAML reads a number, a truth value or null."""
    try:
        return not isinstance(yaml.safe_load(value), str | list | dict)
    except yaml.YAMLError:
        return False


def _plugins() -> list[str]:
    """Folders of Hydra's plugins; a namespace package, absent where there is none."""
    found = importlib.util.find_spec("hydra_plugins")
    return list(found.submodule_search_locations or ()) if found else []


def told(error: Exception) -> str:
    """Say in one line what is wrong, and what was meant where something is close to it.

    Args:
        error: of Hydra or OmegaConf.
    """
    text = str(error)
    if found := re.search(r"Could not override '([^']+)'", text):
        return _unknown_key(found[1])
    if found := re.search(r"Could not find '(.+)/([^/']+)'", text):
        group, choice = found.groups()
        there = re.findall(r"^\t(\S+)$", text, flags=re.MULTILINE)
        listed = f"; choose one of {', '.join(there)}" if there else ""
        meant = _meant(choice, there)
        other = OTHERS.get(group, "")
        return f"{group}={choice}: there is no such choice{meant}{listed}{other}"
    return " ".join(text.split())


def _unknown_key(key: str) -> str:
    choices: dict[str, list[str]] = defaultdict(list)
    for name, choice in _keys():
        choices[name] += [choice] if choice else []
    keys = sorted(choices)
    if having := choices.get(key):
        return f"{key}: what is chosen has no such setting; these have: {', '.join(having)}"
    parent, _, last = key.rpartition(".")
    if parent == "trainer" and last in inspect.signature(Trainer).parameters:
        return f"{key}: is Lightning's, and not among the settings here; add it with +{key}=..."
    beside = {name.rpartition(".")[2]: name for name in keys if name.rpartition(".")[0] == parent}
    close = difflib.get_close_matches(last, beside, n=1) if beside else []
    meant = f"; did you mean {beside[close[0]]}?" if close else _meant(key, keys)
    return f"{key}: there is no such setting{meant or '; --cfg job shows all'}"


def _meant(word: str, words: list[str]) -> str:
    close = difflib.get_close_matches(word, words, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _keys() -> Iterator[tuple[str, str]]:
    """Give the dotted keys of all files of `configs/` and the choice that has them, or "".

    The names of its groups are among them.
    """
    for path in sorted(CONFIGS.rglob("*.yaml")):
        parts = path.parent.relative_to(CONFIGS).parts
        if "hydra" in parts:
            continue
        if parts:
            yield parts[0], ""
        text = path.read_text()
        is_global = not parts or text.startswith("# @package _global_")
        for mount in ("",) if is_global else MOUNTS.get(parts[0], (".".join(parts),)):
            for key in _flat(yaml.safe_load(text) or {}, mount):
                where = "" if not mount or mount in parts else f"@{mount}"
                yield key, f"{parts[0]}{where}={path.stem}" if len(parts) == 1 else ""


def _flat(node: dict[str, Any], prefix: str) -> Iterator[str]:
    for key, value in node.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        if key not in ("defaults", "hydra"):
            yield name
            if isinstance(value, dict):
                yield from _flat(value, name)

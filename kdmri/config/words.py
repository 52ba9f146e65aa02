"""What is wrong with the words of a command, in one line."""

import difflib
import importlib.metadata
import importlib.util
import inspect
import pkgutil
import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from kdmri.config.checks import CONFIGS
from kdmri.config.values import MOUNTS, shipped_values
from kdmri.errors import ConfigurationError

OTHERS = {
    "acceleration": "; any other is acceleration.factor=6",
    "dataset": "; your own is dataset=own dataset.name={choice}, with coils dataset=multicoil",
}
"""What to write in the place of a choice that is not there, by group."""

ALONE = re.compile(r"# (kdmri[ .]\w+) alone:")
"""How a file begins that is a choice of one command, beside those of the others in its group."""

PLUGINS = {
    "joblib": "hydra_joblib_launcher",
    "submitit": "hydra_submitit_launcher",
    "optuna": "hydra_optuna_sweeper",
}
"""Hydra plugins by the extra of this project that installs them."""

VALUED = (
    *("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn"),
    *("--cfg", "-c", "--package", "-p", "--info", "-i", "--experimental-rerun"),
)
"""Options of Hydra whose value is the next word."""

LOGGERS = {"WandbLogger": "wandb", "MLFlowLogger": "mlflow"}
"""Packages that Lightning's loggers need, which are the names of their extras as well."""


NAMED = {"config": "train", "import_original": "import"}
"""Commands by the files of `configs/` that are named otherwise."""


def check_words(words: Iterable[str]) -> None:
    """Look at what Hydra would end with a traceback or many lines, or pass over without a word.

    These are paths that need quotes, choices that are no names, plugins that are missing, and what
    only a sweep has: a launcher, a search.

    Args:
        words: of the command line.

    Raises:
        ConfigurationError: a word cannot be read, a group is given a number or null, a plugin is
            not installed, or a launcher or search is chosen without -m.
    """
    words = list(words)
    is_sweep = not {"-m", "--multirun", "--cfg", "-c", "--info", "-i"}.isdisjoint(
        word.partition("=")[0] for word in words
    )
    for before, word in zip(["", *words], words, strict=False):
        if not word.startswith("-") and before not in VALUED:
            _check_reading(word, is_sweep)
        group, given, value = word.lstrip("+").partition("=")
        folder = CONFIGS / group.partition("@")[0]
        if given and folder.parent == CONFIGS and folder.is_dir() and _is_no_name(value):
            choices = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
            raise ConfigurationError(f"{word}: choose one of {choices}{OTHERS.get(group, '')}")
        key, _, choice = word.removeprefix("hydra/").partition("=")
        extra = "optuna" if key == "search" and choice != "null" else choice.partition("_")[0]
        plugin = PLUGINS.get(extra) if key in ("launcher", "sweeper", "search") else None
        if plugin and plugin not in {module.name for module in pkgutil.iter_modules(_plugins())}:
            raise ConfigurationError(needs(word, extra, plugin))
        if plugin and not is_sweep:
            raise ConfigurationError(f"{word}: belongs to a sweep; add -m")
        if key.lstrip("+") == "hydra.sweeper.storage":
            _check_storage(word)


def _check_reading(word: str, is_sweep: bool) -> None:
    """See that Hydra can read a word, and as one value where nothing is swept.

    Raises:
        ConfigurationError: it cannot; names the form to type.
    """
    key, given, value = word.partition("=")
    if not given and not word.startswith("~"):
        raise ConfigurationError(
            f"{word}: is no key=value; a path with spaces needs quotes, such as "
            f"{_quoted('input', '/data/my scan.nii')}"
        )
    try:
        read = OverridesParser.create().parse_override(word)
    except HydraException as error:
        reason = str(error).partition("\n")[0]
        raise ConfigurationError(
            f"{word}: cannot be read ({reason}); if it is text, such as a path, type "
            f"{_quoted(key, value)}"
        ) from error
    if read.is_sweep_override() and not is_sweep:
        raise ConfigurationError(
            f"{word}: several values are a sweep, which needs -m; if it is text, such as a path, "
            f"type {_quoted(key, value)}"
        )


def _quoted(key: str, text: str) -> str:
    """Return the word for a shell by which Hydra reads text as it is."""
    return f"{key}={shlex.quote(QuotedString(text, Quote.double).with_quotes())}"


def _check_storage(word: str) -> None:
    """See that Optuna is there and can use the SQLAlchemy that is; raises ConfigurationError."""
    found = {}
    for name in ("optuna", "sqlalchemy"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError as error:
            raise ConfigurationError(needs(word, "optuna", name)) from error
    if found["optuna"].startswith("2.") and not found["sqlalchemy"].startswith("1."):
        raise ConfigurationError(
            f"{word}: Optuna {found['optuna']} cannot use SQLAlchemy {found['sqlalchemy']}; run: "
            "pip install 'kdmri[optuna]', or leave hydra.sweeper.storage out"
        )


def check_packages(config: DictConfig) -> None:
    """See that the chosen logger's package is there, before anything is trained.

    Args:
        config: composed; a command without a logger needs none.

    Raises:
        ConfigurationError: it is not; names the extra of this project.
    """
    target = OmegaConf.select(config, "logger._target_") or ""
    package = LOGGERS.get(target.rpartition(".")[2])
    if package and importlib.util.find_spec(package) is None:
        raise ConfigurationError(needs(f"logger={package}", package, package))


def needs(what: str, extra: str, package: str) -> str:
    """Return the message about a package that is not installed.

    Args:
        what: needs it, such as a word of the command line.
        extra: of this project, which installs it.
        package: that is missing.
    """
    return f"{what}: needs {package}, which is not installed; run: pip install 'kdmri[{extra}]'"


def _is_no_name(value: str) -> bool:
    """Return whether YAML reads a number, a truth value or null."""
    try:
        return not isinstance(yaml.safe_load(value), str | list | dict)
    except yaml.YAMLError:
        return False


def _plugins() -> list[str]:
    """Return the folders of Hydra's plugins; a namespace package, absent where there is none."""
    found = importlib.util.find_spec("hydra_plugins")
    return list(found.submodule_search_locations or ()) if found else []


def description(error: Exception, config: str = "config") -> str:
    """Say in one line what is wrong, and what was meant where something is close to it.

    Args:
        error: of Hydra or OmegaConf.
        config: name of the file in `configs/` that the command's words override.
    """
    text = str(error)
    if found := re.search(r"Could not override '([^']+)'", text):
        return _unknown_key(found[1], config)
    if found := re.search(r"Could not find '(.+)/([^/']+)'", text):
        group, choice = found.groups()
        there = re.findall(r"^\t(\S+)$", text, flags=re.MULTILINE)
        listed = f"; choose one of {_listed(group, there)}" if there else ""
        other = OTHERS.get(group, "").format(choice=choice)
        return f"{group}={choice}: there is no such choice{_meant(choice, there)}{listed}{other}"
    return " ".join(text.split())


def _listed(group: str, choices: list[str]) -> str:
    """Name the choices of a group, those of one command behind the others."""
    by_command: dict[str, list[str]] = defaultdict(list)
    for choice in choices:
        path = CONFIGS / group / f"{choice}.yaml"
        found = ALONE.match(path.read_text(encoding="utf-8")) if path.is_file() else None
        by_command[found[1].replace(".", " ") if found else ""].append(choice)
    common = ", ".join(by_command.pop("", []))
    return common + "".join(f"; {name}: {', '.join(own)}" for name, own in by_command.items())


def _unknown_key(key: str, config: str) -> str:
    choices: dict[str, list[str]] = defaultdict(list)
    for name, choice in _keys(config):
        choices[name] += [choice] if choice else []
    keys = sorted(choices)
    there = {name.rpartition(".")[0] for name in keys} | {*keys}
    if places := [place for place in MOUNTS.get(key, ()) if place in there]:
        named = " or ".join(f"{key}@{place}=..." for place in places)
        return f"{key}: is chosen for a place; give {named}"
    if having := choices.get(key):
        return f"{key}: what is chosen has no such setting; these have: {', '.join(having)}"
    parent, _, last = key.rpartition(".")
    if parent == "trainer" and parent in choices:
        from pytorch_lightning import Trainer  # not needed by commands that train nothing

        if last in inspect.signature(Trainer).parameters:
            return f"{key}: is Lightning's, and not among the settings here; add it with +{key}=..."
    commands = {path.stem for path in CONFIGS.glob("*.yaml")} - {config}
    if having := [NAMED.get(c, c) for c in sorted(commands) if key in dict(_keys(c))]:
        listed = ", ".join(f"kdmri {command}" for command in having)
        return f"{key}: there is no such setting here; these have it: {listed}"
    beside = {name.rpartition(".")[2]: name for name in keys if name.rpartition(".")[0] == parent}
    close = difflib.get_close_matches(last, beside, n=1) if beside else []
    meant = f"; did you mean {beside[close[0]]}?" if close else _meant(key, keys)
    return f"{key}: there is no such setting{meant or '; --cfg job shows all'}"


def _meant(word: str, words: list[str]) -> str:
    close = difflib.get_close_matches(word, words, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _keys(config: str) -> Iterator[tuple[str, str]]:
    """Yield the dotted keys that a command may have, and the choice that has each, or "".

    The names of its groups are among them.
    """
    paths = _files(config)
    yield from {
        (path.relative_to(CONFIGS).parts[0], "") for path in paths if path.parent != CONFIGS
    }
    for key, _, path in shipped_values(CONFIGS, paths):
        group = "/".join(path.parent.relative_to(CONFIGS).parts)
        mounts = [m for m in MOUNTS.get(group, ()) if key.startswith(f"{m}.")]
        where = "".join(f"@{mount}" for mount in mounts)
        is_choice = group and "/" not in group and (mounts or key.startswith(f"{group}."))
        yield key, f"{group}{where}={path.stem}" if is_choice else ""


def _files(config: str) -> list[Path]:
    """List the files of `configs/` that a command's configuration may be composed of."""
    path = CONFIGS / f"{config}.yaml"
    found = [path]
    for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["defaults"]:
        if isinstance(entry, dict):  # {"architecture@teacher": ...}, {"override hydra/help": ...}
            group = re.split("[@/]", next(iter(entry)).split()[-1])[0]
            found += sorted((CONFIGS / group).rglob("*.yaml"))
        elif entry != "_self_":
            found += _files(entry)
    groups = {path.relative_to(CONFIGS).parts[0] for path in found if path.parent != CONFIGS}
    for group, places in MOUNTS.items():  # those that choices of a group choose in their turn
        if any(place.partition(".")[0] in groups for place in places):
            found += sorted((CONFIGS / group).rglob("*.yaml"))
    return list(dict.fromkeys(found))

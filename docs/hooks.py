"""Pages that are made from the project itself whenever the site is built, so that none goes stale.

MkDocs calls `on_config` and `on_files`; all else is text made from files.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from kdmri.__main__ import COMMANDS
from kdmri.config.words import NAMED

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "configs"
HELP = CONFIGS / "hydra" / "help"


def on_config(config: Any) -> Any:
    """Add a page for each package to the navigation."""
    packages = sorted(name for name in pages() if name.startswith("api/"))
    for entry in config.nav:
        if isinstance(entry, dict) and "API" in entry:
            entry["API"] = sorted(packages, key=lambda name: (name != "api/index.md", name))
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages, and the pictures that lie in docs/ for the README."""
    from mkdocs.structure.files import File

    for name, text in pages().items():
        files.append(File.generated(config, name, content=text))
    for picture in sorted((ROOT / "docs").glob("*.png")):
        files.append(File.generated(config, f"assets/{picture.name}", abs_src_path=str(picture)))
    return files


def pages() -> dict[str, str]:
    """Return every generated page: its path in the site and its Markdown."""
    made = {"choices.md": choices(), "commands.md": commands()}
    packages = sorted(path.parent for path in (ROOT / "kdmri").glob("*/__init__.py"))
    for package in packages:
        made[f"api/{package.name}.md"] = api(package.name, sorted(package.rglob("*.py")))
    made["api/index.md"] = api("kdmri", sorted((ROOT / "kdmri").glob("*.py")))
    return made


def choices() -> str:
    """Write each group of configs/ with its choices: their purpose and their settings."""
    mounts = _mounts()
    lines = [
        "# Groups and their choices",
        "",
        "This page is made from the files in `configs/`. A group is a folder, a choice a file: "
        "`group=choice` on the command line takes it, `group.key=value` changes one value in it. "
        "`a: ${b.c}` takes the value that stands elsewhere; a `defaults` list names the choices "
        "that one builds on.",
    ]
    for folder in sorted(path for path in CONFIGS.iterdir() if path.is_dir()):
        if folder == HELP.parent:
            continue
        lines += ["", f"## {folder.name}", ""]
        lines += [f"- {mount}" for mount in mounts.get(folder.name, [])]
        for path in sorted(folder.rglob("*.yaml")):
            lines += ["", f"### {path.relative_to(CONFIGS).with_suffix('')}", "", *_explained(path)]
    return "\n".join(lines) + "\n"


def commands() -> str:
    """Write each command's help and all its keys."""
    lines = [
        "# Commands and their keys",
        "",
        "This page is made from the files in `configs/`. Every command takes `key=value`, "
        "`group=choice` and `--help`; `--cfg job` shows all keys with the values in use. An error "
        "that you can fix is one line on standard error, with exit code 2. In a clone "
        "`python train.py` and `python evaluate.py` are the same as `kdmri train` and "
        "`kdmri evaluate`, which share their keys.",
    ]
    for path in sorted(CONFIGS.glob("*.yaml"), key=lambda p: (p.stem != "config", p.stem)):
        shown = _load(HELP / f"{_help_of(path)}.yaml")
        lines += ["", f"## {called(path)}", "", "```output"]
        lines += [shown["header"].strip(), "", shown["footer"].strip(), "```", ""]
        lines += _explained(path)
    return "\n".join(lines) + "\n"


def api(title: str, paths: list[Path]) -> str:
    """Write a page of docstrings, a module after the other."""
    lines = [f"# {title}", ""]
    for path in paths:
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        if path.name == "__init__.py":
            lines += [f"::: {name}", "    options: {members: false, heading_level: 2}", ""]
        else:
            lines += [f"::: {name}", ""]
    return "\n".join(lines)


def _mounts() -> dict[str, list[str]]:
    """Find, for each group, who uses it, by what word, and what is the default."""
    found: dict[str, list[str]] = {}
    for path in sorted(CONFIGS.rglob("*.yaml"), key=lambda p: (p.parent != CONFIGS, p)):
        for word, choice in _used(path):
            if path.parent == CONFIGS:
                user = called(path)
            elif word.startswith("/"):
                user = f"{path.relative_to(CONFIGS).with_suffix('')}"
                word = word.removeprefix("/").replace("@", f"@{path.parent.name}.")
            else:
                continue  # within the group
            shown = "none" if choice is None else f"`{choice}`"
            group = word.split("@")[0].split("/")[0]
            found.setdefault(group, []).append(f"`{user}`: `{word}=...`, by default {shown}")
    return found


def _used(path: Path) -> Iterator[tuple[str, str | None]]:
    """Return what a file's defaults list adds for a user to choose."""
    for entry in _defaults(path):
        (word, choice), *_ = entry.items()
        if not word.startswith(("override", "optional")):
            yield word, choice


def called(path: Path) -> str:
    """Return the command of a primary configuration; raises KeyError where there is none."""
    name = NAMED.get(path.stem, path.stem)
    _ = COMMANDS[name]
    return f"kdmri {name}"


def _explained(path: Path) -> Iterator[str]:
    """Return the file's first comment as a sentence, and its other lines."""
    text = path.read_text().splitlines()
    first = next((n for n, line in enumerate(text) if not line.startswith("#")), len(text))
    comment = " ".join(line.lstrip("# ") for line in text[:first] if "@package" not in line)
    yield from (comment, "", "```yaml", *text[first:], "```")


def _help_of(path: Path) -> str:
    override = (entry.get("override hydra/help") for entry in _defaults(path))
    return next(name for name in override if name)


def _defaults(path: Path) -> list[dict[str, Any]]:
    return [entry for entry in _load(path).get("defaults", []) if isinstance(entry, dict)]


def _load(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())

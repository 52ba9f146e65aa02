"""Pages that are made from the project itself whenever the site is built, so that none goes stale.

MkDocs calls `on_config` and `on_files`; all else is text made from files.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from kdmri.__main__ import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "configs"
HELP = CONFIGS / "hydra" / "help"


def on_config(config: Any) -> Any:
    """Add a page for each room of the package to the navigation."""
    rooms = sorted(name for name in pages() if name.startswith("api/"))
    for entry in config.nav:
        if isinstance(entry, dict) and "API" in entry:
            entry["API"] = sorted(rooms, key=lambda name: (name != "api/index.md", name))
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
    """Give every generated page: its path in the site and its Markdown."""
    made = {"choices.md": choices(), "commands.md": commands()}
    rooms = sorted(path.parent for path in (ROOT / "kdmri").glob("*/__init__.py"))
    for room in rooms:
        made[f"api/{room.name}.md"] = api(room.name, sorted(room.rglob("*.py")))
    made["api/index.md"] = api("kdmri", sorted((ROOT / "kdmri").glob("*.py")))
    return made


def choices() -> str:
    """Write each group of configs/ with its choices: what they are for, what they hold."""
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
            lines += ["", f"### {path.relative_to(CONFIGS).with_suffix('')}", "", *_told(path)]
    return "\n".join(lines) + "\n"


def commands() -> str:
    """Write each command's help and all its keys."""
    lines = [
        "# Commands and their keys",
        "",
        "This page is made from the files in `configs/`. Every command takes `key=value`, "
        "`group=choice` and `--help`; `--cfg job` shows all keys with the values in use. An error "
        "that you can mend is one line on standard error, with exit code 2.",
    ]
    for path in sorted(CONFIGS.glob("*.yaml"), key=lambda p: (p.stem != "config", p.stem)):
        called = _called(path)
        told = _load(HELP / f"{_help_of(path)}.yaml")
        lines += ["", f"## {called}", "", "```output"]
        lines += [told["header"].strip(), "", told["footer"].strip(), "```", ""]
        lines += _told(path)
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
    """Say, for each group, who uses it, by what word, and what is taken by default."""
    found: dict[str, list[str]] = {}
    for path in sorted(CONFIGS.rglob("*.yaml"), key=lambda p: (p.parent != CONFIGS, p)):
        for word, choice in _used(path):
            if path.parent == CONFIGS:
                user = _called(path)
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
    """Give what a file's defaults list adds for a user to choose."""
    for entry in _defaults(path):
        (word, choice), *_ = entry.items()
        if not word.startswith(("override", "optional")):
            yield word, choice


def _called(path: Path) -> str:
    """Give the command of a primary configuration, by the module that names it."""
    named = f'@entry_point("{path.stem}"'
    modules = {
        name: ROOT / f"{module.replace('.', '/')}.py" for name, (module, _) in COMMANDS.items()
    }
    return next(f"kdmri {n}" for n, source in modules.items() if named in source.read_text())


def _told(path: Path) -> Iterator[str]:
    """Give the file's first comment as a sentence, and what else it holds."""
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

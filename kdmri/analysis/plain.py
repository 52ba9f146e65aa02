"""Plain values of files that may come from others: what is not of the expected form is missing."""

import json
import math
from pathlib import Path
from typing import Any

import yaml

LARGEST_TEXT = 2**20
"""A record or configuration of more bytes than this is not one of this program."""


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON mapping.

    Raises:
        OSError: it cannot be read.
        ValueError: it is too large or not JSON.
        RecursionError: it is nested without end.
    """
    return mapping(json.loads(_read(path)))


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping of plain values; references, which can grow without bound, are refused.

    Raises:
        OSError: it cannot be read.
        ValueError: it is too large, or refers to itself.
        yaml.YAMLError: it is not YAML of plain values.
    """
    content = _read(path)
    if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(content, yaml.SafeLoader)):
        raise ValueError(f"{path.name} holds references")
    return mapping(yaml.safe_load(content))


def select(tree: Any, *keys: str) -> Any:
    """Follow keys through nested mappings; None where one is missing."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def mapping(value: Any) -> dict[str, Any]:
    """Return a mapping with text as keys; empty for anything else."""
    return {str(k): v for k, v in value.items()} if isinstance(value, dict) else {}


def number(value: Any) -> float | None:
    """Return a finite number; None for anything else."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if good else None


def text(value: Any) -> str | None:
    """Return text that is not empty; None for anything else."""
    return value if isinstance(value, str) and value else None


def _read(path: Path) -> str:
    if path.stat().st_size > LARGEST_TEXT:
        raise ValueError(f"{path.name} has more than {LARGEST_TEXT} bytes")
    return path.read_text(encoding="utf-8")

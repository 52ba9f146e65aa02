"""Choices that the help of a command lists by hand are those that it has."""

import re

import pytest
import yaml

from kdmri.config.checks import CONFIGS
from kdmri.config.words import ALONE

FORMATS = {path.stem: path.read_text(encoding="utf-8") for path in CONFIGS.glob("format/*.yaml")}
READ = sorted({name for name, text in FORMATS.items() if not ALONE.match(text)} - {"own"})
WRITTEN = sorted(
    name
    for name, text in FORMATS.items()
    if (found := ALONE.match(text)) and found[1] == "kdmri.export"
)


@pytest.mark.parametrize(
    ("command", "formats"), [("prepare", READ), ("reconstruct", READ), ("export", WRITTEN)]
)
def test_formats_in_the_help_are_those_that_are_there(command: str, formats: list[str]) -> None:
    text = yaml.safe_load((CONFIGS / "hydra" / "help" / f"{command}.yaml").read_text())["template"]
    (listed,) = re.findall(r"^format: (.+)$", text, flags=re.MULTILINE)
    assert listed.split(", ") == formats

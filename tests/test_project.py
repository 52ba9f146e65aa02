"""What keeps the project in order agrees with itself: architecture, versions, checks."""

import re
import tomllib

import yaml

from tests.conftest import ROOT


def test_the_architecture_names_every_package_and_no_other() -> None:
    page = (ROOT / "docs" / "pages" / "architecture.md").read_text()
    table = page.split("## Packages")[1].split("\n## ")[0]
    named = re.findall(r"^\| `([a-z_/]+)` \| \w+", table, re.M)
    folders = (path.parent for path in (ROOT / "kdmri").rglob("__init__.py"))
    there = {str(folder.relative_to(ROOT / "kdmri")) for folder in folders} - {"."}
    assert sorted(named) == sorted(there)


def test_the_citation_has_the_version_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    assert f"\n## {project['version']}" in (ROOT / "docs" / "pages" / "changelog.md").read_text()


def test_pre_commit_runs_the_linters_of_continuous_integration() -> None:
    """All of them, and no other, so that a commit that passes here passes there."""
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = {hook["entry"].removesuffix(" --force-exclude") for hook in repository["hooks"]}
    checked = (ROOT / ".ci" / "run").read_text()
    found = re.findall(r"^(ruff check|ruff format|mypy|lint-imports)\b.*$", checked, re.M)
    assert hooks == set(found)

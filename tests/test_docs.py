"""The documentation: its tutorial is run, what it quotes is there, and its site needs no network."""

import ast
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import ROOT

PAGES = ROOT / "docs" / "pages"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
PROJECT = ("kdmri", "configs", "train.py", "evaluate.py", "pyproject.toml", "README.md", "LICENSE")

PRELUDE = """
set -euo pipefail
python() {
  case "$1" in
    train.py | evaluate.py) command python "$@" $SMALL ;;
    *) command python "$@" ;;
  esac
}
"""


def test_tutorial_runs_from_installation_to_report(tmp_path: Path) -> None:
    """Every block in order, as the page itself says how; see the comment in its source."""
    text = (PAGES / "tutorial.md").read_text()
    pinned = re.search(r"torch==(\S+)", text)
    small = re.search(r"^small: (.*)$", text, re.M)
    assert pinned and small
    if torch.__version__.split("+")[0] != pinned[1]:
        pytest.skip(f"the tutorial installs torch {pinned[1]}, here is {torch.__version__}")
    for name in PROJECT:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)

    script = [PRELUDE]
    blocks = [(kind, code) for kind, code in BLOCK.findall(text) if kind in ("bash", "python")]
    for number, (kind, code) in enumerate(blocks):
        run = code if kind == "bash" else f"python - <<'END'\n{code}END\n"
        script += [f"echo '::: block {number}, second '$SECONDS", run]
    packages = {str(Path(module.__file__ or "").parents[1]) for module in (torch, pytest)}
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=tmp_path,
        env=os.environ
        | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(packages),
            "PIP_NO_INDEX": "1",  # all that the tutorial installs is there
            "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it as a wish not to isolate
            "SMALL": small[1],
        },
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-3000:]
    assert done.stdout.count("::: block") == len(blocks)
    for named in (
        ".venv/bin/activate",
        "experiments/mni/acc_4x/demo_kd/best_model.pt",
        "experiments/mni/acc_4x/demo_kd_loss.imitation-0.3/best_model.pt",
        "reconstructed",
        "head.nii.gz",
        "pictures",
        "experiments/report.html",
    ):
        assert (tmp_path / named).exists(), named


def test_quoted_errors_are_what_the_code_says() -> None:
    """Each message of the page is a message of the code, with values for what stands in braces."""
    quoted = [
        code.strip()
        for kind, code in BLOCK.findall((PAGES / "troubleshooting.md").read_text())
        if kind == "text"
    ]
    known = [re.compile(pattern, re.S) for pattern in messages()]
    assert len(quoted) > 30
    assert [text for text in quoted if not any(p.fullmatch(text) for p in known)] == []


def messages() -> Iterator[str]:
    """Give the text of every error that kdmri raises as a pattern, if it says enough of its own."""
    for path in sorted((ROOT / "kdmri").rglob("*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Raise | ast.Return) and node.exc_or_value is not None:
                yield ""

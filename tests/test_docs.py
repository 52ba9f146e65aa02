"""The documentation: its tutorial runs, what it quotes is there, its site needs no network."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch

from kdmri.__main__ import COMMANDS
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


WORDS = 3
"""A message with fewer words of its own would match anything."""


def run_page(name: str, folder: Path) -> str:
    """Run the bash and Python blocks of a page in a copy of the project, as its source says how."""
    text = (PAGES / name).read_text()
    small = re.search(r"^small: (.*)$", text, re.M)
    assert small
    for part in PROJECT:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, folder / part)

    script, count = [PRELUDE], 0
    for kind, code in BLOCK.findall(text):
        path, _, place = code.partition("\n")[0].removeprefix("# ").partition(", ")
        if (folder / path).parent.is_dir() and Path(path).suffix in (".py", ".yaml"):
            with (folder / path).open("a" if place == "at its end" else "x") as file:
                file.write(f"\n\n{code}")
        elif kind in ("bash", "python"):
            run = code if kind == "bash" else f"python - <<'END'\n{code}END\n"
            script += [f"echo '::: block {count}, second '$SECONDS", run]
            count += 1
    packages = {str(Path(module.__file__ or "").parents[1]) for module in (torch, pytest)}
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=folder,
        env=os.environ
        | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(folder), *packages]),
            "PIP_NO_INDEX": "1",  # all that the tutorial installs is there
            "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it as a wish not to isolate
            "SMALL": small[1],
            "OMP_NUM_THREADS": "1",  # networks this small lose by threads
        },
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-3000:]
    assert done.stdout.count("::: block") == count > 0
    return done.stdout


def test_tutorial_runs_from_installation_to_report(tmp_path: Path) -> None:
    pinned = re.search(r"torch==(\S+)", (PAGES / "tutorial.md").read_text())
    assert pinned
    if torch.__version__.split("+")[0] != pinned[1]:
        pytest.skip(f"the tutorial installs torch {pinned[1]}, here is {torch.__version__}")
    run_page("tutorial.md", tmp_path)
    for named in (
        ".venv/bin/activate",
        "experiments/mni/acc_4x/demo_kd/best_model.pt",
        "experiments/mni/acc_4x/demo_kd_loss.imitation-0.3/best_model.pt",
        "reconstructed/1.h5",
        "experiments/mni/acc_4x/demo_kd/best_model_onnx_float32/model.onnx",
        "experiments/report.html",
    ):
        assert (tmp_path / named).exists(), named


def test_own_parts_work_as_the_page_on_extending_has_them(tmp_path: Path) -> None:
    told = " ".join(run_page("extending.md", tmp_path).split())
    assert "Mask: Gaussian points, 4x, seed 42" in told
    assert "3 volumes written (15 slices" in told
    experiments = tmp_path / "experiments" / "mni" / "acc_4x"
    (kd,) = experiments.glob("demo_cosine_kd_*/best_model.pt")
    assert torch.load(kd, weights_only=True)["network"]["_target_"] == "kdmri.models.NormedNet"
    assert len(list(experiments.glob("demo_edges_*edge_weight-0.*/metrics.json"))) == 2
    assert (tmp_path / "p2.h5").is_file()


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
    """Give every text in the code that says something as a pattern; braces stand for anything."""
    for path in sorted((ROOT / "kdmri").rglob("*.py")):
        tree = ast.parse(path.read_text())
        inner = {id(v) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for v in n.values}
        for node in ast.walk(tree):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            told = [p.value for p in parts if isinstance(p, ast.Constant)]
            if id(node) in inner or not all(isinstance(text, str) for text in told):
                continue
            if len(re.findall("[a-z]{2,}", " ".join(told))) >= WORDS:
                text = "".join(
                    re.escape(p.value) if isinstance(p, ast.Constant) else ".*" for p in parts
                )
                # Libraries' words of a file stand behind its name, kinds of values behind a key.
                yield rf"(\S+: |\S+=\S*: must be )?{text}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as it is published; a warning stops the build."""
    pytest.importorskip("mkdocs", reason="pip install 'kdmri[docs]'")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        ["mkdocs", "build", "--strict", "-f", str(ROOT / "docs" / "mkdocs.yml"), "-d", str(folder)],
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


class Loaded(HTMLParser):
    """What a browser loads for a page, and its text."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.text = ""
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        names = ("src",) if tag != "link" else ("href",)
        self.addresses += [str(values[name]) for name in names if values.get(name)]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 15
    found = {address for page in pages for address in Loaded(page).addresses}
    assert not [address for address in found if re.match(r"(\w+:)?//", address)]
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    assert not re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", styles)


def test_every_choice_and_every_module_has_its_place(site: Path) -> None:
    """Against the folders themselves and against what Hydra composes."""
    choices, commands = (Loaded(site / f"{page}.html").text for page in ("choices", "commands"))
    for path in (ROOT / "configs").rglob("*.yaml"):
        name, depth = path.relative_to(ROOT / "configs").with_suffix(""), len(path.parts)
        if "help" in name.parts:
            continue
        place = commands if depth == len(ROOT.parts) + 2 else choices
        last = path.read_text().splitlines()[-1].strip()
        assert str(name.name) in place, path
        assert last in place, path
    assert "by default mni" in choices
    for name in COMMANDS:
        assert f"kdmri {name}" in commands
    shown = "".join(Loaded(page).text for page in (site / "api").glob("*.html"))
    for path in (ROOT / "kdmri").rglob("*.py"):
        if path.name != "__init__.py":
            assert ".".join(path.relative_to(ROOT).with_suffix("").parts) in shown, path


def test_search_finds_a_page_from_disk(site: Path, browse: Callable[..., Any]) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    browser = browse(site / "index.html")
    browser.execute_script("document.querySelector('[data-md-toggle=search]').click()")
    field = browser.find_element("css selector", ".md-search__input")
    wait = WebDriverWait(browser, 20, poll_frequency=0.1)
    wait.until(lambda _: field.is_displayed())
    field.send_keys("student-friendly teacher")
    links = "return [...document.querySelectorAll('.md-search-result__link')].map((a) => a.href)"
    wait.until(lambda b: any("method.html" in link for link in b.execute_script(links)))
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []

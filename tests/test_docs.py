"""README and documentation: their commands run, what they quote is there, the site is offline."""

import ast
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from hydra import compose

from kdmri.__main__ import COMMANDS
from kdmri.models import VarNet
from tests.conftest import ROOT
from tests.models.fastmri_names import fastmri_weights

PAGES = ROOT / "docs" / "pages"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
PROJECT = ("kdmri", "configs", "train.py", "evaluate.py", "pyproject.toml", "README.md", "LICENSE")

PRELUDE = """
set -euo pipefail
kdmri() {
  case "$1" in
    train | evaluate | import) python -m kdmri "$@" $SMALL ;;
    *) python -m kdmri "$@" ;;
  esac
}
"""

README_LINES = 170
OPENED = 8
"""Lines of Python that use a trained network, without those that import."""

WORDS = 3
"""A message with fewer words of its own would match anything."""


def run_page(name: str, folder: Path) -> str:
    """Run the bash and Python blocks of a page in a copy of the project, as its source says how."""
    text = (PAGES / name).read_text()
    small = re.search(r"^small: (.*)$", text, re.M)
    assert small
    return run_blocks(text, folder, small[1])


def run_blocks(text: str, folder: Path, small: str) -> str:
    """Run bash and Python blocks in a copy of the project; `small` is added to trainings."""
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
            "SMALL": small,
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
    description = " ".join(run_page("extending.md", tmp_path).split())
    assert "Mask: Gaussian points, 4x, seed 42" in description
    assert "3 volumes written (15 slices" in description
    experiments = tmp_path / "experiments" / "mni" / "acc_4x"
    (kd,) = experiments.glob("demo_cosine_kd_*/best_model.pt")
    assert torch.load(kd, weights_only=True)["network"]["_target_"] == "kdmri.models.NormedNet"
    assert len(list(experiments.glob("demo_edges_*edge_weight-0.*/metrics.json"))) == 2
    assert (tmp_path / "p2.h5").is_file()


def test_a_varnet_is_distilled_as_its_page_has_it(tmp_path: Path) -> None:
    """From a state dict in fastMRI's names to a student that reconstructs."""
    sizes = {"cascades": 2, "width": 3, "levels": 2}
    varnet = VarNet(**sizes, sensitivity_width=2, sensitivity_levels=2)
    torch.save(fastmri_weights(varnet, 2), tmp_path / "brain_leaderboard_state_dict.pt")
    text = " ".join(run_page("distil_varnet.md", tmp_path).split())
    assert "now stage teacher" in text
    assert "teacher: done before" in text
    assert "Student + KD" in text
    assert (tmp_path / "reconstructed.h5").is_file()
    stages = (tmp_path / "experiments" / "mni_multicoil" / "acc_4x").glob("*/best_model.pt")
    names = {path.parent.name.split("_")[1] for path in stages}
    assert names == {"teacher", "student", "joint"}


def section(title: str) -> str:
    """Return a section of the README."""
    text = (ROOT / "README.md").read_text()
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_readme_runs_on_data_of_ones_own(tmp_path: Path, anatomy: np.ndarray) -> None:
    """NIfTI files become a report, and the network a scan, in a shell and in Python."""
    volumes = {f"mystudy/subject{n}/t1.nii.gz": anatomy[:, :, 6 * n :][..., :4] for n in range(3)}
    volumes["scan.nii.gz"] = anatomy[:, :, 30:36]
    for name, volume in volumes.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(volume * 900, np.diag([2, 2, 3, 1])), tmp_path / name)
    text = section("Your own data in three commands") + section("Use a trained network")
    (program,) = [code for kind, code in BLOCK.findall(text) if kind == "python"]
    lines = [line for line in program.splitlines() if line and "import " not in line]
    assert len(lines) <= OPENED
    shown = "assert output.shape == image.shape and (output - image).abs().mean() < image.mean()"
    run_blocks(
        text.replace("/data/mystudy", "mystudy").replace(program, f"{program}{shown}\n"),
        tmp_path,
        "trainer.max_epochs=1 evaluation.detailed=false evaluation.bootstrap=20 "
        "callbacks.progress=null",
    )
    assert "subject" in (tmp_path / "datasets" / "mystudy" / "manifest.json").read_text()
    assert (tmp_path / "experiments" / "report.html").is_file()
    written, scan = (nibabel.load(tmp_path / name) for name in ("out.nii.gz", "scan.nii.gz"))
    assert written.shape == scan.shape
    np.testing.assert_allclose(written.affine, scan.affine)


def test_readme_is_short_and_its_links_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= README_LINES
    links = re.findall(r"\]\(((?!https?:)[^)]+)\)", text)
    assert len(links) > 10
    for link in links:
        path, _, anchor = link.partition("#")
        assert (ROOT / path).is_file(), link
        titles = re.findall(r"^#+ (.*)$", (ROOT / path).read_text(), re.M) if anchor else []
        assert not anchor or anchor in {title.lower().replace(" ", "-") for title in titles}, link


def documented() -> Iterator[list[str]]:
    """Find the commands in the README and the pages that no other test runs, as their words."""
    for page in (ROOT / "README.md", *sorted(PAGES.glob("*.md"))):
        for kind, code in BLOCK.findall(page.read_text()):
            if kind == "sh" or (kind, page.name) == ("bash", "README.md"):
                for line in re.findall(r"^kdmri .*$", code.replace("\\\n", " "), re.M):
                    words = shlex.split(line, comments=True)
                    if not any(word.startswith("--") for word in words):
                        yield words


@pytest.mark.usefixtures("hydra")
def test_every_documented_command_is_one() -> None:
    """Hydra composes its words; of a sweep, the first of each. Nothing is run."""
    called = runpy.run_path(str(ROOT / "docs" / "hooks.py"))["called"]
    configs = {called(path): path.stem for path in (ROOT / "configs").glob("*.yaml")}
    configs["kdmri evaluate"] = "config"
    commands = list(documented())
    assert len(commands) > 40
    for kdmri, name, *words in commands:
        swept = "-m" in words
        first = [re.sub(r"=([^\[{,]+),.*", r"=\1", word) if swept else word for word in words]
        compose(configs[f"{kdmri} {name}"], [word for word in first if word != "-m"])


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
    """Return every text in the code that says something as a pattern; braces stand for anything."""
    for path in sorted((ROOT / "kdmri").rglob("*.py")):
        tree = ast.parse(path.read_text())
        inner = {id(v) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for v in n.values}
        for node in ast.walk(tree):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            description = [p.value for p in parts if isinstance(p, ast.Constant)]
            if id(node) in inner or not all(isinstance(text, str) for text in description):
                continue
            if len(re.findall("[a-z]{2,}", " ".join(description))) >= WORDS:
                text = "".join(
                    re.escape(p.value) if isinstance(p, ast.Constant) else ".*" for p in parts
                )
                # Libraries' words of a file stand behind its name, kinds of values behind a key.
                yield rf"(\S+: |\S+=\S*: must be )?{text}( \(slice \d+\))?"


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

"""What `import kdmri` offers: its names and its examples."""

import doctest
import importlib
import subprocess
import sys

import pytest

import kdmri
from tests.conftest import ROOT

WITH_EXAMPLES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((ROOT / "kdmri").rglob("*.py"))
    if "\n>>> " in path.read_text().replace("    ", "")
]


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_in_docstrings_run(module: str) -> None:
    done = doctest.testmod(importlib.import_module(module))
    assert done.attempted > 0
    assert done.failed == 0


def test_modules_with_examples_are_found() -> None:
    assert {"kdmri", "kdmri.data.masks.lines", "kdmri.physics.fourier"} <= set(WITH_EXAMPLES)


def test_every_public_name_is_there() -> None:
    for name in kdmri.__all__:
        assert getattr(kdmri, name).__name__ == name
        assert name in dir(kdmri)
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = kdmri.nothing_such


def test_importing_the_package_loads_no_library() -> None:
    """A command that lists commands must not wait for PyTorch."""
    code = "import sys, kdmri; print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]


def test_what_needs_no_network_does_not_wait_for_pytorch() -> None:
    """Tables of what was measured, and what is said of the words of a training."""
    loaded = (
        "import kdmri.{}, sys; print([n for n in ('torch', 'scipy.signal') if n in sys.modules])"
    )
    for name in ("train", "evaluate", "collect"):
        words = [sys.executable, "-c", loaded.format(name)]
        found = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True)
        assert found.stdout == "[]\n", name

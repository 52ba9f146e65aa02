"""What `import kdmri` offers: its names and its examples."""

import doctest
import importlib
import subprocess
import sys

import pytest

import kdmri
from kdmri.__main__ import COMMANDS
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


@pytest.mark.parametrize("module", sorted({module for module, _ in COMMANDS.values()}))
def test_words_of_a_command_do_not_wait_for_pytorch(module: str) -> None:
    """Neither its help, nor what is wrong with them; nor tables of what was measured."""
    slow = "'torch', 'scipy.signal', 'scipy.stats', 'matplotlib', 'nibabel', 'h5py'"
    loaded = f"import {module}, sys; print([n for n in ({slow}) if n in sys.modules])"
    words = [sys.executable, "-c", loaded]
    found = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True)
    assert found.stdout == "[]\n"

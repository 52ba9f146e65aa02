"""A tree of experiments as `train.py` leaves it, and its report in a real browser."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kdmri.data.layout import write_volume
from tests.conftest import ROOT, TINY


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, anatomy: np.ndarray) -> Path:
    """Two seeds of the whole distillation; experiments/ and datasets/ lie in the directory."""
    folder = tmp_path_factory.mktemp("trained")
    own = folder / "datasets" / "own"
    parts = {"train/1": (0, 5), "validation/1": (6, 9), "test/a": (20, 25), "test/b": (27, 31)}
    for name, (first, last) in parts.items():
        write_volume(own / f"{name}.h5", anatomy[:, :, first:last], {})
    command(folder, "train.py", "-m", *TINY, "seed=42,1", "trainer.max_epochs=2")
    return folder


def command(folder: Path, *words: str) -> str:
    """Run a script of the project, or a module after "-m", in a process of its own."""
    script = words if words[0] == "-m" else (str(ROOT / words[0]), *words[1:])
    done = subprocess.run(
        [sys.executable, *script],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def tree(trained: Path, tmp_path: Path) -> Path:
    """A copy of the tree to spoil."""
    shutil.copytree(trained, tmp_path / "copy")
    return tmp_path / "copy"


def _find(*names: str) -> str | None:
    return next((path for path in map(shutil.which, names) if path), None)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A headless Chromium that logs its console and every request."""
    binary = _find("chromium", "chromium-browser", "google-chrome")
    driver = _find("chromedriver")
    if binary is None or driver is None:
        pytest.skip("no browser: apt-get install chromium chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with webdriver.Chrome(options=options, service=webdriver.ChromeService(driver)) as browser:
        browser.set_script_timeout(20)
        yield browser


@pytest.fixture
def browse(chromium: Any) -> Callable[..., Any]:
    """Open a file at a size of the window."""

    def call(page: Path, width: int = 1400, height: int = 1000) -> Any:
        chromium.get_log("browser"), chromium.get_log("performance")
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        chromium.get(page.as_uri())
        return chromium

    return call
